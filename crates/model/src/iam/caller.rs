//! Who calls.

use std::collections::BTreeMap;

use longshore_wire::{Timestamp, record};

use super::arn;
use crate::ids::AccountId;
use crate::policy::{Context, Known, Principal};

const USER_ID: Known = Known::new("aws:userid");

record! {
    /// What a session token says, sealed: who it speaks for, until when, and what narrows it. No record is kept of it.
    #[derive(Default)]
    pub struct Claims {
        /// `ASIA…`
        pub access_key: String = "accessKey",
        pub secret: String = "secret",
        pub account: String = "account",
        /// Name and id of the role, of a role's session.
        pub role: Option<String> = "role",
        pub role_id: Option<String> = "roleId",
        pub session_name: Option<String> = "sessionName",
        /// Name and id of the user, of a user's session. Neither role nor user: the root's.
        pub user: Option<String> = "user",
        pub user_id: Option<String> = "userId",
        /// Milliseconds since the epoch.
        pub issued_at: i64 = "issuedAt",
        pub expires_at: i64 = "expiresAt",
        /// Session policies: ARNs of managed ones, and a document.
        pub policy_arns: Vec<String> = "policyArns",
        pub policy: Option<String> = "policy",
        pub tags: BTreeMap<String, String> = "tags",
        /// Keys of tags that go on to the next role of a chain.
        pub transitive: Vec<String> = "transitive",
        pub source_identity: Option<String> = "sourceIdentity",
        /// Of a task's session: `CLUSTER/ID` of the task, with which it ends.
        pub task: Option<String> = "task",
    }
}

impl Claims {
    /// Whether the session's time has passed.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at <= now.millis()
    }
}

/// What kind of identity a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The account itself.
    Root,
    User {
        name: String,
        path: String,
        id: String,
        tags: BTreeMap<String, String>,
    },
    /// A session of an assumed role. `tags` are the role's with the session's over them.
    Session {
        role: String,
        path: String,
        id: String,
        name: String,
        tags: BTreeMap<String, String>,
    },
    /// A container instance, by the key that it got when it joined; or by the token that it joins with, whose hash is
    /// `joins`.
    Node {
        id: String,
        arn: String,
        joins: Option<String>,
    },
}

/// The caller of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    pub account: AccountId,
    /// The access key it signed with; empty where nobody signed.
    pub access_key: String,
    pub identity: Identity,
    /// Of temporary credentials: what their token says.
    pub claims: Option<Claims>,
}

impl Caller {
    /// The account's root, with its own key.
    pub fn root(account: AccountId) -> Self {
        Self { account, access_key: String::new(), identity: Identity::Root, claims: None }
    }

    /// The node that calls with its own key.
    pub fn node(&self) -> Option<&str> {
        match &self.identity {
            Identity::Node { id, joins: None, .. } => Some(id),
            _ => None,
        }
    }

    /// The ARN that policies, errors and audit records name it by.
    pub fn arn(&self) -> String {
        match &self.identity {
            Identity::Root => format!("arn:aws:iam::{}:root", self.account),
            Identity::User { name, path, .. } => arn(self.account.as_str(), "user", path, name),
            Identity::Session { role, name, .. } => {
                format!("arn:aws:sts::{}:assumed-role/{role}/{name}", self.account)
            }
            Identity::Node { arn, .. } => arn.clone(),
        }
    }

    /// The unique id: the account's number, `AIDA…`, `AROA…:session`, or the node's.
    pub fn user_id(&self) -> String {
        match &self.identity {
            Identity::Root => self.account.to_string(),
            Identity::User { id, .. } | Identity::Node { id, .. } => id.clone(),
            Identity::Session { id, name, .. } => format!("{id}:{name}"),
        }
    }

    /// As policies see it; none names a node.
    pub fn principal(&self) -> Principal {
        let account = self.account.clone();
        match &self.identity {
            Identity::Root => Principal::Root(account),
            Identity::User { .. } | Identity::Node { .. } => Principal::User { account, arn: self.arn() },
            Identity::Session { role, path, .. } => {
                let role = arn(account.as_str(), "role", path, role);
                Principal::Session { account, role, arn: self.arn() }
            }
        }
    }

    /// The condition keys that follow from who it is.
    pub fn context(&self) -> Context {
        let mut context = self.principal().context();
        context.set_known(USER_ID, self.user_id());
        if let Identity::User { tags, .. } | Identity::Session { tags, .. } = &self.identity {
            for (key, value) in tags {
                context.set(&format!("aws:PrincipalTag/{key}"), [value.clone()]);
            }
        }
        if let Some(claims) = &self.claims {
            let issued = Timestamp::from_millis(claims.issued_at).format(longshore_wire::TimestampFormat::Iso8601);
            context.set("aws:TokenIssueTime", [issued]);
            if let Some(source) = &claims.source_identity {
                context.set("aws:SourceIdentity", [source.clone()]);
            }
        }
        context
    }
}
