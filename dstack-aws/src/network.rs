//! Where machines stand: the default network, a subnet for each zone, and one security group for each log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_ec2::operation::create_security_group::builders::CreateSecurityGroupFluentBuilder;
use aws_sdk_ec2::types::{Filter, IpPermission, IpRange, ResourceType, SecurityGroup, TagSpecification};
use dstack_core::clock::{Boot, Clock};
use dstack_core::model::{LogId, Scope};
use sha2::{Digest, Sha256};

use crate::api::Api;
use crate::failure::{Class, Failure};
use crate::own_address::OwnAddress;
use crate::session::Session;
use crate::tags;

/// How long this machine's own address is believed.
const ADDRESS_AGE: Duration = Duration::from_secs(300);
/// How often in a row a group may be "not found" before that counts: one that was just made may not be seen yet.
const MISSING_MOST: u32 = 5;
/// How often a group that is in use is asked to go: an instance that has ended lets go of it a little later.
const DELETIONS_MOST: u32 = 12;
/// How long lies between two of these.
const DELETION_PAUSE: Duration = Duration::from_secs(5);

/// Where a machine is launched into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Berth {
    pub(crate) subnet: String,
    pub(crate) group: String,
}

/// The default network of a region.
#[derive(Debug, Clone)]
pub(crate) struct Vpc {
    pub(crate) id: String,
    /// Subnets by zone.
    pub(crate) subnets: BTreeMap<String, String>,
}

/// A security group of a log.
#[derive(Debug, Clone)]
struct Group {
    id: String,
    /// From where it lets in, by port.
    lets_in: BTreeSet<(u16, String)>,
    /// What this controller let in from an address of its own that it no longer has.
    own: BTreeSet<(u16, String)>,
    /// Launches in a row for which EC2 did not know it.
    missed: u32,
    /// Whether it has to be found again before it is used.
    is_stale: bool,
}

type GroupKey = (Scope, LogId);

/// Networks and groups, as they were found.
pub(crate) struct Networks {
    own_address: Arc<dyn OwnAddress>,
    clock: Arc<dyn Clock>,
    /// Written into the rules that this controller makes, so that it finds them again and nobody else's.
    mark: String,
    vpcs: Mutex<BTreeMap<Scope, Vpc>>,
    /// Held while a group is made or changed, so that one process makes one.
    groups: tokio::sync::Mutex<BTreeMap<GroupKey, Group>>,
    address: tokio::sync::Mutex<Option<(Boot, String)>>,
    refreshed: Mutex<BTreeMap<GroupKey, Boot>>,
}

pub(crate) fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// The name of a log's group.
pub(crate) fn group_name(log: LogId) -> String {
    format!("dstack {log}")
}

/// What marks the rules of the controller whose files are in this folder of this machine.
pub(crate) fn mark(folder: &std::path::Path) -> String {
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let digest = Sha256::new().chain_update(machine).chain_update(folder.as_os_str().as_encoded_bytes()).finalize();
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("dstack {hex}")
}

impl Networks {
    pub(crate) fn new(own_address: Arc<dyn OwnAddress>, clock: Arc<dyn Clock>, mark: String) -> Self {
        Self {
            own_address,
            clock,
            mark,
            vpcs: Mutex::new(BTreeMap::new()),
            groups: tokio::sync::Mutex::new(BTreeMap::new()),
            address: tokio::sync::Mutex::new(None),
            refreshed: Mutex::new(BTreeMap::new()),
        }
    }

    /// A place in a zone whose SSH port lets the controller in.
    pub(crate) async fn berth(
        &self,
        session: &Session,
        log: LogId,
        zone: &str,
        port: u16,
        from: Option<&str>,
    ) -> Result<Berth, Failure> {
        let vpc = self.vpc(session).await?;
        let Some(subnet) = vpc.subnets.get(zone) else {
            // The user may make one: the next launch asks anew.
            self.forget_vpc(session);
            return Err(no_subnet(&vpc, zone));
        };
        let cidr = self.cidr(session, from).await?;
        let group = self.open(session, log, &vpc, port, &cidr, from.is_none()).await?;
        Ok(Berth { subnet: subnet.clone(), group })
    }

