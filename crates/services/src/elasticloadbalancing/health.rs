//! Health checks: what a group says of them, what it does not say, and what a target's health is.

use longshore_api::elasticloadbalancing as api;
use longshore_model::State;
use longshore_model::balancer::{self, HealthCheck, Target, TargetGroup};
use longshore_wire::Fault;

use super::fault;

/// What a request says; the same for making and changing a group.
#[derive(Debug, Default)]
pub struct Wanted {
    pub enabled: Option<bool>,
    pub protocol: Option<api::ProtocolEnum>,
    pub port: Option<String>,
    pub path: Option<String>,
    pub interval_seconds: Option<i32>,
    pub timeout_seconds: Option<i32>,
    pub healthy_threshold: Option<i32>,
    pub unhealthy_threshold: Option<i32>,
    pub matcher: Option<api::Matcher>,
}

/// The group as far as its checks depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    /// It is for application balancers.
    pub http: bool,
    pub version: Option<&'a str>,
    pub target_type: api::TargetTypeEnum,
}

impl Checked<'_> {
    fn is_grpc(self) -> bool {
        self.version == Some("GRPC")
    }

    /// The settings of a group that says nothing.
    fn usual(self, protocol: api::ProtocolEnum) -> HealthCheck {
        let by_http = is_http(protocol);
        let timeout_seconds = match (self.http, protocol) {
            (true, _) => 5,
            (false, api::ProtocolEnum::Http) => 6,
            (false, _) => 10,
        };
        let path = if self.is_grpc() { "/AWS.ALB/healthcheck" } else { "/" };
        let codes = match (self.is_grpc(), self.http) {
            (true, _) => "12",
            (false, true) => "200",
            (false, false) => "200-399",
        };
        HealthCheck {
            protocol,
            port: TRAFFIC_PORT.to_owned(),
            path: by_http.then(|| path.to_owned()),
            interval_seconds: 30,
            timeout_seconds,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            codes: by_http.then(|| codes.to_owned()),
        }
    }

    /// The settings of a new group.
    ///
    /// # Errors
    /// `ValidationError`
    pub fn made(self, wanted: Wanted) -> Result<HealthCheck, Fault> {
        let usual = if self.http { api::ProtocolEnum::Http } else { api::ProtocolEnum::Tcp };
        self.over(self.usual(wanted.protocol.unwrap_or(usual)), wanted)
    }

    /// These settings with what is wanted over them.
    ///
    /// # Errors
    /// `ValidationError`
    pub fn changed(self, check: HealthCheck, wanted: Wanted) -> Result<HealthCheck, Fault> {
        let protocol = wanted.protocol.unwrap_or(check.protocol);
        let kept = match is_http(protocol) == is_http(check.protocol) {
            true => HealthCheck { protocol, ..check },
            // Paths and codes come or go; the numbers stay.
            false => {
                let usual = self.usual(protocol);
                HealthCheck { protocol, path: usual.path, codes: usual.codes, ..check }
            }
        };
        self.over(kept, wanted)
    }

    fn over(self, check: HealthCheck, wanted: Wanted) -> Result<HealthCheck, Fault> {
        if wanted.enabled == Some(false) {
            let message =
                format!("Health check enabled must be true for target groups with target type '{}'", self.target_type);
            return Err(fault::invalid(message));
        }
        let protocol = check.protocol;
        if !is_http(protocol) && (self.http || protocol != api::ProtocolEnum::Tcp) {
            return Err(fault::invalid(format!("Health check protocol '{protocol}' is not supported")));
        }
        if !is_http(protocol) && (wanted.path.is_some() || wanted.matcher.is_some()) {
            let message = "A path and a matcher are not supported for health checks with protocol 'TCP'";
            return Err(fault::invalid(message));
        }
        let codes = wanted.matcher.map(|matcher| self.codes(matcher)).transpose()?;
        let check = HealthCheck {
            protocol,
            port: wanted.port.unwrap_or(check.port),
            path: wanted.path.or(check.path),
            interval_seconds: wanted.interval_seconds.unwrap_or(check.interval_seconds),
            timeout_seconds: wanted.timeout_seconds.unwrap_or(check.timeout_seconds),
            healthy_threshold: wanted.healthy_threshold.unwrap_or(check.healthy_threshold),
            unhealthy_threshold: wanted.unhealthy_threshold.unwrap_or(check.unhealthy_threshold),
            codes: codes.or(check.codes),
        };
        sound(&check)?;
        Ok(check)
    }

    /// The codes of a matcher.
    fn codes(self, matcher: api::Matcher) -> Result<String, Fault> {
        let (codes, range, called) = match (self.is_grpc(), self.http) {
            (true, _) => (matcher.grpc_code, (0, 99), "GRPC"),
            (false, true) => (matcher.http_code, (200, 499), "HTTP"),
            (false, false) => (matcher.http_code, (200, 599), "HTTP"),
        };
        let wrong = || {
            let (first, last) = range;
            fault::invalid(format!("Health check matcher {called} code must be within '{first}-{last}'"))
        };
        codes.filter(|codes| codes.len() <= LONGEST_CODES && are_codes(codes, range)).ok_or_else(wrong)
    }
}

