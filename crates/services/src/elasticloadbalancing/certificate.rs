//! The certificates that a listener has besides its default one, for other server names.

use std::collections::BTreeSet;

use longshore_api::elasticloadbalancing as api;
use longshore_model::State;
use longshore_model::balancer::{Listener, LoadBalancer, MOST_CERTIFICATES};
use longshore_wire::Fault;

use super::{fault, listener, page, resolve, security};
use crate::Context;

/// The one certificate that a request names.
///
/// # Errors
/// `ValidationError`
fn named(certificates: Option<Vec<api::Certificate>>) -> Result<String, Fault> {
    let certificates = certificates.unwrap_or_default();
    let missing = || fault::invalid("A certificate must be specified");
    match certificates.as_slice() {
        [only] if only.is_default.is_some() => Err(fault::invalid("IsDefault cannot be specified")),
        [only] => only.certificate_arn.clone().filter(|arn| !arn.is_empty()).ok_or_else(missing),
        [] => Err(missing()),
        many => Err(security::one_only(many.len())),
    }
}

/// # Errors
/// `ValidationError` for a listener that does not encrypt.
fn check_encrypted(row: &Listener) -> Result<(), Fault> {
    match row.certificates.is_empty() {
        true => Err(fault::invalid(format!(
            "Certificates and security policies are not supported for listeners with protocol '{}'",
            row.protocol
        ))),
        false => Ok(()),
    }
}

/// A certificate that is there already stays as it is.
///
/// # Errors
/// `ListenerNotFound`, `ValidationError`, `TooManyCertificates`, those of [`security::usable`].
pub fn add(
    context: &mut Context<'_>,
    request: api::AddListenerCertificatesInput,
) -> Result<api::AddListenerCertificatesOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.listener_arn.unwrap_or_default());
    let certificate = named(request.certificates)?;
    context.transact(|state, changes, _| {
        let (balancer, known) = resolve::listener(state, &place, &arn)?;
        check_encrypted(&known)?;
        security::usable(state, &place, &certificate)?;
        if known.certificates.iter().skip(1).any(|known| *known == certificate) {
            return Ok(());
        }
        check_room(state, &balancer, &certificate)?;
        let mut row = Listener::clone(&known);
        row.certificates.push(certificate.clone());
        changes.push(row.into());
        Ok::<_, Fault>(())
    })?;
    let shown = security::shown(&certificate, Some(false));
    Ok(api::AddListenerCertificatesOutput { certificates: Some(vec![shown]) })
}

/// # Errors
/// `TooManyCertificates`
fn check_room(state: &State, balancer: &LoadBalancer, certificate: &str) -> Result<(), Fault> {
    let listeners = listener::of(state, balancer);
    let known: BTreeSet<&str> =
        listeners.iter().flat_map(|row| row.certificates.iter().skip(1)).map(String::as_str).collect();
    match known.len() >= MOST_CERTIFICATES && !known.contains(certificate) {
        true => Err(fault::too_many_certificates(format!(
            "The limit of '{MOST_CERTIFICATES}' certificates of a load balancer is reached"
        ))),
        false => Ok(()),
    }
}

/// One that is not there is gone already.
///
/// # Errors
/// `ListenerNotFound`, `ValidationError`; `OperationNotPermitted` for the default certificate.
pub fn remove(
    context: &mut Context<'_>,
    request: api::RemoveListenerCertificatesInput,
) -> Result<api::RemoveListenerCertificatesOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.listener_arn.unwrap_or_default());
    let certificate = named(request.certificates)?;
    context.transact(|state, changes, _| {
        let (_, known) = resolve::listener(state, &place, &arn)?;
        let Some(at) = known.certificates.iter().skip(1).position(|known| *known == certificate) else {
            let default = known.certificates.first() == Some(&certificate);
            return if default {
                Err(fault::not_permitted("The default certificate cannot be removed"))
            } else {
                Ok(())
            };
        };
        let mut row = Listener::clone(&known);
        row.certificates.remove(at + 1);
        changes.push(row.into());
        Ok(())
    })?;
    Ok(api::RemoveListenerCertificatesOutput {})
}

/// The default certificate, then the others; it is among these too if it was added.
///
/// # Errors
/// `ListenerNotFound`, `ValidationError`.
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeListenerCertificatesInput,
) -> Result<api::DescribeListenerCertificatesOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.listener_arn.unwrap_or_default());
    let (_, row) = resolve::listener(&context.read(), &place, &arn)?;
    let rows = row.certificates.iter().enumerate();
    let rows = rows.map(|(at, arn)| (format!("{at:03}"), security::shown(arn, Some(at == 0)))).collect();
    let asked = page::Asked {
        operation: "DescribeListenerCertificates",
        filter: &arn,
        marker: request.marker.as_deref(),
        size: request.page_size,
    };
    let (rows, next_marker) = page::cut(context, &asked, rows)?;
    Ok(api::DescribeListenerCertificatesOutput { certificates: Some(rows), next_marker })
}
