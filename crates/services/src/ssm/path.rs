//! GetParametersByPath: what lies below a path.

use longshore_api::ssm::{GetParametersByPathRequest, GetParametersByPathResult};
use longshore_model::parameter::{Parameter, ParameterVersion, parameter_key};
use longshore_model::{Place, State};
use longshore_wire::Fault;

use super::filter::{self, Filter};
use super::get::Reader;
use super::{name, page};
use crate::Context;

/// Entries on a page; AWS's.
const PAGE: usize = 10;

/// Parameters one level below the path, or with `Recursive` all levels; `/` is above every parameter. With a filter by
/// label, the versions that have it.
///
/// # Errors
/// `ValidationException` for what is no path; `InvalidNextToken`; those of [`filter::read`].
pub fn get(context: &mut Context<'_>, request: GetParametersByPathRequest) -> Result<GetParametersByPathResult, Fault> {
    let given = request.path.unwrap_or_default();
    let path = format!("{}/", name::check_path(&given)?);
    let filters = filter::read(request.parameter_filters.unwrap_or_default(), filter::OF_PATH)?;
    let recursive = request.recursive.unwrap_or_default();
    let about = format!("{path} {recursive} {filters:?}");
    let limit = request.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE);
    let asked = page::Asked {
        operation: "GetParametersByPath",
        filter: &about,
        token: request.next_token.as_deref(),
        limit: limit.min(PAGE),
    };
    let after = asked.after(context)?;
    let place = context.place.clone();
    let (reader, now) = (Reader::of(context, request.with_decryption), context.now);
    let below = parameter_key(&place.account, if path == "/" { "" } else { &path });
    let state = context.read();
    let rows = state.parameters.scan_after(&below, after.as_deref()).map(|(key, head)| {
        let within = head.is_alive(now) && (recursive || is_child(&head.name, &path));
        (key.to_string(), within.then(|| chosen(&state, &place, head, &filters)).flatten())
    });
    let (rows, next_token) = asked.take(context, rows);
    let parameters = rows.iter().map(|row| reader.show(&state, row)).collect::<Result<_, _>>()?;
    Ok(GetParametersByPathResult { parameters: Some(parameters), next_token })
}

/// Whether no level lies between a path and a name below it.
pub fn is_child(name: &str, path: &str) -> bool {
    let name = name.strip_prefix(path).or_else(|| (path == "/").then_some(name));
    name.is_some_and(|rest| !rest.contains('/'))
}

/// The version of a parameter that the filters take: the newest, or that with the label they ask for.
fn chosen<'a>(state: &'a State, place: &Place, head: &Parameter, filters: &[Filter]) -> Option<&'a ParameterVersion> {
    let row = match filters.iter().find(|filter| filter.key == "Label") {
        None => name::numbered(state, place, &head.name, head.latest).ok(),
        Some(filter) => filter.values.iter().find_map(|label| name::labelled(state, place, &head.name, label)),
    }?;
    filters.iter().all(|filter| filter.takes(head, row)).then_some(row)
}
