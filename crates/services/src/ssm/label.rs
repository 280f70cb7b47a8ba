//! LabelParameterVersion and UnlabelParameterVersion. A label is on one version of a parameter: given to another, it moves.

use longshore_api::ssm::{
    LabelParameterVersionRequest, LabelParameterVersionResult, UnlabelParameterVersionRequest,
    UnlabelParameterVersionResult, fault as def,
};
use longshore_model::parameter::{ParameterVersion, version_prefix};
use longshore_wire::Fault;

use super::{fault, name};
use crate::Context;

/// Labels of one version.
const MOST: usize = 10;

/// Labels that may not be are listed as invalid, the others attached.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`, `ParameterVersionLabelLimitExceeded`, `ValidationException`.
pub fn add(
    context: &mut Context<'_>,
    request: LabelParameterVersionRequest,
) -> Result<LabelParameterVersionResult, Fault> {
    let (place, now) = (context.place.clone(), context.now);
    let wanted = name::parse_bare(&place, &request.name.unwrap_or_default())?;
    let (good, bad): (Vec<_>, Vec<_>) = distinct(request.labels).into_iter().partition(|label| may_be(label));
    context.transact(|state, changes, _| {
        let head = name::find(state, &place, &wanted, now).ok_or_else(fault::not_found)?;
        let number = request.parameter_version.unwrap_or(head.latest);
        let row = name::numbered(state, &place, &head.name, number)?;
        let labels = without(&row.labels, &good).into_iter().chain(good.clone()).collect::<Vec<_>>();
        if labels.len() > MOST {
            return Err(fault::of(
                &def::PARAMETER_VERSION_LABEL_LIMIT_EXCEEDED,
                format!(
                    "A parameter version can have maximum {MOST} labels. Move one or more labels to another version and try \
                     again."
                ),
            ));
        }
        let prefix = version_prefix(&place.account, &head.name);
        let others = state.parameter_versions.scan(&prefix).map(|(_, other)| other);
        let losing = others.filter(|other| other.number != number && other.labels.iter().any(|one| good.contains(one)));
        changes.extend(losing.map(|other| with_labels(other, without(&other.labels, &good)).into()));
        if !good.is_empty() {
            changes.push(with_labels(row, labels).into());
        }
        Ok(LabelParameterVersionResult { invalid_labels: Some(bad), parameter_version: Some(number) })
    })
}

/// Labels that are not on the version are listed as invalid.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`, `ValidationException`.
pub fn remove(
    context: &mut Context<'_>,
    request: UnlabelParameterVersionRequest,
) -> Result<UnlabelParameterVersionResult, Fault> {
    let (place, now) = (context.place.clone(), context.now);
    let wanted = name::parse_bare(&place, &request.name.unwrap_or_default())?;
    let labels = distinct(request.labels);
    context.transact(|state, changes, _| {
        let head = name::find(state, &place, &wanted, now).ok_or_else(fault::not_found)?;
        let row = name::numbered(state, &place, &head.name, request.parameter_version.unwrap_or_default())?;
        let (removed, invalid): (Vec<_>, Vec<_>) = labels.into_iter().partition(|label| row.labels.contains(label));
        if !removed.is_empty() {
            changes.push(with_labels(row, without(&row.labels, &removed)).into());
        }
        Ok(UnlabelParameterVersionResult { removed_labels: Some(removed), invalid_labels: Some(invalid) })
    })
}

/// Letters, digits and `.-_`; not a digit first, nor `aws` or `ssm`.
fn may_be(label: &str) -> bool {
    let small = label.to_ascii_lowercase();
    let formed = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let reserved =
        small.starts_with("aws") || small.starts_with("ssm") || small.starts_with(|c: char| c.is_ascii_digit());
    formed && !reserved
}

fn distinct(labels: Option<Vec<String>>) -> Vec<String> {
    let labels = labels.unwrap_or_default().into_iter();
    labels.fold(Vec::new(), |mut seen, label| {
        if !seen.contains(&label) {
            seen.push(label);
        }
        seen
    })
}

fn without(labels: &[String], gone: &[String]) -> Vec<String> {
    labels.iter().filter(|label| !gone.contains(label)).cloned().collect()
}

fn with_labels(row: &ParameterVersion, labels: Vec<String>) -> ParameterVersion {
    ParameterVersion { labels, ..row.clone() }
}
