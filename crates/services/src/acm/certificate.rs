//! One certificate: described, got, deleted.

use longshore_api::acm as api;
use longshore_model::{Change, TableName};
use longshore_wire::Fault;

use super::{fault, find, show};
use crate::Context;

/// # Errors
/// `ResourceNotFoundException`
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeCertificateRequest,
) -> Result<api::DescribeCertificateResponse, Fault> {
    let (place, now) = (context.place.clone(), context.now);
    let state = context.read();
    let row = find::find(&state, &place, &request.certificate_arn.unwrap_or_default())?;
    Ok(api::DescribeCertificateResponse { certificate: Some(show::detail(&state, &place, row, now)) })
}

/// # Errors
/// `ResourceNotFoundException`
pub fn get(
    context: &mut Context<'_>,
    request: api::GetCertificateRequest,
) -> Result<api::GetCertificateResponse, Fault> {
    let place = context.place.clone();
    let state = context.read();
    let row = find::find(&state, &place, &request.certificate_arn.unwrap_or_default())?;
    Ok(api::GetCertificateResponse { certificate: Some(row.body.clone()), certificate_chain: row.chain.clone() })
}

/// # Errors
/// `ResourceNotFoundException`; `ResourceInUseException` while a listener has it.
pub fn delete(context: &mut Context<'_>, request: api::DeleteCertificateRequest) -> Result<(), Fault> {
    let place = context.place.clone();
    let arn = request.certificate_arn.unwrap_or_default();
    context.transact(|state, changes, _| {
        let row = find::find(state, &place, &arn)?;
        if find::is_used(state, row) {
            return Err(fault::in_use(format!("Certificate {arn} in account {} is in use.", place.account)));
        }
        changes.push(Change::Delete(TableName::Certificate, row.key()));
        Ok(())
    })
}
