//! What becomes of a request: forwarded, redirected, answered.

use std::collections::BTreeSet;

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{LoadBalancer, MOST_GROUPS_OF_BALANCER, TargetGroup, groups_of};
use longshore_model::{Place, State};
use longshore_wire::Fault;

use super::{fault, group, resolve, target};

/// Groups that one action of an application balancer may forward to.
const MOST_GROUPS: usize = 5;

/// The weight that a group has at most, and what it has if a request does not say.
const HEAVIEST: i32 = 999;
const USUAL_WEIGHT: i32 = 1;

const CONTENT_TYPES: &[&str] = &["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// A listener that is there or is to be: of a balancer, with a protocol.
#[derive(Clone, Copy)]
pub struct At<'a> {
    pub state: &'a State,
    pub place: &'a Place,
    pub balancer: &'a LoadBalancer,
    pub protocol: api::ProtocolEnum,
}

/// The actions of a rule or of a listener, checked, and filled in with what they leave out.
///
/// # Errors
/// `ValidationError`, `InvalidLoadBalancerAction`, `TooManyActions`, `TargetGroupNotFound`, `IncompatibleProtocols`,
/// `TargetGroupAssociationLimit`, `InvalidConfigurationRequest`, and what is not built.
pub fn read(at: At<'_>, asked: Vec<api::Action>) -> Result<Vec<api::Action>, Fault> {
    let mut actions = asked.into_iter();
    let Some(action) = actions.next() else { return Err(fault::invalid("At least one action must be specified")) };
    let others = actions.next().is_some();
    let kind = action.r#type.ok_or_else(|| fault::invalid("The type of an action must be specified"))?;
    use api::ActionTypeEnum as Type;
    if matches!(kind, Type::AuthenticateOidc | Type::AuthenticateCognito | Type::JwtValidation) {
        return Err(fault::not_built(&format!("actions of type '{kind}'")));
    }
    if others {
        return Err(fault::too_many_actions("Only one forward, redirect or fixed-response action can be specified"));
    }
    if !at.balancer.is_application() && kind != Type::Forward {
        let message = format!("Actions of type '{kind}' are not supported for load balancers with type 'network'");
        return Err(fault::action(message));
    }
    stray(kind, &action)?;
    let action = match kind {
        Type::Redirect => redirect(action)?,
        Type::FixedResponse => fixed(action)?,
        _ => forward(at, action)?,
    };
    Ok(vec![action])
}

/// Only the configuration of its own type may be there.
fn stray(kind: api::ActionTypeEnum, action: &api::Action) -> Result<(), Fault> {
    use api::ActionTypeEnum as Type;
    let forwards = action.target_group_arn.is_some() || action.forward_config.is_some();
    let stray = match kind {
        Type::Redirect => forwards || action.fixed_response_config.is_some(),
        Type::FixedResponse => forwards || action.redirect_config.is_some(),
        _ => action.redirect_config.is_some() || action.fixed_response_config.is_some(),
    };
    let other = action.authenticate_oidc_config.is_some()
        || action.authenticate_cognito_config.is_some()
        || action.jwt_validation_config.is_some();
    match stray || other {
        true => Err(fault::action(format!("An action of type '{kind}' has the configuration of another type"))),
        false => Ok(()),
    }
}

