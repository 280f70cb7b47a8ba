//! The faults Secrets Manager answers with. None holds anything of a value.

use longshore_api::secretsmanager::fault as def;
use longshore_model::policy::Malformed;
use longshore_wire::{Fault, FaultDef};

use crate::fault::faults;

faults! {
    request INVALID_REQUEST_EXCEPTION "InvalidRequestException";
    parameter INVALID_PARAMETER_EXCEPTION "InvalidParameterException";
    limit LIMIT_EXCEEDED_EXCEPTION "LimitExceededException";
}

fn of(def: &'static FaultDef, message: impl Into<String>) -> Fault {
    Fault::new(def, message)
}

/// `ResourceNotFoundException`
pub fn no_secret() -> Fault {
    of(&def::RESOURCE_NOT_FOUND_EXCEPTION, "Secrets Manager can't find the specified secret.")
}

/// `ResourceNotFoundException`; `which` as in `staging label: AWSCURRENT`.
pub fn no_value(which: &str) -> Fault {
    let message = format!("Secrets Manager can't find the specified secret value for {which}");
    of(&def::RESOURCE_NOT_FOUND_EXCEPTION, message)
}

/// `InvalidRequestException`: the secret is scheduled for deletion.
pub fn deleted() -> Fault {
    request("You can't perform this operation on the secret because it was marked for deletion.")
}

/// `ResourceExistsException`: the name is taken.
pub fn exists(name: &str) -> Fault {
    of(&def::RESOURCE_EXISTS_EXCEPTION, format!("The operation failed because the secret {name} already exists."))
}

/// `ResourceExistsException`: the version is there with another value.
pub fn token_used(token: &str, arn: &str) -> Fault {
    let message = format!(
        "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
    );
    of(&def::RESOURCE_EXISTS_EXCEPTION, message)
}

/// `InvalidNextTokenException`
pub fn next_token() -> Fault {
    of(&def::INVALID_NEXT_TOKEN_EXCEPTION, "The NextToken value is invalid.")
}

/// `MalformedPolicyDocumentException`
pub fn policy(malformed: &Malformed) -> Fault {
    of(&def::MALFORMED_POLICY_DOCUMENT_EXCEPTION, malformed.to_string())
}

/// `PublicPolicyException`
pub fn public() -> Fault {
    let message = "You can't attach the policy: it grants broad access to the secret, and BlockPublicPolicy is set.";
    of(&def::PUBLIC_POLICY_EXCEPTION, message)
}

/// `ValidationException`
pub fn validation(message: impl Into<String>) -> Fault {
    Fault::common("ValidationException", 400, message)
}

/// What KMS refuses while a value is encrypted: `EncryptionFailure`.
pub fn encryption(fault: Fault) -> Fault {
    let message = "Secrets Manager can't encrypt the protected secret text using the provided KMS key. Check that the \
                   KMS key is available, enabled, and not in an invalid state.";
    if fault.sender { of(&def::ENCRYPTION_FAILURE, message) } else { fault }
}

/// What KMS refuses while a value is decrypted: `DecryptionFailure`.
pub fn decryption(fault: Fault) -> Fault {
    let message = "Secrets Manager can't decrypt the protected secret text using the provided KMS key.";
    if fault.sender { of(&def::DECRYPTION_FAILURE, message) } else { fault }
}
