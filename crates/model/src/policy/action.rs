//! Actions as policies name them: `service:Operation`, wildcards in the operation, case of no matter.

use super::Malformed;
use super::glob::{Glob, Text};

/// Of the whole text: the service holds no wildcard, so none reaches over the colon.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ActionPattern(Glob);

impl ActionPattern {
    /// # Errors
    /// In AWS's words, if it is neither `*` nor a service and an operation.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        if text == "*" {
            return Ok(ActionPattern(Glob::Any));
        }
        let Some((service, operation)) = text.split_once(':') else {
            return Err(Malformed::document(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ));
        };
        if operation.contains(':') {
            return Err(Malformed::document("Actions/Condition can contain only one colon."));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if service.is_empty() || !service.bytes().all(|byte| plain(byte) || byte == b'.') {
            return Err(Malformed::document(format!("Vendor {service:.100} is not valid")));
        }
        if operation.is_empty() || !operation.bytes().all(|byte| plain(byte) || b"*?_".contains(&byte)) {
            return Err(Malformed::document("The policy failed legacy parsing"));
        }
        Ok(ActionPattern(Glob::of(&text.to_ascii_lowercase())))
    }

    /// `action` is in lower case.
    pub(super) fn matches(&self, action: Text<'_>) -> bool {
        self.0.matches(action)
    }
}