fn redirect(action: api::Action) -> Result<api::Action, Fault> {
    let missing = || fault::action("A redirect configuration must be specified for an action of type 'redirect'");
    let asked = action.redirect_config.ok_or_else(missing)?;
    let or = |text: Option<String>, usual: &str| Some(text.unwrap_or_else(|| usual.to_owned()));
    let config = api::RedirectActionConfig {
        protocol: or(asked.protocol, "#{protocol}"),
        port: or(asked.port, "#{port}"),
        host: or(asked.host, "#{host}"),
        path: or(asked.path, "/#{path}"),
        query: or(asked.query, "#{query}"),
        status_code: asked.status_code,
    };
    let port = config.port.as_deref().unwrap_or_default();
    let number = port.parse::<u16>().is_ok_and(|number| number > 0) && !port.starts_with('+');
    if port != "#{port}" && !number {
        return Err(fault::action(format!("The redirect port '{port:.64}' must be within 1-65535 or '#{{port}}'")));
    }
    if !config.path.as_deref().is_some_and(|path| path.starts_with('/')) {
        return Err(fault::action("The redirect path must start with a '/'"));
    }
    if config.query.as_deref().is_some_and(|query| query.starts_with('?')) {
        return Err(fault::action("The redirect query must not start with a '?'"));
    }
    let texts = [&config.host, &config.path, &config.query];
    if texts.into_iter().flatten().any(|text| text.chars().any(|one| one.is_control() || one == ' ')) {
        return Err(fault::action("The redirect configuration has characters that are not valid in a URL"));
    }
    let same = [
        (&config.protocol, "#{protocol}"),
        (&config.port, "#{port}"),
        (&config.host, "#{host}"),
        (&config.path, "/#{path}"),
    ];
    if same.into_iter().all(|(text, usual)| text.as_deref() == Some(usual)) {
        return Err(fault::action("The redirect configuration is not valid because it creates a loop."));
    }
    Ok(api::Action { redirect_config: Some(config), ..action })
}

fn fixed(action: api::Action) -> Result<api::Action, Fault> {
    let missing = "A fixed response configuration must be specified for an action of type 'fixed-response'";
    let config = action.fixed_response_config.as_ref().ok_or_else(|| fault::action(missing))?;
    let content = config.content_type.as_deref().filter(|content| !content.is_empty());
    if let Some(content) = content.filter(|content| !CONTENT_TYPES.contains(content)) {
        return Err(fault::action(format!("The content type '{content:.64}' is not supported for fixed responses")));
    }
    Ok(action)
}

fn forward(at: At<'_>, action: api::Action) -> Result<api::Action, Fault> {
    let tuples = tuples(at, &action)?;
    for tuple in &tuples {
        let arn = tuple.target_group_arn.as_deref().unwrap_or_default();
        fits(at, arn, &*resolve::group(at.state, at.place, arn)?)?;
    }
    let stickiness = stickiness(action.forward_config.and_then(|config| config.target_group_stickiness_config))?;
    let single = match tuples.as_slice() {
        [only] => only.target_group_arn.clone(),
        _ => None,
    };
    let config =
        api::ForwardActionConfig { target_groups: Some(tuples), target_group_stickiness_config: Some(stickiness) };
    Ok(api::Action {
        r#type: action.r#type,
        order: action.order,
        target_group_arn: single,
        forward_config: Some(config),
        ..api::Action::default()
    })
}

/// The groups that an action forwards to, with their weights.
fn tuples(at: At<'_>, action: &api::Action) -> Result<Vec<api::TargetGroupTuple>, Fault> {
    let weighted = action.forward_config.as_ref().and_then(|config| config.target_groups.clone()).unwrap_or_default();
    let tuples = match (&action.target_group_arn, weighted.is_empty()) {
        (None, true) => return Err(fault::action("A target group ARN must be specified")),
        (Some(arn), true) => vec![api::TargetGroupTuple { target_group_arn: Some(arn.clone()), weight: None }],
        (None, false) => weighted,
        (Some(arn), false) => {
            let same = weighted.len() == 1 && weighted[0].target_group_arn.as_ref() == Some(arn);
            let message = "You cannot specify both a target group ARN and a different forward configuration";
            if same { weighted } else { return Err(fault::action(message)) }
        }
    };
    let most = if at.balancer.is_application() { MOST_GROUPS } else { 1 };
    if tuples.len() > most {
        return Err(fault::action(format!("An action can forward to at most '{most}' target groups")));
    }
    let distinct: BTreeSet<_> = tuples.iter().map(|tuple| &tuple.target_group_arn).collect();
    if distinct.len() < tuples.len() {
        return Err(fault::action("A target group is specified twice in a forward action"));
    }
    tuples.into_iter().map(weighed).collect()
}