    /// The default network.
    pub(crate) async fn vpc(&self, session: &Session) -> Result<Vpc, Failure> {
        let known = self.vpcs.lock().unwrap_or_else(PoisonError::into_inner).get(&session.scope).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let request = session.ec2.describe_vpcs().filters(filter("is-default", "true"));
        let answer = session.calls.read(Api::DescribeVpcs, || request.clone().send()).await?;
        let id = answer.vpcs().iter().find_map(|vpc| vpc.vpc_id()).ok_or_else(|| {
            let region = &session.scope.region;
            let words =
                format!("{region} has no default network: `aws ec2 create-default-vpc --region {region}` makes one");
            Failure::new(Class::Invalid, words)
        })?;
        let request =
            session.ec2.describe_subnets().filters(filter("vpc-id", id)).filters(filter("default-for-az", "true"));
        let answer = session.calls.read(Api::DescribeSubnets, || request.clone().send()).await?;
        let subnet = |subnet: &aws_sdk_ec2::types::Subnet| {
            Some((subnet.availability_zone()?.to_owned(), subnet.subnet_id()?.to_owned()))
        };
        let vpc = Vpc { id: id.to_owned(), subnets: answer.subnets().iter().filter_map(subnet).collect() };
        self.vpcs.lock().unwrap_or_else(PoisonError::into_inner).insert(session.scope.clone(), vpc.clone());
        Ok(vpc)
    }

    fn forget_vpc(&self, session: &Session) {
        self.vpcs.lock().unwrap_or_else(PoisonError::into_inner).remove(&session.scope);
    }

    /// From where the SSH port is open: what the user has set, this machine where the cloud is on it too, else this
    /// machine's address as the internet sees it.
    pub(crate) async fn cidr(&self, session: &Session, from: Option<&str>) -> Result<String, Failure> {
        match from {
            Some(from) => check_cidr(from),
            None if session.is_loopback => Ok("127.0.0.1/32".into()),
            None => self.own_cidr().await,
        }
    }

    async fn own_cidr(&self) -> Result<String, Failure> {
        let mut held = self.address.lock().await;
        let now = self.clock.boot();
        if let Some((_, cidr)) = held.as_ref().filter(|(since, _)| now.since(*since) < ADDRESS_AGE) {
            return Ok(cidr.clone());
        }
        let address = match (self.own_address.ask().await, held.as_ref()) {
            (Ok(address), _) => address,
            // Who is let in already is let in on.
            (Err(words), Some((_, cidr))) => {
                tracing::warn!(words, cidr, "this machine's own address is not known anew");
                return Ok(cidr.clone());
            }
            (Err(words), None) => {
                let words = format!(
                    "this machine's own address is not known ({words}): set it with `dstack autoscale set --ssh-from CIDR`"
                );
                // It may be known a moment later.
                return Err(Failure::new(Class::Unknown, words));
            }
        };
        let cidr = format!("{address}/32");
        *held = Some((now, cidr.clone()));
        Ok(cidr)
    }

    /// The log's group, with its port open from there.
    async fn open(
        &self,
        session: &Session,
        log: LogId,
        vpc: &Vpc,
        port: u16,
        cidr: &str,
        is_own: bool,
    ) -> Result<String, Failure> {
        let mut groups = self.groups.lock().await;
        let key = (session.scope.clone(), log);
        if groups.get(&key).is_none_or(|group| group.is_stale) {
            let missed = groups.get(&key).map_or(0, |group| group.missed);
            let found = match self.find(session, log, vpc).await? {
                Some(found) => found,
                None => self.create(session, log, vpc).await?,
            };
            groups.insert(key.clone(), Group { missed, ..found });
        }
        let group = groups.get_mut(&key).ok_or_else(|| Failure::new(Class::Unknown, "the group is gone"))?;
        let wanted = (port, cidr.to_owned());
        if !group.lets_in.contains(&wanted) {
            let request = session
                .ec2
                .authorize_security_group_ingress()
                .group_id(&group.id)
                .ip_permissions(permission(port, cidr, &self.mark));
            match session.calls.make(Api::AuthorizeSecurityGroupIngress, request.send()).await {
                Ok(_) => {}
                Err(failure) if failure.has_code("InvalidPermission.Duplicate") => {}
                Err(failure) => {
                    groups.remove(&key);
                    return Err(failure);
                }
            }
            group.lets_in.insert(wanted.clone());
        }
        if is_own {
            self.close_old(session, group, &wanted).await;
        }
        Ok(group.id.clone())
    }

