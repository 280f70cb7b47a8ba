//! ListCertificates.

use longshore_api::acm as api;
use longshore_model::certificate::{Certificate, key};
use longshore_wire::{Fault, Timestamp};

use super::{fault, show};
use crate::Context;
use crate::ecs::page::{Scope, decode, encode};

/// Entries on a page where the caller does not say: the most it may ask for.
const MOST: usize = 1000;

/// Keys that are listed where the caller does not say: as AWS has it, others are listed only if they are asked for.
const USUAL_KEYS: &[api::KeyAlgorithm] = &[api::KeyAlgorithm::Rsa1024, api::KeyAlgorithm::Rsa2048];

/// # Errors
/// `ValidationException` for a token that is none of this list's, and for an order without what is ordered.
pub fn list(
    context: &mut Context<'_>,
    request: api::ListCertificatesRequest,
) -> Result<api::ListCertificatesResponse, Fault> {
    if request.sort_by.is_some() != request.sort_order.is_some() {
        return Err(fault::validation("SortBy and SortOrder must be specified together."));
    }
    let (place, now) = (context.place.clone(), context.now);
    let asked = (&request.certificate_statuses, &request.includes, &request.certificate_key_pair_origins);
    let filter = format!("{asked:?} {:?}", request.sort_order);
    let scope = Scope { account: place.account.as_str(), operation: "ListCertificates", filter: &filter };
    let page_key = &context.settings.page_key;
    let open =
        |token: &String| decode(page_key, scope, token).ok_or_else(|| fault::validation("The NextToken is not valid."));
    let after = request.next_token.as_ref().map(open).transpose()?;
    let size = request.max_items.and_then(|size| usize::try_from(size).ok()).unwrap_or(MOST);
    let state = context.read();
    let prefix = key(place.account.as_str(), "");
    let rows = state.certificates.scan(&prefix).map(|(_, row)| row).filter(|row| is_meant(&request, row, now));
    let mut rows: Vec<_> = rows.map(|row| (position(request.sort_order, row), row)).collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    rows.retain(|(position, _)| after.as_ref().is_none_or(|after| position > after));
    let more = rows.len() > size;
    rows.truncate(size);
    let last = rows.last().filter(|_| more).map(|(position, _)| encode(page_key, scope, position));
    let shown = rows.iter().map(|(_, row)| show::summary(&state, &place, row, now)).collect();
    Ok(api::ListCertificatesResponse { next_token: last, certificate_summary_list: Some(shown) })
}

/// A text by which rows are in the order that is asked for.
fn position(order: Option<api::SortOrder>, row: &Certificate) -> String {
    let time = row.created_at.millis().max(0);
    match order {
        None => row.id.clone(),
        Some(api::SortOrder::Ascending) => format!("{time:020}/{}", row.id),
        Some(api::SortOrder::Descending) => format!("{:020}/{}", i64::MAX - time, row.id),
    }
}

fn is_meant(request: &api::ListCertificatesRequest, row: &Certificate, now: Timestamp) -> bool {
    let (status, origin) = (show::status(row, now), show::origin(row));
    let usual = api::Filters::default();
    any(request.certificate_statuses.as_deref(), |wanted| *wanted == status)
        && any(request.certificate_key_pair_origins.as_deref(), |wanted| *wanted == origin)
        && is_included(request.includes.as_ref().unwrap_or(&usual), row)
}

/// Whether one of those that are wanted is there; nothing wanted is anything.
fn any<T>(wanted: Option<&[T]>, is: impl Fn(&T) -> bool) -> bool {
    wanted.is_none_or(|wanted| wanted.is_empty() || wanted.iter().any(is))
}

/// No certificate here can be exported or is CloudFront's.
fn is_included(filters: &api::Filters, row: &Certificate) -> bool {
    let facts = &row.facts;
    let types = filters.key_types.as_deref().filter(|types| !types.is_empty()).unwrap_or(USUAL_KEYS);
    types.contains(&facts.key_algorithm)
        && any(filters.key_usage.as_deref(), |wanted| facts.key_usages.contains(wanted))
        && any(filters.extended_key_usage.as_deref(), |wanted| match wanted {
            api::ExtendedKeyUsageName::None => facts.extended_key_usages.is_empty(),
            wanted => facts.extended_key_usages.iter().any(|usage| usage.name == *wanted),
        })
        && filters.export_option != Some(api::CertificateExport::Enabled)
        && filters.managed_by.is_none()
}