fn weighed(tuple: api::TargetGroupTuple) -> Result<api::TargetGroupTuple, Fault> {
    let weight = tuple.weight.unwrap_or(USUAL_WEIGHT);
    if tuple.target_group_arn.is_none() {
        return Err(fault::action("A target group ARN must be specified"));
    }
    match (0..=HEAVIEST).contains(&weight) {
        true => Ok(api::TargetGroupTuple { weight: Some(weight), ..tuple }),
        false => Err(fault::action(format!("Target group weight '{weight}' must be within 0-{HEAVIEST}"))),
    }
}

fn stickiness(asked: Option<api::TargetGroupStickinessConfig>) -> Result<api::TargetGroupStickinessConfig, Fault> {
    let asked = asked.unwrap_or_default();
    let enabled = asked.enabled.unwrap_or(false);
    let sound = asked.duration_seconds.is_none_or(|seconds| (1..=604_800).contains(&seconds));
    if !sound || enabled && asked.duration_seconds.is_none() {
        return Err(fault::action("Target group stickiness duration must be within 1-604800 seconds"));
    }
    Ok(api::TargetGroupStickinessConfig { enabled: Some(enabled), ..asked })
}

/// Whether a listener may forward to a group.
fn fits(at: At<'_>, arn: &str, group: &TargetGroup) -> Result<(), Fault> {
    use api::ProtocolEnum as Protocol;
    let good = match at.protocol {
        Protocol::Http | Protocol::Https => group.is_http(),
        Protocol::Tcp => group.protocol == Protocol::Tcp,
        Protocol::Tls => matches!(group.protocol, Protocol::Tcp | Protocol::Tls),
        Protocol::Udp => matches!(group.protocol, Protocol::Udp | Protocol::TcpUdp),
        other => group.protocol == other,
    };
    if !good {
        return Err(fault::incompatible(format!(
            "The protocol '{}' of the target group '{arn}' is not compatible with the listener protocol '{}'",
            group.protocol, at.protocol
        )));
    }
    if group.vpc != at.balancer.vpc {
        return Err(fault::configuration(format!(
            "The target group '{arn}' is in another VPC than the load balancer: '{}'",
            group.vpc
        )));
    }
    let own = at.balancer.key();
    let mut listeners = at.state.index.balancing.listeners(&group.key()).filter_map(|key| at.state.listeners.get(key));
    match listeners.any(|listener| listener.balancer_key() != own) {
        true => Err(fault::association(format!(
            "The following target groups cannot be associated with more than one load balancer: {arn}"
        ))),
        false => Ok(()),
    }
}

/// Whether the balancer has room for what it forwards to, with these actions besides.
///
/// # Errors
/// `TooManyUniqueTargetGroupsPerLoadBalancer`, `TooManyTargets`.
pub fn within(at: At<'_>, actions: &[api::Action]) -> Result<(), Fault> {
    let balancer = at.balancer;
    let known = group::of_balancer(at.state, &balancer.account, &balancer.name);
    let arns = actions.iter().flat_map(groups_of);
    let new = arns.filter_map(|arn| resolve::group(at.state, at.place, arn).ok()).map(|group| group.key());
    let all: BTreeSet<String> = known.iter().cloned().chain(new).collect();
    if all.len() == known.len() {
        return Ok(());
    }
    if all.len() > MOST_GROUPS_OF_BALANCER {
        return Err(fault::too_many_unique_groups(format!(
            "The limit of '{MOST_GROUPS_OF_BALANCER}' target groups of a load balancer is reached"
        )));
    }
    let most = target::most_of(balancer);
    match target::count(at.state, all.iter()) > most {
        true => Err(fault::too_many_targets(format!("The limit of '{most}' targets of a load balancer is reached"))),
        false => Ok(()),
    }
}
