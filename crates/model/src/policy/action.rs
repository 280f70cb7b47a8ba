//! Actions as policies name them: `service:Operation`, wildcards in the operation, case of no matter.

use super::Malformed;
use super::glob::Glob;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum ActionPattern {
    Any,
    Of { service: String, operation: Glob },
}

impl ActionPattern {
    /// # Errors
    /// In AWS's words, if it is neither `*` nor a service and an operation.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        if text == "*" {
            return Ok(ActionPattern::Any);
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
        let operation = Glob::of(&operation.to_ascii_lowercase());
        Ok(ActionPattern::Of { service: service.to_ascii_lowercase(), operation })
    }

    /// Both parts are in lower case.
    pub(super) fn matches(&self, service: &str, operation: &str) -> bool {
        match self {
            ActionPattern::Any => true,
            ActionPattern::Of { service: ours, operation: glob } => ours == service && glob.matches(operation),
        }
    }
}
