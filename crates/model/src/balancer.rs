//! Elastic Load Balancing: load balancers with their listeners and rules, target groups with their targets.
//!
//! A listener holds its rules: both change together and go together. What the caller says of actions and conditions is
//! kept as it came; what it leaves out is filled in.
//!
//! Left out: gateway load balancers, trust stores, rewrites.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use longshore_api::elasticloadbalancing as api;
use longshore_wire::{Timestamp, record};

use crate::arn::{Arn, Place};
use crate::certificate;
use crate::ids::AccountId;
use crate::network::Block;
use crate::state::State;

/// Addresses that balancers listen on unless they are given another: `127.64.0.0/10`. Whatever else a machine has on its
/// loopback interface (127.0.0.1, a resolver at 127.0.0.53) is not in it.
pub const LOOPBACK: Block = Block { base: 0x7f40_0000, prefix: 10 };

/// Where balancers answer in the networks of tasks, in which [`LOOPBACK`] is the task itself: `240.64.0.0/10`, of the
/// addresses that nobody has. A balancer's zone has the same place in both blocks ([`inside`]).
pub const INSIDE: Block = Block { base: 0xf040_0000, prefix: 10 };

/// Quotas of an account and of what is in it, as AWS sets them at first.
pub const MOST_BALANCERS: usize = 50;
pub const MOST_GROUPS: usize = 3000;
/// Of one balancer.
pub const MOST_LISTENERS: usize = 50;
pub const MOST_RULES: usize = 100;
pub const MOST_GROUPS_OF_BALANCER: usize = 100;
/// Besides the default ones.
pub const MOST_CERTIFICATES: usize = 25;
pub const MOST_TARGETS_OF_APPLICATION: usize = 1000;
pub const MOST_TARGETS_OF_NETWORK: usize = 3000;
/// Of one group.
pub const MOST_TARGETS: usize = 1000;

pub type Map = BTreeMap<String, String>;

record! {
    /// An Application or Network Load Balancer.
    pub struct LoadBalancer {
        pub account: String = "account",
        pub name: String = "name",
        /// 16 hex digits.
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub kind: api::LoadBalancerTypeEnum = "kind",
        pub scheme: api::LoadBalancerSchemeEnum = "scheme",
        pub vpc: String = "vpc",
        /// At least one, no zone twice.
        pub zones: Vec<BalancerZone> = "zones",
        pub security_groups: Vec<String> = "securityGroups",
        /// Whether security groups hold for traffic from PrivateLink too: `on`, `off`.
        pub private_link_rules: Option<String> = "privateLinkRules",
        /// Of a record that was written before each zone had an address: that of its first zone ([`LoadBalancer::settle`]).
        pub address: Option<String> = "address",
        /// Those that were set; the others are as AWS sets them at first.
        pub attributes: Map = "attributes",
        pub tags: Map = "tags",
    }

    /// A zone that a balancer is in.
    pub struct BalancerZone {
        pub zone: String = "zone",
        pub subnet: String = "subnet",
        /// The address that it listens on there, of [`LOOPBACK`]; none until it is given.
        pub address: Option<String> = "address",
    }

    /// Where requests go.
    pub struct TargetGroup {
        pub account: String = "account",
        pub name: String = "name",
        /// 16 hex digits.
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        /// `instance` or `ip`.
        pub target_type: api::TargetTypeEnum = "targetType",
        pub protocol: api::ProtocolEnum = "protocol",
        /// `HTTP1`, `HTTP2`, `GRPC`, of groups of application balancers.
        pub version: Option<String> = "version",
        pub port: i32 = "port",
        pub vpc: String = "vpc",
        pub check: HealthCheck = "check",
        pub attributes: Map = "attributes",
        pub tags: Map = "tags",
    }

    /// How a group's targets are checked.
    pub struct HealthCheck {
        pub protocol: api::ProtocolEnum = "protocol",
        /// A port's number or `traffic-port`.
        pub port: String = "port",
        /// Of HTTP and HTTPS checks.
        pub path: Option<String> = "path",
        pub interval_seconds: i32 = "intervalSeconds",
        pub timeout_seconds: i32 = "timeoutSeconds",
        /// Checks in a row.
        pub healthy_threshold: i32 = "healthyThreshold",
        pub unhealthy_threshold: i32 = "unhealthyThreshold",
        /// Codes that are good: `200`, `200-299`, `200,202`; of HTTP or of gRPC.
        pub codes: Option<String> = "codes",
    }

