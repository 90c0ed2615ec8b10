//! AWS as a list of canned answers: what was sent is kept, and nothing leaves the process.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use dstack_aws::{Access, Ec2, Ec2Options, OwnAddress, PROVIDER, StoredKeys};
use dstack_core::clock::{Clock, VirtualClock};
use dstack_core::model::{
    LaunchId, LaunchOptions, LaunchRequest, LaunchTiming, LogId, Purchase, RuleKey, Scope, Token,
};
use dstack_core::secret::Secret;

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const LOG: LogId = LogId::from_bytes([7; 16]);
pub(crate) const IMAGE: &str = "ami-0aaaaaaaaaaaaaaa1";

/// What was sent: the parameters of one call.
pub(crate) type Sent = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Http(u16, String),
    /// The connection is cut after the request was sent.
    Cut,
    /// Nobody answers.
    Silence,
}

#[derive(Debug, Default)]
struct State {
    sent: Vec<Sent>,
    queued: BTreeMap<String, VecDeque<Answer>>,
    always: BTreeMap<String, Answer>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<State>>);

impl Wire {
    /// The next answer to this action.
    pub(crate) fn answer(&self, action: &str, status: u16, body: impl Into<String>) {
        self.queue(action, Answer::Http(status, body.into()));
    }

    pub(crate) fn queue(&self, action: &str, answer: Answer) {
        self.0.lock().expect("no test panics here").queued.entry(action.into()).or_default().push_back(answer);
    }

    /// The next answer to this action is a file of `tests/wire`.
    pub(crate) fn file(&self, action: &str, status: u16, name: &str) {
        self.answer(action, status, file(name));
    }

    /// The answer to this action whenever none is queued.
    pub(crate) fn always(&self, action: &str, status: u16, body: impl Into<String>) {
        self.0.lock().expect("no test panics here").always.insert(action.into(), Answer::Http(status, body.into()));
    }

    /// All calls of this action so far.
    pub(crate) fn sent(&self, action: &str) -> Vec<Sent> {
        let state = self.0.lock().expect("no test panics here");
        state.sent.iter().filter(|sent| sent["Action"] == action).cloned().collect()
    }

    /// The one call of this action.
    pub(crate) fn only(&self, action: &str) -> Sent {
        let mut sent = self.sent(action);
        assert_eq!(sent.len(), 1, "{action} was sent {} times", sent.len());
        sent.remove(0)
    }

    pub(crate) fn actions(&self) -> Vec<String> {
        self.0.lock().expect("no test panics here").sent.iter().map(|sent| sent["Action"].clone()).collect()
    }

    pub(crate) fn http_client(&self) -> SharedHttpClient {
        let connector = self.clone();
        http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone()))
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let sent = parse(&body);
        let action = sent.get("Action").cloned().unwrap_or_default();
        let mut state = self.0.lock().expect("no test panics here");
        state.sent.push(sent);
        let queued = state.queued.get_mut(&action).and_then(VecDeque::pop_front);
        let answer = queued.or_else(|| state.always.get(&action).cloned());
        match answer.unwrap_or_else(|| Answer::Http(200, standing(&action))) {
            Answer::Http(status, body) => {
                let status = StatusCode::try_from(status).expect("a test knows its status");
                HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
            }
            Answer::Cut => {
                let error = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset");
                HttpConnectorFuture::ready(Err(ConnectorError::other(error.into(), None)))
            }
            Answer::Silence => HttpConnectorFuture::new(std::future::pending()),
        }
    }
}

fn parse(body: &str) -> Sent {
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().expect("two digits"), rest.next().expect("two digits")];
            let digits = std::str::from_utf8(&digits).expect("they are ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("they are hexadecimal"));
        } else {
            bytes.push(if byte == b'+' { b' ' } else { byte });
        }
    }
    String::from_utf8(bytes).expect("the SDK sends UTF-8")
}

pub(crate) fn file(name: &str) -> String {
    let path = format!("{}/tests/wire/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn error(code: &str, message: &str) -> String {
    format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>r</RequestID></Response>"
    )
}

pub(crate) fn reply(action: &str, body: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>{body}</{action}Response>"
    )
}