const TRAFFIC_PORT: &str = "traffic-port";

/// Bytes of a matcher's codes.
const LONGEST_CODES: usize = 256;

fn is_http(protocol: api::ProtocolEnum) -> bool {
    matches!(protocol, api::ProtocolEnum::Http | api::ProtocolEnum::Https)
}

/// Whether these are `200`, `200-299`, or several with commas between.
fn are_codes(codes: &str, (first, last): (u32, u32)) -> bool {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| digits && (first..=last).contains(number))
    };
    codes.split(',').all(|part| match part.split_once('-') {
        Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
        None => number(part).is_some(),
    })
}

fn sound(check: &HealthCheck) -> Result<(), Fault> {
    if check.interval_seconds <= check.timeout_seconds {
        return Err(fault::invalid("Health check interval must be greater than the timeout."));
    }
    let port = check.port.parse::<u16>().is_ok_and(|port| port > 0) && !check.port.starts_with('+');
    if check.port != TRAFFIC_PORT && !port {
        let message = format!("Health check port '{:.64}' must be in the range 1-65535 inclusive", check.port);
        return Err(fault::invalid(message));
    }
    let path = check.path.as_deref().unwrap_or("/");
    if !path.starts_with('/') || path.chars().any(|one| one.is_control() || one == ' ') {
        return Err(fault::invalid(format!("Health check path '{path}' must begin with a '/' character")));
    }
    Ok(())
}

/// The port that a target is checked on.
pub fn port(group: &TargetGroup, target: &Target) -> String {
    match group.check.port.as_str() {
        TRAFFIC_PORT => target.port.to_string(),
        port => port.to_owned(),
    }
}

/// What is known of a target's health: what an edge has found, once it has checked.
pub fn of(state: &State, group: &TargetGroup, target: &Target) -> api::TargetHealth {
    use api::{TargetHealthReasonEnum as Reason, TargetHealthStateEnum as Health};
    if target.draining.is_some() {
        let text = "Target deregistration is in progress";
        return health(Health::Draining, Reason::TargetDeregistrationInProgress, text);
    }
    let Some(balancer) = balancer::balancer_of(state, &group.key()) else {
        let text = "Target group is not configured to receive traffic from the load balancer";
        return health(Health::Unused, Reason::TargetNotInUse, text);
    };
    if !balancer.is_in(target.zone.as_deref()) {
        let text = "Target is in an Availability Zone that is not enabled for the load balancer";
        return health(Health::Unused, Reason::TargetNotInUse, text);
    }
    match &target.health {
        Some(known) => {
            api::TargetHealth { state: Some(known.state), reason: known.reason, description: known.description.clone() }
        }
        None => health(Health::Initial, Reason::ElbRegistrationInProgress, "Target registration is in progress"),
    }
}

/// Of one that is not in the group.
pub fn not_registered() -> api::TargetHealth {
    let reason = api::TargetHealthReasonEnum::TargetNotRegistered;
    health(api::TargetHealthStateEnum::Unused, reason, "Target is not registered to the target group")
}

fn health(state: api::TargetHealthStateEnum, reason: api::TargetHealthReasonEnum, text: &str) -> api::TargetHealth {
    api::TargetHealth { state: Some(state), reason: Some(reason), description: Some(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbers_and_ranges_within_their_bounds() {
        for (codes, good) in [
            ("200", true),
            ("200,202", true),
            ("200-299,404", true),
            ("499", true),
            ("500", false),
            ("199", false),
            ("299-200", false),
            ("", false),
            ("200,", false),
            ("+200", false),
            ("0200", false),
            ("200-", false),
            ("200-300-400", false),
        ] {
            assert_eq!(are_codes(codes, (200, 499)), good, "{codes}");
        }
    }
}
