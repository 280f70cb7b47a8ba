//! The faults CloudWatch Logs answers with.

use longshore_api::logs::fault as def;
use longshore_store::Error;
use longshore_wire::Fault;

use crate::fault::faults;

faults! {
    invalid_parameter INVALID_PARAMETER_EXCEPTION "InvalidParameterException";
    validation VALIDATION_EXCEPTION "ValidationException";
}

pub fn group_not_found() -> Fault {
    let message = "The specified log group does not exist.";
    Fault::new(&def::RESOURCE_NOT_FOUND_EXCEPTION, message)
}

pub fn group_exists() -> Fault {
    let message = "The specified log group already exists";
    Fault::new(&def::RESOURCE_ALREADY_EXISTS_EXCEPTION, message)
}

/// What the log store refuses or cannot do.
pub fn of_store(error: Error) -> Fault {
    match error {
        Error::NoStream => {
            let message = "The specified log stream does not exist.";
            Fault::new(&def::RESOURCE_NOT_FOUND_EXCEPTION, message)
        }
        Error::StreamExists => {
            let message = "The specified log stream already exists";
            Fault::new(&def::RESOURCE_ALREADY_EXISTS_EXCEPTION, message)
        }
        Error::Full => {
            let message = "The disk of the control plane is full. Log events are taken again when there is space.";
            Fault::new(&def::SERVICE_UNAVAILABLE_EXCEPTION, message)
        }
        error => {
            tracing::error!(%error, "the log store did not answer");
            let message = "The service cannot complete the request.";
            Fault::new(&def::SERVICE_UNAVAILABLE_EXCEPTION, message)
        }
    }
}
