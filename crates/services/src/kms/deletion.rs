//! Scheduled deletion. Nothing decrypts with a key from then on; when its time has come the reaper forgets it with its
//! aliases, and what it encrypted is lost.

use longshore_api::kms as api;
use longshore_wire::{Fault, Timestamp};

use super::{fault, key};
use crate::Context;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Days that a key waits, at least, at most, and where nobody said.
const LEAST: i32 = 7;
const MOST: i32 = 30;

pub fn schedule(
    context: &mut Context<'_>,
    request: api::ScheduleKeyDeletionRequest,
) -> Result<api::ScheduleKeyDeletionResponse, Fault> {
    let days = request.pending_window_in_days.unwrap_or(MOST);
    if !(LEAST..=MOST).contains(&days) {
        return Err(fault::validation(format!(
            "PendingWindowInDays must be between {LEAST} and {MOST} days (inclusive)."
        )));
    }
    let at = Timestamp::from_millis(context.now.millis().saturating_add(i64::from(days) * DAY_MILLIS));
    let arn = key::change(context, &request.key_id.unwrap_or_default(), |key, arn| {
        if key.delete_at.is_some() {
            return Err(fault::pending(arn));
        }
        key.delete_at = Some(at);
        key.disabled = true;
        Ok(arn.to_owned())
    })?;
    Ok(api::ScheduleKeyDeletionResponse {
        key_id: Some(arn),
        deletion_date: Some(at),
        key_state: Some(api::KeyState::PendingDeletion),
        pending_window_in_days: Some(days),
    })
}

/// The key stays, disabled.
pub fn cancel(
    context: &mut Context<'_>,
    request: api::CancelKeyDeletionRequest,
) -> Result<api::CancelKeyDeletionResponse, Fault> {
    let now = context.now;
    let arn = key::change(context, &request.key_id.unwrap_or_default(), |key, arn| match key.delete_at {
        Some(at) if at > now => {
            key.delete_at = None;
            Ok(arn.to_owned())
        }
        Some(_) => Err(fault::no_key(arn)),
        None => {
            let message = format!("{arn} is not pending deletion.");
            Err(fault::of(&api::fault::KMS_INVALID_STATE_EXCEPTION, message))
        }
    })?;
    Ok(api::CancelKeyDeletionResponse { key_id: Some(arn) })
}
