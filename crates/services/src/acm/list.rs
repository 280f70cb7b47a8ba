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
    let facts = &row.facts;
    let includes = request.includes.as_ref();
    let has = |wanted: Option<&Vec<_>>, has: &dyn Fn(&_) -> bool| {
        wanted.is_none_or(|wanted| wanted.is_empty() || wanted.iter().any(has))
    };
    let extended = |wanted: &api::ExtendedKeyUsageName| match wanted {
        api::ExtendedKeyUsageName::None => facts.extended_key_usages.is_empty(),
        wanted => facts.extended_key_usages.iter().any(|usage| usage.name == *wanted),
    };
    let status = show::status(row, now);
    let statuses = request.certificate_statuses.as_ref();
    let origins = request.certificate_key_pair_origins.as_ref();
    let types = includes.and_then(|includes| includes.key_types.as_deref()).filter(|types| !types.is_empty());
    let usages = includes.and_then(|includes| includes.key_usage.as_ref());
    let extended_usages = includes.and_then(|includes| includes.extended_key_usage.as_ref());
    statuses.is_none_or(|wanted| wanted.is_empty() || wanted.contains(&status))
        && origins.is_none_or(|wanted| wanted.contains(&show::origin(row)))
        && types.unwrap_or(USUAL_KEYS).contains(&facts.key_algorithm)
        && has(usages, &|wanted| facts.key_usages.contains(wanted))
        && extended_usages.is_none_or(|wanted| wanted.is_empty() || wanted.iter().any(extended))
        && includes.and_then(|includes| includes.export_option) != Some(api::CertificateExport::Enabled)
        && includes.and_then(|includes| includes.managed_by).is_none()
}
