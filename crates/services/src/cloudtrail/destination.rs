//! Whether a trail may write to a log group: the group is there, and the role that writes may be taken by CloudTrail and
//! may write there. Asked when it is set, and at every delivery.

use std::sync::Arc;

use longshore_model::iam::{Caller, Claims, Identity, Role, key};
use longshore_model::policy::{
    Context as Conditions, Decision, Kind, Policies, Policy, Principal, Request, ResourceRule, evaluate,
};
use longshore_model::setting::{LogGroup, log_group_key};
use longshore_model::{Arn, Place, State};
use longshore_wire::Fault;

use super::fault;
use crate::authority::Authority;

/// Who writes for trails.
const SERVICE: &str = "cloudtrail.amazonaws.com";

const WRITES: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];

/// The stream that an account's records go to.
pub fn stream(place: &Place) -> String {
    format!("{}_CloudTrail_{}", place.account, place.region)
}

/// The group of an ARN, if the role may write to it.
///
/// # Errors
/// `InvalidCloudWatchLogsLogGroupArnException`, `InvalidCloudWatchLogsRoleArnException`.
pub fn check<'a>(state: &'a State, place: &Place, group: &str, role: &str) -> Result<&'a Arc<LogGroup>, Fault> {
    let missing = || fault::log_group("CloudTrail cannot validate the specified log group ARN.");
    let name = group_name(place, group).ok_or_else(missing)?;
    let found = state.log_groups.get(&log_group_key(&place.account, name)).ok_or_else(missing)?;
    let role = find(state, place, role).ok_or_else(|| fault::log_role("CloudTrail cannot find the specified role."))?;
    if !may_be_taken(role, place) {
        return Err(fault::log_role("Access denied. Verify in IAM that the role has an adequate trust relationship."));
    }
    let target = place.log_group(&format!("{name}:log-stream:{}", stream(place)));
    match WRITES.iter().all(|action| may(state, place, role, action, &target)) {
        true => Ok(found),
        false => Err(fault::log_role("Access denied. Check the permissions for your role.")),
    }
}

/// The name in the ARN of a group of this place, with or without `:*` behind it.
fn group_name<'a>(place: &Place, arn: &'a str) -> Option<&'a str> {
    let arn = Arn::parse(arn)?;
    let here = arn.service == "logs" && arn.region == place.region && arn.account == place.account.as_str();
    let name = arn.resource.strip_prefix("log-group:")?;
    Some(name.strip_suffix(":*").unwrap_or(name)).filter(|_| here)
}

fn find<'a>(state: &'a State, place: &Place, arn: &str) -> Option<&'a Role> {
    let name = arn.rsplit('/').next()?;
    let role = state.roles.get(&key(&place.account, name))?;
    (role.arn() == arn).then_some(role.as_ref())
}

fn may_be_taken(role: &Role, place: &Place) -> bool {
    let Ok(trust) = Policy::parse(Kind::Trust, &role.trust) else { return false };
    let mut context = Conditions::default();
    context.set("aws:SourceAccount", [place.account.as_str()]);
    let principal = Principal::Service(SERVICE.to_owned());
    let (action, arn) = ("sts:AssumeRole", role.arn());
    let request = Request { principal: &principal, action, resource: &arn, owner: &place.account, context: &context };
    let rule = ResourceRule::Required;
    let policies = Policies { identity: Vec::new(), boundary: None, session: None, resource: vec![&trust], rule };
    evaluate(&request, &policies) == Decision::Allow
}

fn may(state: &State, place: &Place, role: &Role, action: &str, resource: &str) -> bool {
    let identity = Identity::Session {
        role: role.name.clone(),
        path: role.path.clone(),
        id: role.id.clone(),
        name: "CloudTrail".to_owned(),
        tags: role.tags.clone(),
    };
    let caller =
        Caller { account: place.account.clone(), access_key: String::new(), identity, claims: Some(Claims::default()) };
    let Some(authority) = Authority::of(state, &caller) else { return false };
    let (principal, context) = (caller.principal(), caller.context());
    let request = Request { principal: &principal, action, resource, owner: &place.account, context: &context };
    authority.decide(&request, Vec::new(), ResourceRule::Suffices) == Decision::Allow
}
