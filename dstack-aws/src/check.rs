//! Tries, without starting anything, what the provider will need.

use aws_sdk_ec2::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use dstack_core::model::{LaunchId, LaunchOptions, LaunchRequest, LaunchTiming, LogId, Offering, Purchase};

use crate::api::Api;
use crate::ec2::Ec2;
use crate::failure::{Class, Failure};
use crate::images::{self, Family, ImageFacts};
use crate::launch;
use crate::network::{Berth, Vpc, filter, permission, tagged_group};
use crate::session::Session;

/// An id of a machine that no account has.
const NO_INSTANCE: &str = "i-00000000000000000";
/// An id of a Spot request that no account has.
const NO_REQUEST: &str = "sir-00000000";
/// The type whose launch is tried, if the region has it.
const TRIED_TYPE: &str = "t3.micro";

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It works.
    Passed,
    /// It does not, and this would mend it.
    Failed {
        /// What to do.
        fix: String,
    },
    /// Nothing was there to try it on.
    Undecided {
        /// Why, and what would decide it.
        why: String,
    },
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRow {
    /// What was tried.
    pub subject: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was found, or the cloud's words.
    pub words: String,
}

impl CheckRow {
    fn new(subject: impl Into<String>, outcome: Outcome, words: impl Into<String>) -> Self {
        Self { subject: subject.into(), outcome, words: words.into() }
    }

    fn passed(subject: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Passed, words)
    }

    fn failed(subject: impl Into<String>, failure: &Failure, fix: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Failed { fix: fix.into() }, failure.words.clone())
    }
}

/// All tries of one region, in their order.
struct Check<'a> {
    ec2: &'a Ec2,
    session: &'a Session,
    log: LogId,
    rows: Vec<CheckRow>,
}

impl Ec2 {
    /// Tries credentials, region, every permission (by EC2's own dry runs), the default network, the way in, the images and
    /// the bucket. Nothing is started, made or changed, but for one object in the bucket that is removed again.
    pub async fn check(&self, region: &str, log: LogId, ssh_from: Option<&str>, bucket: Option<&str>) -> Vec<CheckRow> {
        let mut rows = Vec::new();
        match self.sessions.identity().await {
            Ok(identity) => {
                rows.push(CheckRow::passed("credentials", format!("{} by {}", identity.arn, identity.source)))
            }
            Err(failure) => {
                rows.push(no_identity(&failure));
                return rows;
            }
        }
        let session = match self.sessions.of_region(region).await {
            Ok(session) => session,
            Err(failure) => {
                rows.push(CheckRow::failed("region", &failure, "name another with `dstack aws configure`"));
                return rows;
            }
        };
        rows.push(CheckRow::passed("region", region));
        let mut check = Check { ec2: self, session: &session, log, rows };
        check.reading().await;
        let images = check.images().await;
        let vpc = check.network(ssh_from).await;
        check.launching(images.first(), vpc.as_ref()).await;
        check.ending().await;
        check.groups(vpc.as_ref()).await;
        check.rows.push(quota(region));
        if let Some(bucket) = bucket {
            check.bucket(bucket).await;
        }
        check.rows
    }
}

/// What is wrong where nobody says whose the credentials are: a service that cannot be reached says nothing of them.
fn no_identity(failure: &Failure) -> CheckRow {
    match failure.class {
        Class::Unknown | Class::Throttled => CheckRow::failed(
            "connection",
            failure,
            "AWS did not answer: look at the network, a proxy, and AWS_ENDPOINT_URL if it is set",
        ),
        _ => CheckRow::failed("credentials", failure, "dstack aws configure"),
    }
}

/// EC2's interface does not say how many are allowed; the first launch that is one too many does.
fn quota(region: &str) -> CheckRow {
    let why = format!(
        "EC2 does not tell its quotas: look at them in the console of {region}, under Service Quotas, Amazon EC2, \
         \"Running On-Demand Standard instances\" and \"All Standard Spot Instance Requests\"; new accounts have few vCPUs \
         of these and none with GPUs"
    );
    CheckRow::new("quota", Outcome::Undecided { why }, "")
}

