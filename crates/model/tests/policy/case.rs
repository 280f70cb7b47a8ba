//! A case: a request and the policies that bear on it, as plain data; and what the engine makes of it.

use longshore_model::AccountId;
use longshore_model::policy::{
    Context, Decision, Kind, Lack, Malformed, Policies, Policy, Principal, Reason, Request, ResourceRule, evaluate,
};
use serde_json::Value;

/// Who asks, by letter: `root`, `user`, `session`, `federated`, `service`, all of account 111111111111.
pub type Who = &'static str;

pub const ACCOUNT: &str = "111111111111";
pub const USER: &str = "arn:aws:iam::111111111111:user/team/ann";
pub const ROLE: &str = "arn:aws:iam::111111111111:role/app";
pub const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/app/one";
pub const FEDERATED: &str = "arn:aws:sts::111111111111:federated-user/ann";
pub const SERVICE: &str = "ecs-tasks.amazonaws.com";

#[derive(Clone, Debug)]
pub struct Case {
    pub who: Who,
    pub action: String,
    pub resource: String,
    pub owner: String,
    /// Further keys; those of the principal come with it.
    pub context: Vec<(String, Vec<String>)>,
    pub identity: Vec<Value>,
    pub boundary: Option<Value>,
    pub session: Option<Vec<Value>>,
    pub resource_policies: Vec<Value>,
    /// Whether the resource's policies must allow themselves.
    pub required: bool,
}

impl Case {
    /// Every key of the request, by name in lower case.
    pub fn keys(&self) -> Vec<(String, Vec<String>)> {
        let mut context = principal(self.who).context();
        for (key, values) in &self.context {
            context.set(key, values.iter().map(String::as_str));
        }
        context.iter().map(|(key, values)| (key.to_owned(), values.to_vec())).collect()
    }
}

fn principal(who: Who) -> Principal {
    let account = AccountId::parse(ACCOUNT).unwrap();
    match who {
        "root" => Principal::Root(account),
        "user" => Principal::User { account, arn: USER.to_owned() },
        "session" => Principal::Session { account, role: ROLE.to_owned(), arn: SESSION.to_owned() },
        "federated" => Principal::Federated { account, arn: FEDERATED.to_owned() },
        _ => Principal::Service(SERVICE.to_owned()),
    }
}

fn parse(kind: Kind, values: &[Value]) -> Result<Vec<Policy>, Malformed> {
    values.iter().map(|value| Policy::parse(kind, &value.to_string())).collect()
}

/// What the engine decides: `allow`, `deny KIND`, `lack KIND`.
pub fn engine(case: &Case) -> Result<String, Malformed> {
    asked(case, |request, policies| told(evaluate(request, policies)))
}

/// Puts a case together and asks something about it.
pub fn asked<T>(case: &Case, ask: impl FnOnce(&Request<'_>, &Policies<'_>) -> T) -> Result<T, Malformed> {
    let identity = parse(Kind::Identity, &case.identity)?;
    let boundary = case.boundary.as_ref().map(|value| Policy::parse(Kind::Boundary, &value.to_string())).transpose()?;
    let session = case.session.as_ref().map(|values| parse(Kind::Session, values)).transpose()?;
    let resource = parse(Kind::Resource, &case.resource_policies)?;
    let mut context = Context::default();
    for (key, values) in case.keys() {
        context.set(&key, values);
    }
    let principal = principal(case.who);
    let owner = AccountId::parse(&case.owner).unwrap();
    let policies = Policies {
        identity: identity.iter().collect(),
        boundary: boundary.as_ref(),
        session: session.as_ref().map(|policies| policies.iter().collect()),
        resource: resource.iter().collect(),
        rule: if case.required { ResourceRule::Required } else { ResourceRule::Suffices },
    };
    let request = Request {
        principal: &principal,
        action: &case.action,
        resource: &case.resource,
        owner: &owner,
        context: &context,
    };
    Ok(ask(&request, &policies))
}

/// A decision in words.
pub fn told(decision: Decision) -> String {
    match decision {
        Decision::Allow => "allow".to_owned(),
        Decision::Deny(Reason::Explicit(kind)) => format!("deny {kind:?}").to_lowercase(),
        Decision::Deny(Reason::Implicit(lack)) => format!("lack {}", name(lack)),
        Decision::Deny(Reason::Error) => "error".to_owned(),
    }
}

fn name(lack: Lack) -> &'static str {
    match lack {
        Lack::Identity => "identity",
        Lack::Boundary => "boundary",
        Lack::Session => "session",
        Lack::Resource => "resource",
        Lack::Trust => "trust",
    }
}
