//! The faults ECS answers with, by the name of what went wrong.
//!
//! The text is AWS's where AWS's is known; clients and Terraform match on some of it.

use longshore_api::ecs::fault as def;
use longshore_wire::{Fault, FaultDef, Value};

/// Any fault of the model, where none of the functions below fits.
pub fn of(def: &'static FaultDef, message: impl Into<String>) -> Fault {
    Fault::new(def, message)
}

/// `ClientException`: the request is understood and cannot be done.
pub fn client(message: impl Into<String>) -> Fault {
    of(&def::CLIENT_EXCEPTION, message)
}

/// `InvalidParameterException`: a parameter is malformed or contradicts another.
pub fn invalid_parameter(message: impl Into<String>) -> Fault {
    of(&def::INVALID_PARAMETER_EXCEPTION, message)
}

/// A list parameter with more entries than it may have.
pub fn too_many(member: &str, limit: usize) -> Fault {
    invalid_parameter(format!("{member} can have at most {limit} items."))
}

pub fn cluster_not_found() -> Fault {
    of(&def::CLUSTER_NOT_FOUND_EXCEPTION, "Cluster not found.")
}

/// The cluster is still describable and takes nothing any more.
pub fn cluster_inactive() -> Fault {
    of(&def::CLUSTER_NOT_FOUND_EXCEPTION, "The referenced cluster was inactive.")
}

pub fn service_not_found() -> Fault {
    of(&def::SERVICE_NOT_FOUND_EXCEPTION, "Service not found.")
}

pub fn service_not_active() -> Fault {
    of(&def::SERVICE_NOT_ACTIVE_EXCEPTION, "Service was not ACTIVE.")
}

/// `StopTask` and its like on a task that is not there.
pub fn task_not_found() -> Fault {
    invalid_parameter("The referenced task was not found.")
}

/// What a task definition is not, where a task or service is to run it.
pub fn definition_not_found() -> Fault {
    client("TaskDefinition not found.")
}

pub fn definition_inactive() -> Fault {
    client("TaskDefinition is inactive")
}

/// `ResourceNotFoundException`, for tags.
pub fn resource_not_found() -> Fault {
    of(&def::RESOURCE_NOT_FOUND_EXCEPTION, "The specified resource wasn't found.")
}

/// A client token that was used before with other parameters. `existing` are the ARNs of what it made then.
pub fn conflict(existing: Vec<String>) -> Fault {
    of(&def::CONFLICT_EXCEPTION, "The clientToken was used before with different parameters.").with(
        &def::CONFLICT_EXCEPTION,
        "resourceIds",
        Value::List(existing.into_iter().map(Value::String).collect()),
    )
}