impl Check<'_> {
    /// Makes a dry run: EC2 answers with an error either way.
    fn dry<'b, T, E, F>(&'b mut self, api: Api, what: &'b str, send: F) -> impl Future<Output = ()>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        T: 'b,
    {
        let send = Box::pin(send);
        async move {
            let answer = self.session.calls.make(api, send).await;
            self.rows.push(dry_row(api, what, answer.err()));
        }
    }

    async fn reading(&mut self) {
        let ec2 = &self.session.ec2;
        self.dry(Api::DescribeInstances, "", ec2.describe_instances().dry_run(true).send()).await;
        let requests = ec2.describe_spot_instance_requests().dry_run(true);
        self.dry(Api::DescribeSpotInstanceRequests, "", requests.send()).await;
        self.dry(Api::DescribeInstanceTypes, "", ec2.describe_instance_types().dry_run(true).send()).await;
        let offerings = ec2.describe_instance_type_offerings().dry_run(true);
        self.dry(Api::DescribeInstanceTypeOfferings, "", offerings.send()).await;
        self.dry(Api::DescribeSpotPriceHistory, "", ec2.describe_spot_price_history().dry_run(true).send()).await;
        self.dry(Api::DescribeImages, "", ec2.describe_images().owners("amazon").dry_run(true).send()).await;
        self.dry(Api::DescribeRegions, "", ec2.describe_regions().dry_run(true).send()).await;
        self.dry(Api::DescribeVpcs, "", ec2.describe_vpcs().dry_run(true).send()).await;
        self.dry(Api::DescribeSubnets, "", ec2.describe_subnets().dry_run(true).send()).await;
        self.dry(Api::DescribeSecurityGroups, "", ec2.describe_security_groups().dry_run(true).send()).await;
    }

    async fn images(&mut self) -> Vec<ImageFacts> {
        let mut found = Vec::new();
        for family in Family::ALL {
            let subject = format!("image for {family}");
            let row = match images::newest(self.session, family).await {
                Ok(Some(image)) => {
                    let row = CheckRow::passed(subject, format!("{} {}", image.id, image.name));
                    found.push(image);
                    row
                }
                Ok(None) => CheckRow::new(
                    subject,
                    Outcome::Failed { fix: "name one with `dstack autoscale set --image`".into() },
                    "there is none in this region",
                ),
                Err(failure) => CheckRow::failed(subject, &failure, "see the words of EC2"),
            };
            self.rows.push(row);
        }
        found
    }

    async fn network(&mut self, ssh_from: Option<&str>) -> Option<Vpc> {
        let vpc = match self.ec2.networks.vpc(self.session).await {
            Ok(vpc) => vpc,
            Err(failure) => {
                let fix = format!("aws ec2 create-default-vpc --region {}", self.session.scope.region);
                self.rows.push(CheckRow::failed("default network", &failure, fix));
                return None;
            }
        };
        self.rows.push(self.zones(&vpc));
        let row = match self.ec2.networks.cidr(self.session, ssh_from).await {
            Ok(cidr) => CheckRow::passed("SSH is let in from", cidr),
            Err(failure) => CheckRow::failed("SSH is let in from", &failure, "dstack autoscale set --ssh-from CIDR"),
        };
        self.rows.push(row);
        Some(vpc)
    }

    /// The zones that can be used, and those of the catalogue, if that is remembered, which have no subnet.
    fn zones(&self, vpc: &Vpc) -> CheckRow {
        let zones: Vec<&str> = vpc.subnets.keys().map(String::as_str).collect();
        let without: Vec<String> =
            self.ec2.zones(&self.session.scope).into_iter().filter(|zone| !vpc.subnets.contains_key(zone)).collect();
        let mut words = format!("{} in {}", vpc.id, zones.join(", "));
        if !without.is_empty() {
            words += &format!(
                "; nothing is launched in {}, without a default subnet: `aws ec2 create-default-subnet \
                 --availability-zone ZONE` makes one",
                without.join(", ")
            );
        }
        CheckRow::passed("default network", words)
    }

    async fn launching(&mut self, image: Option<&ImageFacts>, vpc: Option<&Vpc>) {
        let (Some(image), Some(vpc)) = (image, vpc) else { return };
        let group = match tagged_group(self.session, self.log, vpc).await {
            Ok(Some(group)) => Some(group),
            _ => self.default_group(vpc).await,
        };
        let (Some(group), Some((zone, subnet))) = (group, vpc.subnets.first_key_value()) else { return };
        let berth = Berth { subnet: subnet.clone(), group };
        for purchase in [Purchase::OnDemand, Purchase::Spot] {
            let request = self.request(image, zone, purchase);
            let Ok(ssh) = launch::ssh(&request, Some(image)) else { continue };
            let send = launch::build(self.session, &request, Some(image), &ssh, &berth, "#!/bin/sh\n").dry_run(true);
            self.dry(Api::RunInstances, &purchase.to_string(), send.send()).await;
        }
    }

    fn request(&self, image: &ImageFacts, zone: &str, purchase: Purchase) -> LaunchRequest {
        let offering = Offering {
            scope: self.session.scope.clone(),
            instance_type: TRIED_TYPE.into(),
            purchase,
            cpu: dstack_core::model::MilliCpu(0),
            memory: dstack_core::model::Bytes(0),
            disk: dstack_core::model::Bytes(0),
            gpus: None,
            arch: String::new(),
            zones: vec![zone.to_owned()],
            price: None,
            image: image.id.clone(),
            details: image.details(),
            quota: None,
            pooled: false,
            timing: LaunchTiming::CLOUD,
        };
        LaunchRequest {
            log: self.log,
            launch: LaunchId::from_entropy(self.ec2.clock.entropy()),
            rule: offering.rule_key(),
            scope: offering.scope,
            zone: zone.to_owned(),
            image: offering.image,
            options: LaunchOptions::default(),
            details: offering.details,
            timing: offering.timing,
        }
    }

    async fn default_group(&mut self, vpc: &Vpc) -> Option<String> {
        let request = self
            .session
            .ec2
            .describe_security_groups()
            .filters(filter("vpc-id", &vpc.id))
            .filters(filter("group-name", "default"));
        let answer = self.session.calls.read(Api::DescribeSecurityGroups, || request.clone().send()).await.ok()?;
        answer.security_groups().first()?.group_id().map(str::to_owned)
    }

    async fn ending(&mut self) {
        let ec2 = &self.session.ec2;
        let found = crate::look::look(self.session, self.log, &[]).await;
        let (ids, requests): (Vec<_>, Vec<_>) = found
            .map(|found| found.instances)
            .unwrap_or_default()
            .iter()
            .map(|instance| {
                (instance.instance_id().map(str::to_owned), instance.spot_instance_request_id().map(str::to_owned))
            })
            .unzip();
        let id = ids.into_iter().flatten().next();
        let what = if id.is_some() { "" } else { MADE_UP };
        let id = id.unwrap_or_else(|| NO_INSTANCE.into());
        self.dry(Api::TerminateInstances, what, ec2.terminate_instances().instance_ids(id).dry_run(true).send()).await;
        let request = requests.into_iter().flatten().next();
        let what = if request.is_some() { "" } else { MADE_UP };
        let request = request.unwrap_or_else(|| NO_REQUEST.into());
        let send = ec2.cancel_spot_instance_requests().spot_instance_request_ids(request).dry_run(true);
        self.dry(Api::CancelSpotInstanceRequests, what, send.send()).await;
    }

    async fn groups(&mut self, vpc: Option<&Vpc>) {
        let Some(vpc) = vpc else { return };
        let ec2 = &self.session.ec2;
        let send = crate::network::creation(self.session, self.log, vpc).dry_run(true);
        self.dry(Api::CreateSecurityGroup, "", send.send()).await;
        let ours = tagged_group(self.session, self.log, vpc).await.ok().flatten();
        let what = if ours.is_some() { "" } else { MADE_UP };
        let group = ours.unwrap_or_else(|| "sg-00000000000000000".into());
        let rule = || permission(22, "127.0.0.1/32", "dstack aws check");
        let send = ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(rule()).dry_run(true);
        self.dry(Api::AuthorizeSecurityGroupIngress, what, send.send()).await;
        let send = ec2.revoke_security_group_ingress().group_id(&group).ip_permissions(rule()).dry_run(true);
        self.dry(Api::RevokeSecurityGroupIngress, what, send.send()).await;
        let send = ec2.delete_security_group().group_id(&group).dry_run(true);
        self.dry(Api::DeleteSecurityGroup, what, send.send()).await;
    }

    async fn bucket(&mut self, name: &str) {
        let tried = match self.ec2.bucket(&self.session.scope.region, name).await {
            Ok(bucket) => bucket.check().await,
            Err(error) => Err(error),
        };
        let subject = format!("bucket {name}");
        self.rows.push(match tried {
            Ok(()) => CheckRow::passed(subject, "an object was written, read and removed"),
            Err(error) => CheckRow::new(
                subject,
                Outcome::Failed { fix: "make it in this region, and allow what `dstack aws policy` does".into() },
                crate::failure::causes(Some(&error)),
            ),
        });
    }
}

/// Marks a try on something that is not there.
const MADE_UP: &str = "of what is not there";

fn dry_row(api: Api, what: &str, failure: Option<Failure>) -> CheckRow {
    let subject = if what.is_empty() { api.action() } else { format!("{} ({what})", api.action()) };
    let Some(failure) = failure else { return CheckRow::passed(subject, "allowed") };
    let is_about_made_up_id = failure.class == Class::NotFound || failure.has_code("InvalidGroup.NotFound");
    if failure.has_code("DryRunOperation") || is_about_made_up_id {
        CheckRow::passed(subject, "allowed")
    } else if failure.class == Class::Denied && what == MADE_UP {
        let why = "the policy may allow it for what carries a tag of dstack alone: try again while a runner lives";
        CheckRow::new(subject, Outcome::Undecided { why: why.into() }, failure.words)
    } else if failure.class == Class::Denied {
        CheckRow::failed(subject, &failure, format!("allow {} as `dstack aws policy` does", api.action()))
    } else {
        CheckRow::failed(subject, &failure, "see the words of EC2")
    }
}
