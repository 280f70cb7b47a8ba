//! How long a group keeps its events. Reads respect it at once; [`Upkeep`](super::Upkeep) frees the space.

use longshore_api::logs::{DeleteRetentionPolicyRequest, PutRetentionPolicyRequest};
use longshore_model::setting::LogGroup;
use longshore_wire::Fault;

use super::{Done, fault, resolve};
use crate::Context;

/// The days that AWS takes.
const DAYS: [i32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

pub const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// # Errors
/// `ResourceNotFoundException`; `InvalidParameterException` for a number of days that AWS does not take.
pub fn put(context: &mut Context<'_>, request: PutRetentionPolicyRequest) -> Result<Done, Fault> {
    let days = request.retention_in_days.unwrap_or_default();
    if !DAYS.contains(&days) {
        return Err(fault::invalid_parameter(format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: \
             Member must satisfy enum value set: {DAYS:?}"
        )));
    }
    set(context, &request.log_group_name.unwrap_or_default(), Some(days))
}

/// # Errors
/// `ResourceNotFoundException`.
pub fn delete(context: &mut Context<'_>, request: DeleteRetentionPolicyRequest) -> Result<Done, Fault> {
    set(context, &request.log_group_name.unwrap_or_default(), None)
}

fn set(context: &mut Context<'_>, name: &str, days: Option<i32>) -> Result<Done, Fault> {
    let place = context.place.clone();
    context.transact(|state, changes, _| {
        let group = resolve::in_state(state, &place, name)?;
        if group.retention_days != days {
            changes.push(LogGroup { retention_days: days, ..group.as_ref().clone() }.into());
        }
        Ok(Done)
    })
}

/// The time before which a group's events are past their retention, if it has one.
pub fn begins(group: &LogGroup, now: i64) -> Option<i64> {
    group.retention_days.map(|days| now - i64::from(days) * DAY_MILLIS)
}
