//! Records as the API shows them. What can be derived (ARNs, counts, attachment states) is derived here.

mod instance;
mod service;
mod task;

use longshore_api::ecs;

pub use instance::instance;
pub use service::service;
pub use task::task;

/// An entry of `failures[]`.
pub fn failure(arn: String, reason: &str) -> ecs::Failure {
    ecs::Failure { arn: Some(arn), reason: Some(reason.to_owned()), detail: None }
}
