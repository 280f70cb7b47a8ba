//! DeleteParameter and DeleteParameters: a parameter goes with all its versions, in one transaction.

use longshore_api::ssm::{
    DeleteParameterRequest, DeleteParameterResult, DeleteParametersRequest, DeleteParametersResult,
};
use longshore_model::parameter::{parameter_key, version_prefix};
use longshore_model::{Change, TableName};
use longshore_wire::Fault;

use super::{fault, name};
use crate::Context;

/// # Errors
/// `ParameterNotFound`, `ValidationException`.
pub fn one(context: &mut Context<'_>, request: DeleteParameterRequest) -> Result<DeleteParameterResult, Fault> {
    delete(context, &request.name.unwrap_or_default())?;
    Ok(DeleteParameterResult {})
}

/// Each on its own: what is not there is listed as invalid.
///
/// # Errors
/// Those of the store.
pub fn several(context: &mut Context<'_>, request: DeleteParametersRequest) -> Result<DeleteParametersResult, Fault> {
    let (mut deleted, mut invalid) = (Vec::new(), Vec::new());
    for text in request.names.unwrap_or_default() {
        match delete(context, &text) {
            Ok(()) => deleted.push(text),
            Err(_) if deleted.contains(&text) => {}
            Err(fault) if fault.sender => invalid.push(text),
            Err(fault) => return Err(fault),
        }
    }
    Ok(DeleteParametersResult { deleted_parameters: Some(deleted), invalid_parameters: Some(invalid) })
}

fn delete(context: &mut Context<'_>, text: &str) -> Result<(), Fault> {
    let (place, now) = (context.place.clone(), context.now);
    let wanted = name::parse_bare(&place, text)?;
    context.transact(|state, changes, _| {
        let head = name::find(state, &place, &wanted, now).ok_or_else(fault::not_found)?;
        let prefix = version_prefix(&place.account, &head.name);
        let rows = state.parameter_versions.scan(&prefix).map(|(key, _)| key.to_string());
        changes.extend(rows.map(|key| Change::Delete(TableName::ParameterVersion, key)));
        changes.push(Change::Delete(TableName::Parameter, parameter_key(&place.account, &head.name)));
        Ok(())
    })
}
