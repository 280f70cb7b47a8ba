//! GetParameterHistory: every version that is kept, the oldest first.

use std::sync::Arc;

use longshore_api::ssm::{GetParameterHistoryRequest, GetParameterHistoryResult, ParameterHistory};
use longshore_model::parameter::{ParameterVersion, version_prefix};
use longshore_wire::Fault;

use super::cipher::Holder;
use super::{fault, name, page, policy};
use crate::Context;

/// Entries on a page; AWS's.
const PAGE: usize = 50;

/// # Errors
/// `ParameterNotFound`, `InvalidNextToken`, `ValidationException`.
pub fn get(context: &mut Context<'_>, request: GetParameterHistoryRequest) -> Result<GetParameterHistoryResult, Fault> {
    let place = context.place.clone();
    let wanted = name::parse_bare(&place, &request.name.unwrap_or_default())?;
    let limit = request.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE);
    let asked = page::Asked {
        operation: "GetParameterHistory",
        filter: &wanted.name,
        token: request.next_token.as_deref(),
        limit: limit.min(PAGE),
    };
    let after = asked.after(context)?;
    let (holder, decrypt) = (Holder::of(context), request.with_decryption.unwrap_or_default());
    let state = context.read();
    let head = name::find(&state, &place, &wanted, holder.now).ok_or_else(fault::not_found)?;
    let prefix = version_prefix(&place.account, &head.name);
    let rows = state.parameter_versions.scan_after(&prefix, after.as_deref());
    let (rows, next_token) = asked.take(context, rows.map(|(key, row)| (key.to_string(), Some(row))));
    let show = |row: &&Arc<ParameterVersion>| Ok(show(row, holder.shown(&state, row, decrypt)?));
    let parameters = rows.iter().map(show).collect::<Result<_, Fault>>()?;
    Ok(GetParameterHistoryResult { parameters: Some(parameters), next_token })
}

fn show(row: &ParameterVersion, value: String) -> ParameterHistory {
    ParameterHistory {
        name: Some(row.name.clone()),
        r#type: row.kind.parse().ok(),
        key_id: row.key_id.clone(),
        last_modified_date: Some(row.modified_at),
        last_modified_user: Some(row.modified_by.clone()),
        description: row.description.clone(),
        value: Some(value),
        allowed_pattern: row.allowed_pattern.clone(),
        version: Some(row.number),
        labels: Some(row.labels.clone()),
        tier: row.tier.parse().ok(),
        policies: Some(policy::shown(&row.policies)),
        data_type: Some(row.data_type.clone()),
    }
}