    /// What a balancer listens to.
    pub struct Listener {
        pub account: String = "account",
        /// The balancer's name.
        pub balancer: String = "balancer",
        /// 16 hex digits.
        pub id: String = "id",
        pub port: i32 = "port",
        pub protocol: api::ProtocolEnum = "protocol",
        /// ARNs of certificates, the default one first; HTTPS and TLS have one at least.
        pub certificates: Vec<String> = "certificates",
        /// `ELBSecurityPolicy-…`; HTTPS and TLS have one.
        pub ssl_policy: Option<String> = "sslPolicy",
        /// `HTTP1Only`, `HTTP2Preferred`, …; TLS may have one.
        pub alpn_policy: Option<String> = "alpnPolicy",
        /// Of the default rule, for requests that no other one takes.
        pub actions: Vec<api::Action> = "actions",
        /// Id of the default rule.
        pub default_rule: String = "defaultRule",
        pub default_rule_tags: Map = "defaultRuleTags",
        /// The others, the lowest priority first.
        pub rules: Vec<Rule> = "rules",
        pub attributes: Map = "attributes",
        pub tags: Map = "tags",
    }

    /// What becomes of requests that meet all conditions.
    pub struct Rule {
        /// 16 hex digits.
        pub id: String = "id",
        /// 1 to 50,000, no two of a listener alike.
        pub priority: i32 = "priority",
        pub conditions: Vec<api::RuleCondition> = "conditions",
        pub actions: Vec<api::Action> = "actions",
        pub tags: Map = "tags",
    }

    /// One that is registered with a group.
    pub struct Target {
        pub account: String = "account",
        /// Id of the group.
        pub group: String = "group",
        /// An address or an instance.
        pub id: String = "id",
        pub port: i32 = "port",
        /// A zone or `all`.
        pub zone: Option<String> = "zone",
        pub registered_at: Timestamp = "registeredAt",
        /// Of one that was deregistered.
        pub draining: Option<Draining> = "draining",
        /// What an edge has found; none before its first check, and none of a target that is registered again.
        pub health: Option<Health> = "health",
    }

    /// How a target was found, in the words of `DescribeTargetHealth`.
    pub struct Health {
        pub state: api::TargetHealthStateEnum = "state",
        pub reason: Option<api::TargetHealthReasonEnum> = "reason",
        pub description: Option<String> = "description",
        pub at: Timestamp = "at",
    }

    /// How long a target that was deregistered stays.
    pub struct Draining {
        pub since: Timestamp = "since",
        pub until: Timestamp = "until",
    }
}

/// `ACCOUNT/NAME`, of balancers and groups.
pub fn key(account: &AccountId, name: &str) -> String {
    format!("{account}/{name}")
}

/// `ACCOUNT/BALANCER/ID` of a listener; without the id, what the keys of a balancer's listeners begin with.
pub fn listener_key(account: &str, balancer: &str, id: &str) -> String {
    format!("{account}/{balancer}/{id}")
}

/// `ACCOUNT/GROUP/ID/PORT` of a target; [`targets_prefix`] is what the keys of a group's targets begin with.
pub fn target_key(account: &str, group: &str, id: &str, port: i32) -> String {
    format!("{account}/{group}/{id}/{port}")
}

/// What the keys of the targets begin with, by their group's id.
pub fn targets_prefix(account: &str, group: &str) -> String {
    format!("{account}/{group}/")
}

/// The address of [`INSIDE`] for one of [`LOOPBACK`].
pub fn inside(address: Ipv4Addr) -> Option<Ipv4Addr> {
    INSIDE.address(u64::from(u32::from(address).checked_sub(LOOPBACK.base)?))
}

/// The balancer that forwards to the group with this key.
pub fn balancer_of<'s>(state: &'s State, group: &str) -> Option<&'s Arc<LoadBalancer>> {
    let listener = state.listeners.get(state.index.balancing.listeners(group).next()?)?;
    state.load_balancers.get(&listener.balancer_key())
}