    /// Takes back what this controller had let in from an address that it no longer has.
    async fn close_old(&self, session: &Session, group: &mut Group, wanted: &(u16, String)) {
        let old: Vec<_> =
            group.own.iter().filter(|(port, cidr)| *port == wanted.0 && *cidr != wanted.1).cloned().collect();
        group.own.insert(wanted.clone());
        for (port, cidr) in old {
            let request = session
                .ec2
                .revoke_security_group_ingress()
                .group_id(&group.id)
                .ip_permissions(permission(port, &cidr, &self.mark));
            let answer = session.calls.make(Api::RevokeSecurityGroupIngress, request.send()).await;
            // It stays in mind, so that the next time tries again.
            if let Err(failure) = answer
                && !failure.has_code("InvalidPermission.NotFound")
            {
                tracing::warn!(%failure, group = group.id, cidr, "an old address is still let in");
                continue;
            }
            let rule = (port, cidr);
            group.lets_in.remove(&rule);
            group.own.remove(&rule);
        }
    }

    async fn find(&self, session: &Session, log: LogId, vpc: &Vpc) -> Result<Option<Group>, Failure> {
        let found = described(session, log, vpc).await?;
        Ok(found.and_then(|group| Some(self.read(group.group_id()?, group.ip_permissions()))))
    }

    fn read(&self, id: &str, permissions: &[IpPermission]) -> Group {
        let mut group =
            Group { id: id.to_owned(), lets_in: BTreeSet::new(), own: BTreeSet::new(), missed: 0, is_stale: false };
        for permission in permissions.iter().filter(|permission| permission.ip_protocol() == Some("tcp")) {
            let Some(port) = permission.from_port().and_then(|port| u16::try_from(port).ok()) else { continue };
            for range in permission.ip_ranges() {
                let Some(cidr) = range.cidr_ip() else { continue };
                group.lets_in.insert((port, cidr.to_owned()));
                if range.description() == Some(&self.mark) {
                    group.own.insert((port, cidr.to_owned()));
                }
            }
        }
        group
    }

