//! Tags of trails.

use std::collections::BTreeMap;

use longshore_api::cloudtrail as api;
use longshore_model::State;
use longshore_model::trail::{Trail, key};
use longshore_wire::Fault;

use super::{fault, name, trail};
use crate::Context;

/// Tags of one trail.
const MOST: usize = 50;

/// Trails whose tags are listed at a time.
const MOST_LISTED: usize = 20;

/// The tags with `more` over them.
///
/// # Errors
/// `InvalidTagParameterException` for a key given twice, reserved, or too long a value; `TagsLimitExceededException`.
pub fn add(tags: &mut BTreeMap<String, String>, more: Vec<api::Tag>) -> Result<(), Fault> {
    let mut seen = Vec::with_capacity(more.len());
    for tag in more {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        if key.to_lowercase().starts_with("aws:") {
            return Err(fault::tag("Keys of tags may not begin with aws:."));
        }
        if seen.contains(&key) {
            return Err(fault::tag("The key of a tag is given twice."));
        }
        tags.insert(key.clone(), value);
        seen.push(key);
    }
    if tags.len() > MOST { Err(fault::too_many_tags(MOST)) } else { Ok(()) }
}

/// # Errors
/// `CloudTrailARNInvalidException`, `ResourceNotFoundException`, and those of [`add`].
pub fn put(context: &mut Context<'_>, request: api::AddTagsRequest) -> Result<api::AddTagsResponse, Fault> {
    let arn = found(context, request.resource_id)?;
    let more = request.tags_list.unwrap_or_default();
    trail::change(context, Some(arn), |_, trail| add(&mut trail.tags, more))?;
    Ok(api::AddTagsResponse {})
}

/// # Errors
/// `CloudTrailARNInvalidException`, `ResourceNotFoundException`.
pub fn remove(context: &mut Context<'_>, request: api::RemoveTagsRequest) -> Result<api::RemoveTagsResponse, Fault> {
    let arn = found(context, request.resource_id)?;
    let gone = request.tags_list.unwrap_or_default();
    trail::change(context, Some(arn), |_, trail| {
        // With a value only the tag of that value goes.
        let goes = |tag: &api::Tag, key: &String, value: &String| {
            tag.key.as_ref() == Some(key) && tag.value.as_ref().is_none_or(|given| given == value)
        };
        trail.tags.retain(|key, value| !gone.iter().any(|tag| goes(tag, key, value)));
        Ok(())
    })?;
    Ok(api::RemoveTagsResponse {})
}

/// The ARN, if it is of a trail that is there.
fn found(context: &mut Context<'_>, arn: Option<String>) -> Result<String, Fault> {
    let (arn, place) = (arn.unwrap_or_default(), context.place.clone());
    let name = name::in_arn(&place, &arn)?;
    match context.read().trails.contains(&key(&place.account, name)) {
        true => Ok(arn),
        false => Err(fault::resource_not_found()),
    }
}

/// # Errors
/// `CloudTrailARNInvalidException`, `ResourceNotFoundException`; `InvalidTrailNameException` for more than 20.
pub fn list(context: &mut Context<'_>, request: api::ListTagsRequest) -> Result<api::ListTagsResponse, Fault> {
    let place = context.place.clone();
    let arns = request.resource_id_list.unwrap_or_default();
    if arns.len() > MOST_LISTED {
        return Err(fault::trail_name("At most 20 resources may be listed at a time."));
    }
    let state = context.read();
    let of = |arn: String| -> Result<api::ResourceTag, Fault> {
        let trail = tagged(&state, &place, &arn)?;
        let tag = |(key, value): (&String, &String)| api::Tag { key: Some(key.clone()), value: Some(value.clone()) };
        Ok(api::ResourceTag { tags_list: Some(trail.tags.iter().map(tag).collect()), resource_id: Some(arn) })
    };
    let list = arns.into_iter().map(of).collect::<Result<_, _>>()?;
    Ok(api::ListTagsResponse { resource_tag_list: Some(list), next_token: None })
}

fn tagged<'a>(state: &'a State, place: &longshore_model::Place, arn: &str) -> Result<&'a Trail, Fault> {
    let name = name::in_arn(place, arn)?;
    state.trails.get(&key(&place.account, name)).map(AsRef::as_ref).ok_or_else(fault::resource_not_found)
}