/// The short word of ARNs.
fn word(kind: api::LoadBalancerTypeEnum) -> &'static str {
    match kind {
        api::LoadBalancerTypeEnum::Application => "app",
        api::LoadBalancerTypeEnum::Network => "net",
        api::LoadBalancerTypeEnum::Gateway => "gwy",
    }
}

/// What `arn:aws:elasticloadbalancing:REGION:ACCOUNT:` begins.
const SERVICE: &str = "elasticloadbalancing";

impl LoadBalancer {
    pub fn key(&self) -> String {
        format!("{}/{}", self.account, self.name)
    }

    /// The zones that have an address of [`LOOPBACK`], with it.
    pub fn addresses(&self) -> impl Iterator<Item = (&BalancerZone, Ipv4Addr)> {
        let mut old = self.address.as_deref();
        self.zones.iter().filter_map(move |zone| {
            let address = zone.address.as_deref().or_else(|| old.take())?;
            Some((zone, address.parse().ok()?))
        })
    }

    /// A record of before is as those of now: what was the balancer's address is that of its first zone.
    pub fn settle(&mut self) {
        let first = self.zones.iter_mut().find(|zone| zone.address.is_none());
        if let (Some(zone), Some(address)) = (first, self.address.take()) {
            zone.address = Some(address);
        }
    }

    /// Whether it has requests for targets of a zone; `all` and none are every zone.
    pub fn is_in(&self, zone: Option<&str>) -> bool {
        zone.filter(|zone| *zone != "all").is_none_or(|zone| self.zones.iter().any(|one| one.zone == zone))
    }

    pub fn is_application(&self) -> bool {
        self.kind == api::LoadBalancerTypeEnum::Application
    }

    /// `app/NAME/ID`, the part that ARNs of its listeners and rules share.
    fn path(&self) -> String {
        format!("{}/{}/{}", word(self.kind), self.name, self.id)
    }

    pub fn arn(&self, place: &Place) -> String {
        place.arn(SERVICE, &format!("loadbalancer/{}", self.path()))
    }

    pub fn listener_arn(&self, place: &Place, listener: &str) -> String {
        place.arn(SERVICE, &format!("listener/{}/{listener}", self.path()))
    }

    pub fn rule_arn(&self, place: &Place, listener: &str, rule: &str) -> String {
        place.arn(SERVICE, &format!("listener-rule/{}/{listener}/{rule}", self.path()))
    }

    /// `NAME-ID.REGION.elb.localhost`, with `internal-` before it as AWS has it for internal application balancers.
    pub fn dns_name(&self, region: &str) -> String {
        let inside = self.is_application() && self.scheme == api::LoadBalancerSchemeEnum::Internal;
        let prefix = if inside { "internal-" } else { "" };
        format!("{prefix}{}-{}.{region}.elb.localhost", self.name, self.id)
    }
}

impl TargetGroup {
    pub fn key(&self) -> String {
        format!("{}/{}", self.account, self.name)
    }

    pub fn arn(&self, place: &Place) -> String {
        place.arn(SERVICE, &format!("targetgroup/{}/{}", self.name, self.id))
    }

    /// Whether targets see the client's address, unless an attribute says otherwise: those of datagrams, and instances.
    pub fn preserves_client(&self) -> bool {
        !self.is_http() && (self.has_datagrams() || self.target_type == api::TargetTypeEnum::Instance)
    }

    /// Whether its targets get datagrams. Such flows end with the deregistration delay, unless an attribute says otherwise.
    pub fn has_datagrams(&self) -> bool {
        matches!(self.protocol, api::ProtocolEnum::Udp | api::ProtocolEnum::TcpUdp)
    }

    /// How long a target drains, in seconds: 300 unless an attribute says otherwise.
    pub fn deregistration_delay_seconds(&self) -> i64 {
        let given = self.attributes.get("deregistration_delay.timeout_seconds");
        given.and_then(|value| value.parse().ok()).unwrap_or(300)
    }

