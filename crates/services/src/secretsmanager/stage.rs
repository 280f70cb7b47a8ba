//! Staging labels. Each is at one version at most; when AWSCURRENT moves, AWSPREVIOUS goes to where it was.

use longshore_api::secretsmanager as api;
use longshore_model::secret::Secret;
pub use longshore_model::secret::{CURRENT, PENDING, PREVIOUS};
use longshore_wire::Fault;

use super::{fault, find, version};
use crate::Context;

/// The labels that Secrets Manager itself knows.
pub const LABELS: [&str; 3] = [CURRENT, PREVIOUS, PENDING];

/// Labels of one version.
const MOST: usize = 20;

/// Puts a label to a version, from wherever it was.
pub fn attach(secret: &mut Secret, label: &str, version: &str) {
    let old = secret.stages.insert(label.to_owned(), version.to_owned());
    if let Some(old) = old.filter(|old| label == CURRENT && old != version) {
        secret.stages.insert(PREVIOUS.to_owned(), old);
    }
}

/// # Errors
/// `LimitExceededException` if a version has too many labels.
pub fn check(secret: &Secret, version: &str) -> Result<(), Fault> {
    match secret.stages_of(version).count() > MOST {
        true => Err(fault::limit(format!("A version may have {MOST} staging labels."))),
        false => Ok(()),
    }
}

/// Moves a label to another version, or takes it away.
pub fn update(
    context: &mut Context<'_>,
    request: api::UpdateSecretVersionStageRequest,
) -> Result<api::UpdateSecretVersionStageResponse, Fault> {
    let label = request.version_stage.unwrap_or_default();
    let (from, to) = (request.remove_from_version_id, request.move_to_version_id);
    let place = context.place.clone();
    let (secret, ()) = find::change(context, &request.secret_id.unwrap_or_default(), |desk, secret| {
        let there = |id: &&String| version::find(desk.state, secret, id).is_some();
        // A rotation may not have made its version yet.
        let labelled = |id: &&String| secret.stages.get(&label) == Some(*id);
        let unknown = from.iter().find(|id| !there(id) && !labelled(id)).or_else(|| to.iter().find(|id| !there(id)));
        if let Some(id) = unknown {
            return Err(fault::parameter(format!("Not a valid version: {id} for secret {}.", secret.arn(&place))));
        }
        shift(secret, &label, from.as_deref(), to.as_deref())?;
        to.iter().try_for_each(|to| check(secret, to))?;
        secret.changed_at = Some(desk.ring.now);
        Ok(())
    })?;
    Ok(api::UpdateSecretVersionStageResponse { arn: Some(secret.arn(&context.place)), name: Some(secret.name) })
}

/// # Errors
/// `InvalidParameterException` if it is not said where the label is, or AWSCURRENT would be nowhere.
fn shift(secret: &mut Secret, label: &str, from: Option<&str>, to: Option<&str>) -> Result<(), Fault> {
    let now = secret.stages.get(label).cloned();
    if let Some(from) = from.filter(|from| now.as_deref() != Some(from)) {
        return Err(fault::parameter(format!(
            "The staging label {label} isn't attached to the version {from} that you named in RemoveFromVersionId."
        )));
    }
    match (to, now) {
        (Some(to), Some(now)) if from.is_none() && now != to => Err(fault::parameter(format!(
            "The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to version \
             {now}, so you must explicitly reference that version in RemoveFromVersionId."
        ))),
        (Some(to), _) => {
            attach(secret, label, to);
            Ok(())
        }
        (None, _) if label == CURRENT => Err(fault::parameter(format!(
            "You can only move staging label {CURRENT} to a different secret version. It can't be completely removed."
        ))),
        (None, _) if from.is_none() => {
            Err(fault::parameter("You must provide MoveToVersionId, RemoveFromVersionId, or both."))
        }
        (None, _) => {
            secret.stages.remove(label);
            Ok(())
        }
    }
}