/// What an account answers in which nothing has happened.
fn standing(action: &str) -> String {
    let body = match action {
        "GetCallerIdentity" => return identity(ACCOUNT),
        "DescribeRegions" => "<regionInfo><item><regionName>us-east-1</regionName><optInStatus>opt-in-not-required</optInStatus></item><item><regionName>eu-west-1</regionName></item><item><regionName>af-south-1</regionName><optInStatus>not-opted-in</optInStatus></item></regionInfo>".to_owned(),
        "DescribeVpcs" => "<vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet>".to_owned(),
        "DescribeSubnets" => "<subnetSet><item><subnetId>subnet-a</subnetId><availabilityZone>us-east-1a</availabilityZone></item><item><subnetId>subnet-b</subnetId><availabilityZone>us-east-1b</availabilityZone></item></subnetSet>".to_owned(),
        "DescribeSecurityGroups" => "<securityGroupInfo/>".to_owned(),
        "CreateSecurityGroup" => "<groupId>sg-1</groupId>".to_owned(),
        "AuthorizeSecurityGroupIngress" | "RevokeSecurityGroupIngress" | "DeleteSecurityGroup" => "<return>true</return>".to_owned(),
        "RunInstances" => return file("run_instances_on_demand.xml"),
        "DescribeInstances" => return file("describe_instances_empty.xml"),
        "TerminateInstances" => return file("terminate_instances.xml"),
        "DescribeInstanceTypes" => return file("instance_types.xml"),
        "DescribeSpotPriceHistory" => return file("spot_price_history.xml"),
        "DescribeInstanceTypeOfferings" => "<instanceTypeOfferingSet><item><instanceType>g5.12xlarge</instanceType><locationType>availability-zone</locationType><location>us-east-1a</location></item></instanceTypeOfferingSet>".to_owned(),
        "DescribeImages" => format!("<imagesSet>{}</imagesSet>", image(IMAGE, "al2023-ami-2023.1-kernel-6.1-x86_64", "2025-01-01")),
        _ => String::new(),
    };
    reply(action, &body)
}

pub(crate) fn image(id: &str, name: &str, created: &str) -> String {
    format!(
        "<item><imageId>{id}</imageId><name>{name}</name><creationDate>{created}</creationDate><imageState>available</imageState>\
         <rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping>\
         <item><deviceName>/dev/xvda</deviceName><ebs><volumeSize>8</volumeSize></ebs></item>\
         <item><deviceName>/dev/sdb</deviceName><ebs><volumeSize>4</volumeSize></ebs></item>\
         <item><deviceName>/dev/sdc</deviceName><virtualName>ephemeral0</virtualName></item></blockDeviceMapping></item>"
    )
}

pub(crate) fn identity(account: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>arn:aws:iam::{account}:user/u</Arn><UserId>U</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
}

/// Counts how often the address was asked for.
pub(crate) struct Address {
    pub(crate) asked: AtomicU32,
    pub(crate) answer: Mutex<Result<Ipv4Addr, String>>,
}

#[async_trait]
impl OwnAddress for Address {
    async fn ask(&self) -> Result<Ipv4Addr, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.answer.lock().expect("no test panics here").clone()
    }
}

/// A provider in front of canned answers.
pub(crate) struct Bench {
    pub(crate) wire: Wire,
    pub(crate) ec2: Arc<Ec2>,
    pub(crate) keys: StoredKeys,
    pub(crate) address: Arc<Address>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "canary/secret/access/key/000000000000000";

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// For calls that are made again by themselves and wait for it.
    pub(crate) fn with_system_clock() -> Self {
        Self::made(|_| {}, true)
    }

    /// With another way to the account.
    pub(crate) fn with(change: impl FnOnce(&mut Access)) -> Self {
        Self::made(change, false)
    }

    fn made(change: impl FnOnce(&mut Access), is_real_time: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let wire = Wire::default();
        let clock = Arc::new(VirtualClock::new(1));
        let keys = StoredKeys::new(folder.path().join("credentials"));
        keys.store(KEY, &Secret::new(SECRET.into())).expect("it is a key");
        let answer = Mutex::new(Ok(Ipv4Addr::new(198, 51, 100, 7)));
        let address = Arc::new(Address { asked: AtomicU32::new(0), answer });
        let mut access =
            Access { keys: Some(keys.clone()), http_client: Some(wire.http_client()), ..Access::default() };
        change(&mut access);
        let mut options =
            Ec2Options::new(access, REGION, folder.path().join("cache"), Arc::new(|launch, _| user_data(launch)));
        options.own_address = Arc::clone(&address) as Arc<dyn OwnAddress>;
        if !is_real_time {
            options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        }
        Self { wire, ec2: Arc::new(Ec2::new(options)), keys, address, clock, folder }
    }

    /// Runs in time that stands still but for what the test lets pass.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        run(work)
    }
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(work)
}

pub(crate) fn user_data(request: &LaunchRequest) -> String {
    format!("#!/bin/sh\n# {} {:?}\n", request.launch, request.options)
}

pub(crate) fn scope() -> Scope {
    Scope { provider: PROVIDER.into(), account: ACCOUNT.into(), region: REGION.into() }
}

pub(crate) fn request(launch: u64, purchase: Purchase) -> LaunchRequest {
    LaunchRequest {
        log: LOG,
        launch: LaunchId::from_bits(launch),
        rule: RuleKey { provider: PROVIDER.into(), region: REGION.into(), instance_type: "m5.xlarge".into(), purchase },
        scope: scope(),
        zone: "us-east-1a".into(),
        image: IMAGE.into(),
        options: LaunchOptions::default(),
        details: BTreeMap::new(),
        timing: LaunchTiming::CLOUD,
    }
}

pub(crate) fn token(launch: u64) -> Token {
    request(launch, Purchase::OnDemand).token()
}