    /// Whether it is for application balancers.
    pub fn is_http(&self) -> bool {
        matches!(self.protocol, api::ProtocolEnum::Http | api::ProtocolEnum::Https)
    }
}

impl Listener {
    pub fn key(&self) -> String {
        listener_key(&self.account, &self.balancer, &self.id)
    }

    /// Key of its balancer.
    pub fn balancer_key(&self) -> String {
        format!("{}/{}", self.account, self.balancer)
    }

    /// Keys of the groups that its rules forward to.
    pub fn group_keys(&self) -> BTreeSet<String> {
        let actions = self.actions.iter().chain(self.rules.iter().flat_map(|rule| &rule.actions));
        let names = actions.flat_map(groups_of).filter_map(group_name);
        names.map(|name| format!("{}/{name}", self.account)).collect()
    }

    /// Keys of the certificates that it has.
    pub fn certificate_keys(&self) -> BTreeSet<String> {
        self.certificates.iter().filter_map(|arn| certificate::key_of(arn)).collect()
    }
}

impl Target {
    pub fn key(&self) -> String {
        target_key(&self.account, &self.group, &self.id, self.port)
    }

    /// Whether it is given requests because its checks succeed.
    pub fn is_healthy(&self) -> bool {
        let healthy = |health: &Health| health.state == api::TargetHealthStateEnum::Healthy;
        self.draining.is_none() && self.health.as_ref().is_some_and(healthy)
    }
}

/// How the tables change, and the indices with them. Without a row it goes.
impl State {
    pub(crate) fn set_load_balancer(&mut self, key: &Arc<str>, row: Option<&Arc<LoadBalancer>>) {
        let old = self.load_balancers.set(key, row);
        self.index.balancing.replace_balancer(old.as_deref(), row.map(AsRef::as_ref));
    }

    pub(crate) fn set_listener(&mut self, key: &Arc<str>, row: Option<&Arc<Listener>>) {
        let old = self.listeners.set(key, row);
        self.index.balancing.replace_listener(key, old.as_deref(), row.map(AsRef::as_ref));
    }

    pub(crate) fn set_target(&mut self, key: &Arc<str>, row: Option<&Arc<Target>>) {
        let old = self.targets.set(key, row);
        self.index.replace_target(key, old.as_deref(), row.map(AsRef::as_ref));
    }
}

/// ARNs of the groups that an action forwards to.
pub fn groups_of(action: &api::Action) -> impl Iterator<Item = &str> {
    let weighted = action.forward_config.iter().flat_map(|config| config.target_groups.iter().flatten());
    let weighted = weighted.filter_map(|tuple| tuple.target_group_arn.as_deref());
    action.target_group_arn.as_deref().into_iter().chain(weighted)
}

/// The name of the group with this ARN.
pub fn group_name(arn: &str) -> Option<&str> {
    group_parts(arn).map(|(name, _)| name)
}

/// The id of the group with this ARN.
pub fn group_id(arn: &str) -> Option<&str> {
    group_parts(arn).map(|(_, id)| id)
}

