//! DescribeParameters: everything about parameters but their values.

use longshore_api::ssm::{
    DescribeParametersRequest, DescribeParametersResult, ParameterMetadata, ParameterStringFilter, ParametersFilter,
};
use longshore_model::Place;
use longshore_model::parameter::{ParameterVersion, parameter_key};
use longshore_wire::Fault;

use super::filter::{self, Filter};
use super::{fault, name, page, policy};
use crate::Context;

/// Entries on a page where the caller does not say.
const USUAL: usize = 10;
const MOST: usize = 50;

/// Nobody shares parameters here: with `Shared` there are none.
///
/// # Errors
/// `InvalidNextToken`; those of [`filter::read`]; `ValidationException` for both kinds of filters.
pub fn describe(
    context: &mut Context<'_>,
    request: DescribeParametersRequest,
) -> Result<DescribeParametersResult, Fault> {
    let filters = filters(request.filters, request.parameter_filters)?;
    let shared = request.shared.unwrap_or_default();
    let about = format!("{shared} {filters:?}");
    let limit = request.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(USUAL);
    let asked = page::Asked {
        operation: "DescribeParameters",
        filter: &about,
        token: request.next_token.as_deref(),
        limit: limit.min(MOST),
    };
    let after = asked.after(context)?;
    let (place, now) = (context.place.clone(), context.now);
    let prefix = parameter_key(&place.account, "");
    let state = context.read();
    let heads = state.parameters.scan_after(&prefix, after.as_deref()).filter(|_| !shared);
    let rows = heads.map(|(key, head)| {
        let row = name::numbered(&state, &place, &head.name, head.latest).ok().filter(|_| head.is_alive(now));
        let row = row.filter(|row| filters.iter().all(|filter| filter.takes(head, row)));
        (key.to_string(), row.map(|row| show(&place, row)))
    });
    let (parameters, next_token) = asked.take(context, rows);
    Ok(DescribeParametersResult { parameters: Some(parameters), next_token })
}

/// The older kind of filters, `Filters`, compares beginnings of names and is else the same.
fn filters(
    older: Option<Vec<ParametersFilter>>,
    newer: Option<Vec<ParameterStringFilter>>,
) -> Result<Vec<Filter>, Fault> {
    let (older, newer) = (older.unwrap_or_default(), newer.unwrap_or_default());
    if !older.is_empty() && !newer.is_empty() {
        return Err(fault::validation("You can use either Filters or ParameterFilters in a single request."));
    }
    let converted = older.into_iter().map(|filter| {
        let key = filter.key.map(|key| key.to_string());
        let option = (key.as_deref() == Some("Name")).then(|| "BeginsWith".to_owned());
        ParameterStringFilter { key, option, values: filter.values }
    });
    filter::read(converted.chain(newer).collect(), filter::OF_DESCRIBE)
}

fn show(place: &Place, row: &ParameterVersion) -> ParameterMetadata {
    ParameterMetadata {
        name: Some(row.name.clone()),
        arn: Some(name::arn(place, &row.name)),
        r#type: row.kind.parse().ok(),
        key_id: row.key_id.clone(),
        last_modified_date: Some(row.modified_at),
        last_modified_user: Some(row.modified_by.clone()),
        description: row.description.clone(),
        allowed_pattern: row.allowed_pattern.clone(),
        version: Some(row.number),
        tier: row.tier.parse().ok(),
        policies: Some(policy::shown(&row.policies)),
        data_type: Some(row.data_type.clone()),
    }
}