    async fn create(&self, session: &Session, log: LogId, vpc: &Vpc) -> Result<Group, Failure> {
        match session.calls.make(Api::CreateSecurityGroup, creation(session, log, vpc).send()).await {
            Ok(answer) => {
                let id = answer.group_id().ok_or_else(|| Failure::new(Class::Unknown, "the new group has no id"))?;
                Ok(self.read(id, &[]))
            }
            // Another controller was faster; or another's group has the name, and then nothing is found.
            Err(failure) if failure.has_code("InvalidGroup.Duplicate") => {
                self.find(session, log, vpc).await?.ok_or(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// EC2 did not know the group or the subnet of a launch. Whether that may pass: a new group is not seen everywhere at
    /// once. What is known of the network is forgotten, so that the next launch finds it anew.
    pub(crate) async fn may_appear(&self, session: &Session, log: LogId) -> bool {
        self.forget_vpc(session);
        let mut groups = self.groups.lock().await;
        let Some(group) = groups.get_mut(&(session.scope.clone(), log)) else { return true };
        group.missed += 1;
        group.is_stale = true;
        let may_appear = group.missed < MISSING_MOST;
        if !may_appear {
            groups.remove(&(session.scope.clone(), log));
        }
        may_appear
    }

    /// A launch has been taken, so EC2 knows the group.
    pub(crate) async fn has_appeared(&self, session: &Session, log: LogId) {
        if let Some(group) = self.groups.lock().await.get_mut(&(session.scope.clone(), log)) {
            group.missed = 0;
        }
    }

    /// Lets the controller in from the address that it has now, while there are machines that it reaches from its own.
    pub(crate) async fn follow_address(&self, session: &Session, log: LogId, ports: &BTreeSet<u16>) {
        if session.is_loopback || ports.is_empty() || !self.is_due(&session.scope, log) {
            return;
        }
        let refresh = async {
            let vpc = self.vpc(session).await?;
            let cidr = self.own_cidr().await?;
            for port in ports {
                self.open(session, log, &vpc, *port, &cidr, true).await?;
            }
            Ok::<(), Failure>(())
        };
        if let Err(failure) = refresh.await {
            tracing::warn!(%failure, "whether the runners still let this machine in is not known");
        }
    }

    fn is_due(&self, scope: &Scope, log: LogId) -> bool {
        let now = self.clock.boot();
        let mut refreshed = self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = refreshed.get(&(scope.clone(), log));
        let is_due = last.is_none_or(|last| now.since(*last) >= ADDRESS_AGE);
        if is_due {
            refreshed.insert((scope.clone(), log), now);
        }
        is_due
    }

    /// Deletes the log's group, in whatever network of the region it is. False if there is none.
    pub(crate) async fn delete_group(&self, session: &Session, log: LogId) -> Result<bool, Failure> {
        let mut groups = self.groups.lock().await;
        let ids: Vec<String> = all_described(session, log).await?.into_iter().filter_map(|it| it.group_id).collect();
        for id in &ids {
            self.delete(session, id).await?;
        }
        groups.remove(&(session.scope.clone(), log));
        Ok(!ids.is_empty())
    }

    async fn delete(&self, session: &Session, id: &str) -> Result<(), Failure> {
        let request = session.ec2.delete_security_group().group_id(id);
        let mut tries = 1;
        loop {
            match session.calls.make(Api::DeleteSecurityGroup, request.clone().send()).await {
                Err(failure) if failure.has_code("DependencyViolation") && tries < DELETIONS_MOST => {
                    tries += 1;
                    self.clock.sleep_until(self.clock.boot().plus(DELETION_PAUSE)).await;
                }
                // An answer before was lost, or somebody else was faster.
                Err(failure) if failure.has_code("InvalidGroup.NotFound") => return Ok(()),
                other => return other.map(|_| ()),
            }
        }
    }
}

/// A zone without a default subnet is one that has nothing to offer: others may have. It is a definite answer for whatever was
/// sent with the same token before, for that went into this zone's subnet too, and no subnet goes while a machine is in it.
/// Where no zone has one, nothing can be launched in the region.
fn no_subnet(vpc: &Vpc, zone: &str) -> Failure {
    let class = match vpc.subnets.is_empty() {
        true => Class::Invalid,
        false => Class::Capacity { all_zones: false, permanent: false },
    };
    let way = format!("`aws ec2 create-default-subnet --availability-zone {zone}` makes one");
    Failure::new(class, format!("the default network has no subnet in {zone}: {way}"))
}

/// The log's group in this network, as EC2 describes it.
async fn described(session: &Session, log: LogId, vpc: &Vpc) -> Result<Option<SecurityGroup>, Failure> {
    let found = all_described(session, log).await?;
    Ok(found.into_iter().find(|group| group.vpc_id().is_none_or(|id| id == vpc.id)))
}

/// The log's groups in every network of the region.
async fn all_described(session: &Session, log: LogId) -> Result<Vec<SecurityGroup>, Failure> {
    let request = session.ec2.describe_security_groups().filters(filter("group-name", &group_name(log)));
    let answer = session.calls.read(Api::DescribeSecurityGroups, || request.clone().send()).await?;
    // Anybody can give a group a name; the tag came with the group itself.
    let is_ours = |group: &SecurityGroup| tags::value(group.tags(), tags::LOG) == Some(log.to_string().as_str());
    Ok(answer.security_groups.unwrap_or_default().into_iter().filter(is_ours).collect())
}

/// The id of the log's group, if it has one.
pub(crate) async fn tagged_group(session: &Session, log: LogId, vpc: &Vpc) -> Result<Option<String>, Failure> {
    Ok(described(session, log, vpc).await?.and_then(|group| group.group_id))
}

/// What makes the log's group, with its tag in the same call.
pub(crate) fn creation(session: &Session, log: LogId, vpc: &Vpc) -> CreateSecurityGroupFluentBuilder {
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::SecurityGroup)
        .tags(tags::tag("Name", "dstack"))
        .tags(tags::tag(tags::LOG, log.to_string()))
        .build();
    session
        .ec2
        .create_security_group()
        .group_name(group_name(log))
        .description("SSH from the controller to the runners of one dstack log")
        .vpc_id(&vpc.id)
        .tag_specifications(tags)
}

pub(crate) fn permission(port: u16, cidr: &str, mark: &str) -> IpPermission {
    IpPermission::builder()
        .ip_protocol("tcp")
        .from_port(port.into())
        .to_port(port.into())
        .ip_ranges(IpRange::builder().cidr_ip(cidr).description(mark).build())
        .build()
}

fn check_cidr(text: &str) -> Result<String, Failure> {
    let refused = || {
        Failure::new(
            Class::Invalid,
            format!("{text:?} is no IPv4 block such as 203.0.113.7/32: `dstack autoscale set --ssh-from CIDR`"),
        )
    };
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let address: std::net::Ipv4Addr = address.parse().map_err(|_| refused())?;
    let length: u32 = length.parse().map_err(|_| refused())?;
    let mask = u32::MAX.checked_shl(32_u32.checked_sub(length).ok_or_else(refused)?).unwrap_or(0);
    Ok(format!("{}/{length}", std::net::Ipv4Addr::from(u32::from(address) & mask)))
}