fn group_parts(arn: &str) -> Option<(&str, &str)> {
    Arn::parse(arn)?.resource.strip_prefix("targetgroup/")?.split_once('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer() -> LoadBalancer {
        LoadBalancer {
            account: "123456789012".to_owned(),
            name: "web".to_owned(),
            id: "50dc6c495c0c9188".to_owned(),
            created_at: Timestamp::from_millis(0),
            kind: api::LoadBalancerTypeEnum::Application,
            scheme: api::LoadBalancerSchemeEnum::InternetFacing,
            vpc: "vpc-1".to_owned(),
            zones: Vec::new(),
            security_groups: Vec::new(),
            private_link_rules: None,
            address: None,
            attributes: Map::new(),
            tags: Map::new(),
        }
    }

    #[test]
    fn arns_and_names_are_as_aws_forms_them() {
        let place = Place::new("us-east-1", &AccountId::parse("123456789012").unwrap());
        let here = "arn:aws:elasticloadbalancing:us-east-1:123456789012:";
        let web = balancer();
        assert_eq!(web.arn(&place), format!("{here}loadbalancer/app/web/50dc6c495c0c9188"));
        assert_eq!(web.listener_arn(&place, "l"), format!("{here}listener/app/web/50dc6c495c0c9188/l"));
        assert_eq!(web.rule_arn(&place, "l", "r"), format!("{here}listener-rule/app/web/50dc6c495c0c9188/l/r"));
        assert_eq!(web.dns_name("eu-west-1"), "web-50dc6c495c0c9188.eu-west-1.elb.localhost");
        let internal = LoadBalancer { scheme: api::LoadBalancerSchemeEnum::Internal, ..balancer() };
        assert_eq!(internal.dns_name("eu-west-1"), "internal-web-50dc6c495c0c9188.eu-west-1.elb.localhost");
        let network = LoadBalancer { kind: api::LoadBalancerTypeEnum::Network, ..internal };
        assert_eq!(network.dns_name("eu-west-1"), "web-50dc6c495c0c9188.eu-west-1.elb.localhost");
        assert_eq!(network.arn(&place), format!("{here}loadbalancer/net/web/50dc6c495c0c9188"));
    }

    #[test]
    fn an_address_has_its_like_inside() {
        assert_eq!(inside(Ipv4Addr::new(127, 64, 0, 1)), Some(Ipv4Addr::new(240, 64, 0, 1)));
        assert_eq!(inside(Ipv4Addr::new(127, 127, 255, 254)), Some(Ipv4Addr::new(240, 127, 255, 254)));
        assert_eq!(inside(Ipv4Addr::new(127, 0, 0, 1)), None);
    }

    #[test]
    fn a_record_of_before_has_its_address_in_its_first_zone() {
        let zone = |name: &str| BalancerZone { zone: name.into(), subnet: name.into(), address: None };
        let written = longshore_wire::json::to_vec(&LoadBalancer { zones: vec![zone("a"), zone("b")], ..balancer() });
        let written = String::from_utf8(written).unwrap().replacen('{', "{\"address\":\"127.64.0.1\",", 1);
        let mut read: LoadBalancer = longshore_wire::json::from_slice(written.as_bytes()).unwrap();
        let addresses = |row: &LoadBalancer| -> Vec<(String, Ipv4Addr)> {
            row.addresses().map(|(zone, address)| (zone.zone.clone(), address)).collect()
        };
        let first = [("a".to_owned(), Ipv4Addr::new(127, 64, 0, 1))];
        assert_eq!(addresses(&read), first);
        read.settle();
        assert_eq!((read.address.as_deref(), read.zones[0].address.as_deref()), (None, Some("127.64.0.1")));
        assert_eq!(addresses(&read), first);
        assert!(read.is_in(Some("b")) && read.is_in(Some("all")) && read.is_in(None) && !read.is_in(Some("c")));
    }

    #[test]
    fn a_listener_knows_the_groups_of_all_its_rules() {
        let arn = |name: &str| format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{name}/0");
        let plain = |name: &str| api::Action { target_group_arn: Some(arn(name)), ..api::Action::default() };
        let tuple = api::TargetGroupTuple { target_group_arn: Some(arn("c")), weight: Some(0) };
        let config =
            api::ForwardActionConfig { target_groups: Some(vec![tuple]), target_group_stickiness_config: None };
        let weighted = api::Action { forward_config: Some(config), ..api::Action::default() };
        let rule = |action| Rule {
            id: String::new(),
            priority: 1,
            conditions: Vec::new(),
            actions: vec![action],
            tags: Map::new(),
        };
        let listener = Listener {
            account: "1".to_owned(),
            balancer: "web".to_owned(),
            id: "l".to_owned(),
            port: 80,
            protocol: api::ProtocolEnum::Http,
            certificates: Vec::new(),
            ssl_policy: None,
            alpn_policy: None,
            actions: vec![plain("a")],
            default_rule: "d".to_owned(),
            default_rule_tags: Map::new(),
            rules: vec![rule(plain("b")), rule(weighted), rule(plain("a"))],
            attributes: Map::new(),
            tags: Map::new(),
        };
        assert_eq!(listener.group_keys().into_iter().collect::<Vec<_>>(), ["1/a", "1/b", "1/c"]);
        assert_eq!(listener.key(), "1/web/l");
    }
}
