//! The faults KMS answers with.

use longshore_api::kms::fault as def;
use longshore_model::policy::Malformed;
use longshore_wire::{Fault, FaultDef};

pub fn of(def: &'static FaultDef, message: impl Into<String>) -> Fault {
    Fault::new(def, message)
}

/// `NotFoundException`: no such key; `arn` of the key.
pub fn no_key(arn: &str) -> Fault {
    of(&def::NOT_FOUND_EXCEPTION, format!("Key '{arn}' does not exist"))
}

/// `NotFoundException`; `arn` of the alias.
pub fn no_alias(arn: &str) -> Fault {
    of(&def::NOT_FOUND_EXCEPTION, format!("Alias {arn} is not found."))
}

/// `NotFoundException`: what is no id of a key at all.
pub fn no_id(given: &str) -> Fault {
    of(&def::NOT_FOUND_EXCEPTION, format!("Invalid keyId '{given:.200}'"))
}

/// `DisabledException`
pub fn disabled(arn: &str) -> Fault {
    of(&def::DISABLED_EXCEPTION, format!("{arn} is disabled."))
}

/// `KMSInvalidStateException`
pub fn pending(arn: &str) -> Fault {
    of(&def::KMS_INVALID_STATE_EXCEPTION, format!("{arn} is pending deletion."))
}

/// `InvalidCiphertextException`, as AWS gives it: without words.
pub fn ciphertext() -> Fault {
    of(&def::INVALID_CIPHERTEXT_EXCEPTION, "")
}

/// `IncorrectKeyException`
pub fn incorrect_key() -> Fault {
    let message = "The key ID in the request does not identify a CMK that can perform this operation.";
    of(&def::INCORRECT_KEY_EXCEPTION, message)
}

/// `DryRunOperationException`: it would have been done.
pub fn dry_run() -> Fault {
    let message = "The request would have succeeded, but the DryRun option is set.";
    of(&def::DRY_RUN_OPERATION_EXCEPTION, message)
}

/// `UnsupportedOperationException`
pub fn unsupported(message: impl Into<String>) -> Fault {
    of(&def::UNSUPPORTED_OPERATION_EXCEPTION, message)
}

/// `LimitExceededException`
pub fn limit(what: &str, most: usize) -> Fault {
    of(&def::LIMIT_EXCEEDED_EXCEPTION, format!("The quota of {most} {what} is reached."))
}

/// `ValidationException`
pub fn validation(message: impl Into<String>) -> Fault {
    Fault::common("ValidationException", 400, message)
}

/// `AccessDeniedException`: what belongs to AWS.
pub fn managed(arn: &str) -> Fault {
    Fault::common("AccessDeniedException", 400, format!("{arn} is managed by AWS and is not yours to change."))
}

/// `MalformedPolicyDocumentException`, or `LimitExceededException` for one that is too long.
pub fn policy(malformed: &Malformed) -> Fault {
    match malformed {
        Malformed::TooLong { .. } => of(&def::LIMIT_EXCEEDED_EXCEPTION, malformed.to_string()),
        Malformed::Document(_) => of(&def::MALFORMED_POLICY_DOCUMENT_EXCEPTION, malformed.to_string()),
    }
}
