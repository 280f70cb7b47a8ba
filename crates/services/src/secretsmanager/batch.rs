//! Reading several values. What cannot be read is told beside what can; whether the caller may is asked secret by secret.

use longshore_api::secretsmanager as api;
use longshore_model::secret::Secret;
use longshore_wire::{Fault, ProtocolKind, Shape, Structure, Value};

use super::list::{List, by_name};
use super::{NAME, fault, filter, get};
use crate::access::{self, Asked};
use crate::{Context, authority};

/// Values on a page.
const MOST: usize = 20;

pub fn get(
    context: &mut Context<'_>,
    request: api::BatchGetSecretValueRequest,
) -> Result<api::BatchGetSecretValueResponse, Fault> {
    let (ids, next_token) = match (request.secret_id_list, request.filters) {
        (Some(ids), None) if request.max_results.is_none() && request.next_token.is_none() => (ids, None),
        (Some(_), None) => return Err(fault::parameter("MaxResults and NextToken go with Filters only.")),
        (None, Some(filters)) => filtered(context, &filters, request.next_token.as_deref(), request.max_results)?,
        (Some(_), Some(_)) => {
            return Err(fault::parameter("Either 'SecretIdList' or 'Filters' must be provided, but not both."));
        }
        (None, None) => return Err(fault::parameter("Either 'SecretIdList' or 'Filters' must be provided.")),
    };
    let mut answer =
        api::BatchGetSecretValueResponse { secret_values: Some(Vec::new()), errors: Some(Vec::new()), next_token };
    for id in ids {
        match may(context, &id).and_then(|()| get::read(context, &id, None, None)) {
            Ok(entry) => answer.secret_values.get_or_insert_default().push(entry),
            Err(fault) if fault.sender => answer.errors.get_or_insert_default().push(error(id, fault)),
            Err(fault) => return Err(fault),
        }
    }
    Ok(answer)
}

fn error(id: String, fault: Fault) -> api::ApiErrorType {
    api::ApiErrorType { secret_id: Some(id), error_code: Some(fault.name.to_owned()), message: Some(fault.message) }
}

/// ARNs of a page of those that are meant.
fn filtered(
    context: &mut Context<'_>,
    filters: &[api::Filter],
    token: Option<&str>,
    limit: Option<i32>,
) -> Result<(Vec<String>, Option<String>), Fault> {
    filter::check(filters)?;
    let parameters = format!("{filters:?}");
    let list = List { operation: "BatchGetSecretValue", filter: &parameters, token };
    let after = list.after(context)?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MOST);
    let (place, settings) = (context.place.clone(), context.settings);
    let state = context.read();
    let is_meant = |secret: &Secret| secret.deleted_at.is_none() && filter::meets(filters, secret);
    let (page, last) = by_name(&state, &place, after.as_deref(), limit, false, is_meant);
    let page = page.iter().map(|secret| secret.arn(&place)).collect();
    Ok((page, last.map(|last| list.next(settings, &place, &last))))
}

/// Whether the caller may read one secret: as if it asked for it alone.
///
/// # Errors
/// `AccessDeniedException`
fn may(context: &mut Context<'_>, id: &str) -> Result<(), Fault> {
    if !context.judged {
        return Ok(());
    }
    let mut input = Structure::empty(api::GetSecretValueRequest::def());
    let at = input.def.members.iter().position(|member| member.name == "SecretId");
    if let Some(member) = at.and_then(|at| input.members.get_mut(at)) {
        *member = Some(Value::String(id.to_owned()));
    }
    let (place, input) = (context.place.clone(), Value::Structure(input));
    let (caller, conditions) = (context.caller.clone(), context.conditions.clone());
    let state = context.read();
    let asked = Asked { place: &place, state: &state, input: &input, user: None };
    access::judge(NAME, "GetSecretValue", &asked, &caller, &conditions)
        .map_err(|sentence| authority::denied(ProtocolKind::AwsJson11, &sentence))
}
