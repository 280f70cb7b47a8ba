//! The faults IAM answers with.

use longshore_api::iam::fault as def;
use longshore_model::policy::Malformed;
use longshore_wire::Fault;

use crate::fault::faults;

faults! {
    absent NO_SUCH_ENTITY_EXCEPTION "NoSuchEntity";
    exists ENTITY_ALREADY_EXISTS_EXCEPTION "EntityAlreadyExists";
    limit LIMIT_EXCEEDED_EXCEPTION "LimitExceeded";
    invalid INVALID_INPUT_EXCEPTION "InvalidInput";
}

/// `NoSuchEntity`; `kind` as in `user with name`.
pub fn missing(kind: &str, name: &str) -> Fault {
    Fault::new(&def::NO_SUCH_ENTITY_EXCEPTION, format!("The {kind} with name {name} cannot be found."))
}

/// `DeleteConflict`
pub fn conflict(message: &str) -> Fault {
    Fault::new(&def::DELETE_CONFLICT_EXCEPTION, message)
}

/// `LimitExceeded` in the words of a quota.
pub fn quota(what: &str, most: usize) -> Fault {
    limit(format!("Cannot exceed quota for {what}: {most}"))
}

/// `UnmodifiableEntity`: a service-linked role is its service's.
pub fn protected(role: &str, service: &str) -> Fault {
    let message = format!(
        "Cannot perform the operation on the protected role '{role}' - this role is only modifiable by {service}"
    );
    Fault::new(&def::UNMODIFIABLE_ENTITY_EXCEPTION, message)
}

/// `MalformedPolicyDocument`, or `LimitExceeded` for one that is too long.
pub fn policy(malformed: &Malformed) -> Fault {
    match malformed.code() {
        "LimitExceeded" => limit(malformed.to_string()),
        _ => Fault::new(&def::MALFORMED_POLICY_DOCUMENT_EXCEPTION, malformed.to_string()),
    }
}
