//! Tags of certificates.

use std::collections::BTreeMap;

use longshore_api::acm as api;
use longshore_model::certificate::Certificate;
use longshore_model::{Place, State};
use longshore_wire::Fault;

use super::{fault, find};
use crate::Context;

/// Tags that one certificate may have.
const MOST: usize = 50;

type Tags = BTreeMap<String, String>;

/// The tags with `more` over them.
///
/// # Errors
/// `InvalidTagException` for a key that is reserved, `InvalidParameterException` for one given twice,
/// `TooManyTagsException`.
pub fn add(tags: &mut Tags, more: Vec<api::Tag>) -> Result<(), Fault> {
    let mut seen: Vec<String> = Vec::with_capacity(more.len());
    for tag in more {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(fault::tag(format!("AWS reserved tags may not be used. Tag key: {key}")));
        }
        if seen.contains(&key) {
            return Err(fault::parameter(format!("The tag key {key} is specified more than once.")));
        }
        seen.push(key.clone());
        tags.insert(key, value);
        if tags.len() > MOST {
            return Err(fault::too_many_tags(format!("A certificate can have at most {MOST} tags.")));
        }
    }
    Ok(())
}

/// The tags of what is made.
///
/// # Errors
/// As [`add`].
pub fn made(given: Vec<api::Tag>) -> Result<Tags, Fault> {
    let mut tags = Tags::new();
    add(&mut tags, given)?;
    Ok(tags)
}

/// Those of the certificate with this ARN, if there is one.
pub fn of_arn(state: &State, place: &Place, arn: &str) -> Vec<(String, String)> {
    find::find(state, place, arn).map(|row| row.tags.clone().into_iter().collect()).unwrap_or_default()
}

/// # Errors
/// `ResourceNotFoundException`, and as [`add`].
pub fn add_to(context: &mut Context<'_>, request: api::AddTagsToCertificateRequest) -> Result<(), Fault> {
    let more = request.tags.unwrap_or_default();
    change(context, &request.certificate_arn.unwrap_or_default(), |tags| add(tags, more))
}

/// A tag with a value goes only if it has that value.
///
/// # Errors
/// `ResourceNotFoundException`
pub fn remove_from(context: &mut Context<'_>, request: api::RemoveTagsFromCertificateRequest) -> Result<(), Fault> {
    let gone = request.tags.unwrap_or_default();
    let goes = |key: &str, value: &str| {
        let mut meant = gone.iter().filter(|tag| tag.key.as_deref() == Some(key));
        meant.any(|tag| tag.value.as_deref().is_none_or(|wanted| wanted == value))
    };
    change(context, &request.certificate_arn.unwrap_or_default(), |tags| {
        tags.retain(|key, value| !goes(key, value));
        Ok(())
    })
}

fn change(
    context: &mut Context<'_>,
    arn: &str,
    change: impl FnOnce(&mut Tags) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let place = context.place.clone();
    context.transact(|state, changes, _| {
        let known = find::find(state, &place, arn)?;
        let mut row = Certificate::clone(known);
        change(&mut row.tags)?;
        if row.tags != known.tags {
            changes.push(row.into());
        }
        Ok(())
    })
}

/// # Errors
/// `ResourceNotFoundException`
pub fn list(
    context: &mut Context<'_>,
    request: api::ListTagsForCertificateRequest,
) -> Result<api::ListTagsForCertificateResponse, Fault> {
    let place = context.place.clone();
    let state = context.read();
    let row = find::find(&state, &place, &request.certificate_arn.unwrap_or_default())?;
    let tag = |(key, value): (&String, &String)| api::Tag { key: Some(key.clone()), value: Some(value.clone()) };
    Ok(api::ListTagsForCertificateResponse { tags: Some(row.tags.iter().map(tag).collect()) })
}
