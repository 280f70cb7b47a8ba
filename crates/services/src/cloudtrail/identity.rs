//! CloudTrail's `userIdentity`: who called.

use longshore_model::iam::{Caller, Identity, arn};
use longshore_wire::json::JsonWriter;
use longshore_wire::{Timestamp, TimestampFormat, Writer as _};

/// Writes `userIdentity`.
pub fn write(to: &mut JsonWriter, caller: &Caller) {
    to.map(0);
    pair(to, "type", kind(caller));
    pair(to, "principalId", &caller.user_id());
    pair(to, "arn", &caller.arn());
    pair(to, "accountId", caller.account.as_str());
    if !caller.access_key.is_empty() {
        pair(to, "accessKeyId", &caller.access_key);
    }
    if let Identity::User { name, .. } = &caller.identity {
        pair(to, "userName", name);
    }
    if caller.claims.is_some() {
        session(to, caller);
    }
    to.end();
}

/// `userIdentity` of somebody who could not say who he is; `access_key` is what he claims to have.
pub fn write_unknown(to: &mut JsonWriter, access_key: Option<&str>) {
    to.map(0);
    pair(to, "type", "Unknown");
    // Whoever mixes them up sends his secret as the id of his key.
    let plain =
        |key: &&str| key.len() <= 128 && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if let Some(key) = access_key.filter(plain) {
        pair(to, "accessKeyId", key);
    }
    to.end();
}

fn kind(caller: &Caller) -> &'static str {
    match caller.identity {
        Identity::Root => "Root",
        Identity::User { .. } => "IAMUser",
        Identity::Session { .. } => "AssumedRole",
        // Of Longshore's own: AWS's agents call as a role.
        Identity::Node { .. } => "ContainerInstance",
    }
}

fn session(to: &mut JsonWriter, caller: &Caller) {
    let Some(claims) = &caller.claims else { return };
    to.key("sessionContext");
    to.map(0);
    if let Identity::Session { role, path, id, .. } = &caller.identity {
        to.key("sessionIssuer");
        to.map(0);
        pair(to, "type", "Role");
        pair(to, "principalId", id);
        pair(to, "arn", &arn(caller.account.as_str(), "role", path, role));
        pair(to, "accountId", caller.account.as_str());
        pair(to, "userName", role);
        to.end();
    }
    to.key("attributes");
    to.map(0);
    let begun = Timestamp::from_millis(claims.issued_at.div_euclid(1000) * 1000);
    pair(to, "creationDate", &begun.format(TimestampFormat::Iso8601));
    pair(to, "mfaAuthenticated", "false");
    to.end();
    if let Some(source) = &claims.source_identity {
        pair(to, "sourceIdentity", source);
    }
    to.end();
}

pub(super) fn pair(to: &mut JsonWriter, key: &'static str, value: &str) {
    to.plain_name(key);
    to.string(value);
}
