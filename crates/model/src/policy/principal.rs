//! Who asks, and whom a policy names.

use std::borrow::Cow;

use super::Malformed;
use super::context::{Context, Known};
use crate::arn::Arn;
use crate::ids::AccountId;

const IS_SERVICE: Known = Known::new("aws:principalisawsservice");
const ACCOUNT: Known = Known::new("aws:principalaccount");
const TYPE: Known = Known::new("aws:principaltype");
const ARN: Known = Known::new("aws:principalarn");
const USER_NAME: Known = Known::new("aws:username");

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The account itself, by its root keys.
    Root(AccountId),
    /// A user; `arn:aws:iam::ACCOUNT:user/PATH/NAME`. Also with a session token of its own.
    User { account: AccountId, arn: String },
    /// Whoever took a role: `arn:aws:iam::ACCOUNT:role/PATH/ROLE` and `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    Session { account: AccountId, role: String, arn: String },
    /// A user's session under another name: `arn:aws:sts::ACCOUNT:federated-user/NAME`.
    Federated { account: AccountId, arn: String },
    /// A service: `ecs-tasks.amazonaws.com`.
    Service(String),
}

impl Principal {
    /// The ARN that messages and logs show; a service's name.
    pub fn arn(&self) -> Cow<'_, str> {
        match self {
            Principal::Root(account) => Cow::Owned(format!("arn:aws:iam::{account}:root")),
            Principal::User { arn, .. } | Principal::Session { arn, .. } | Principal::Federated { arn, .. } => {
                Cow::Borrowed(arn)
            }
            Principal::Service(name) => Cow::Borrowed(name),
        }
    }

    /// The account it belongs to; a service to none.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Principal::Root(account)
            | Principal::User { account, .. }
            | Principal::Session { account, .. }
            | Principal::Federated { account, .. } => Some(account),
            Principal::Service(_) => None,
        }
    }

    /// The condition keys that say who asks: `aws:PrincipalArn` (the role's, of a session), `aws:PrincipalAccount`,
    /// `aws:PrincipalType`, `aws:username` (of users only), `aws:PrincipalIsAWSService`. The caller adds `aws:userid` and
    /// `aws:PrincipalTag/…`, which only the stored principal tells.
    pub fn context(&self) -> Context {
        let mut context = Context::default();
        let service = matches!(self, Principal::Service(_));
        context.set_known(IS_SERVICE, if service { "true" } else { "false" });
        if let Some(account) = self.account() {
            context.set_known(ACCOUNT, account.as_str());
        }
        let kind = match self {
            Principal::Root(_) => "Account",
            Principal::User { .. } => "User",
            Principal::Session { .. } => "AssumedRole",
            Principal::Federated { .. } => "FederatedUser",
            Principal::Service(name) => {
                context.set("aws:PrincipalServiceName", [name.as_str()]);
                return context;
            }
        };
        context.set_known(TYPE, kind);
        match self {
            Principal::Session { role, .. } => context.set_known(ARN, role.as_str()),
            _ => context.set_known(ARN, self.arn()),
        }
        if let Principal::User { arn, .. } = self {
            context.set_known(USER_NAME, arn.rsplit('/').next().unwrap_or_default());
        }
        context
    }
}

/// How directly a resource's policy grants; more is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grant {
    Nothing,
    /// To the whole account: its own policies must pass it on.
    Account,
    /// To everyone, or to the role of a session: boundary and session policy still limit it.
    Limited,
    /// To this very user or session, or to the service: nothing but a deny limits it.
    Direct,
}

/// One that a policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Services too.
    Everyone,
    Account(String),
    /// A user, a role, a session, a federated user.
    Arn(String),
    Service(String),
    /// An identity provider or a canonical user: none of whom is ever here.
    Stranger,
}

impl Named {
    /// Reads one value of a `Principal` element; `kind` is `AWS`, `Service`, `Federated` or `CanonicalUser`.
    ///
    /// # Errors
    /// `Invalid principal in policy`, as AWS says it.
    pub(super) fn parse(kind: &str, text: &str) -> Result<Self, Malformed> {
        let invalid = || Malformed::document(format!("Invalid principal in policy: \"{kind}\":\"{text:.200}\""));
        match kind {
            "AWS" => Self::aws(text).ok_or_else(invalid),
            "Service" if is_service(text) => Ok(Named::Service(text.to_owned())),
            "Federated" | "CanonicalUser" if !text.is_empty() && text != "*" => Ok(Named::Stranger),
            _ => Err(invalid()),
        }
    }

    fn aws(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Named::Everyone);
        }
        if let Some(account) = AccountId::parse(text) {
            return Some(Named::Account(account.as_str().to_owned()));
        }
        let arn = Arn::parse_any(text)?;
        let account = AccountId::parse(arn.account)?;
        if !arn.partition.starts_with("aws") || !arn.region.is_empty() || text.contains(['*', '?', '$']) {
            return None;
        }
        let (kind, name) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
        match (arn.service, kind) {
            ("iam", "root") if name.is_empty() => Some(Named::Account(account.as_str().to_owned())),
            ("iam", "user" | "role") | ("sts", "assumed-role" | "federated-user") if !name.is_empty() => {
                Some(Named::Arn(text.to_owned()))
            }
            _ => None,
        }
    }

    /// How directly this names `principal`.
    fn grants(&self, principal: &Principal) -> Grant {
        let granted = |is: bool, grant| if is { grant } else { Grant::Nothing };
        match (self, principal) {
            (Named::Service(name), Principal::Service(asks)) => granted(name == asks, Grant::Direct),
            (Named::Everyone, _) => Grant::Limited,
            (_, Principal::Service(_)) | (Named::Service(_) | Named::Stranger, _) => Grant::Nothing,
            (Named::Account(id), Principal::Root(account)) => granted(account.as_str() == id, Grant::Direct),
            (Named::Account(id), _) => {
                granted(principal.account().is_some_and(|account| account.as_str() == id), Grant::Account)
            }
            (Named::Arn(named), Principal::Session { role, .. }) if named == role => Grant::Limited,
            (Named::Arn(named), _) => granted(principal.arn() == named.as_str(), Grant::Direct),
        }
    }
}

fn is_service(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    plain && (text.ends_with(".amazonaws.com") || text.ends_with(".amazonaws.com.cn"))
}

/// The strongest way in which any of `named` names `principal`.
pub(super) fn grant(named: &[Named], principal: &Principal) -> Grant {
    named.iter().map(|named| named.grants(principal)).max().unwrap_or(Grant::Nothing)
}

/// Whether `NotPrincipal` with these names spares `principal`. A principal with a permissions boundary is spared only by
/// its own ARN or its role's, never by its account's.
pub(super) fn spares(named: &[Named], principal: &Principal, bounded: bool) -> bool {
    let own = |named: &Named| matches!(named, Named::Arn(_)) && named.grants(principal) > Grant::Nothing;
    match bounded {
        true => named.iter().any(own),
        false => grant(named, principal) > Grant::Nothing,
    }
}
