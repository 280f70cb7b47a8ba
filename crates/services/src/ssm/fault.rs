//! The faults the Parameter Store answers with.

use longshore_api::ssm::fault as def;
use longshore_wire::{Fault, FaultDef};

/// `ValidationException`, which the model does not list.
pub fn validation(message: impl Into<String>) -> Fault {
    Fault::common("ValidationException", 400, message)
}

/// An error of the model.
pub fn of(def: &'static FaultDef, message: impl Into<String>) -> Fault {
    Fault::new(def, message)
}

/// AWS says no more than the code.
pub fn not_found() -> Fault {
    of(&def::PARAMETER_NOT_FOUND, "")
}

pub fn no_version(number: i64, name: &str) -> Fault {
    let message =
        format!("Systems Manager could not find version {number} of {name}. Verify the version and try again.");
    of(&def::PARAMETER_VERSION_NOT_FOUND, message)
}

pub fn no_label(label: &str, name: &str) -> Fault {
    let message =
        format!("Systems Manager could not find label {label} for parameter {name}. Verify the label and try again.");
    of(&def::PARAMETER_VERSION_NOT_FOUND, message)
}
