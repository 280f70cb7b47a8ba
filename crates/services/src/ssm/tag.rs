//! AddTagsToResource, RemoveTagsFromResource and ListTagsForResource, of parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_api::ssm::{
    AddTagsToResourceRequest, AddTagsToResourceResult, ListTagsForResourceRequest, ListTagsForResourceResult,
    RemoveTagsFromResourceRequest, RemoveTagsFromResourceResult, ResourceTypeForTagging, Tag, fault as def,
};
use longshore_model::parameter::Parameter;
use longshore_model::{Place, State};
use longshore_wire::{Fault, Timestamp};

use super::{fault, name};
use crate::Context;

/// Tags of one parameter.
const MOST: usize = 50;

type Tags = BTreeMap<String, String>;

/// # Errors
/// `InvalidResourceType`, `InvalidResourceId`, `TooManyTagsError`, `ValidationException`.
pub fn add(context: &mut Context<'_>, request: AddTagsToResourceRequest) -> Result<AddTagsToResourceResult, Fault> {
    let tags = request.tags.unwrap_or_default();
    change(context, request.resource_type, request.resource_id, |held| merge(held, tags))?;
    Ok(AddTagsToResourceResult {})
}

/// # Errors
/// `InvalidResourceType`, `InvalidResourceId`.
pub fn remove(
    context: &mut Context<'_>,
    request: RemoveTagsFromResourceRequest,
) -> Result<RemoveTagsFromResourceResult, Fault> {
    let keys = request.tag_keys.unwrap_or_default();
    change(context, request.resource_type, request.resource_id, |mut held| {
        held.retain(|key, _| !keys.contains(key));
        Ok(held)
    })?;
    Ok(RemoveTagsFromResourceResult {})
}

/// # Errors
/// `InvalidResourceType`, `InvalidResourceId`.
pub fn list(
    context: &mut Context<'_>,
    request: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResult, Fault> {
    check_type(request.resource_type)?;
    let (place, now) = (context.place.clone(), context.now);
    let state = context.read();
    let head = find(&state, &place, &request.resource_id.unwrap_or_default(), now)?;
    let tag = |(key, value): (&String, &String)| Tag { key: Some(key.clone()), value: Some(value.clone()) };
    Ok(ListTagsForResourceResult { tag_list: Some(head.tags.iter().map(tag).collect()) })
}

fn change(
    context: &mut Context<'_>,
    kind: Option<ResourceTypeForTagging>,
    id: Option<String>,
    change: impl FnOnce(Tags) -> Result<Tags, Fault>,
) -> Result<(), Fault> {
    check_type(kind)?;
    let (place, now, id) = (context.place.clone(), context.now, id.unwrap_or_default());
    context.transact(|state, changes, _| {
        let head = find(state, &place, &id, now)?;
        let tags = change(head.tags.clone())?;
        changes.push(Parameter { tags, ..head.as_ref().clone() }.into());
        Ok(())
    })
}

fn check_type(kind: Option<ResourceTypeForTagging>) -> Result<(), Fault> {
    match kind {
        Some(ResourceTypeForTagging::Parameter) => Ok(()),
        _ => Err(fault::of(
            &def::INVALID_RESOURCE_TYPE,
            "The resource type isn't valid. Parameters alone have tags here.",
        )),
    }
}

fn find<'a>(state: &'a State, place: &Place, id: &str, now: Timestamp) -> Result<&'a Arc<Parameter>, Fault> {
    let wanted = name::parse_bare(place, id).ok();
    let found = wanted.and_then(|wanted| name::find(state, place, &wanted, now));
    found.ok_or_else(|| {
        let id: String = id.chars().take(2048).collect();
        let message = format!("The resource ID \"{id}\" is not valid. Verify the ID and try again.");
        fault::of(&def::INVALID_RESOURCE_ID, message)
    })
}

/// Tags with more over them.
///
/// # Errors
/// `ValidationException` for keys given twice or reserved; `TooManyTagsError`.
pub fn merge(mut held: Tags, more: Vec<Tag>) -> Result<Tags, Fault> {
    let mut seen = Tags::new();
    for tag in more {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        if key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:")) {
            return Err(fault::validation("aws: prefixed tag key names are not allowed for external use."));
        }
        if seen.insert(key.clone(), value).is_some() {
            return Err(fault::validation(format!("Duplicate tag keys found: {key}.")));
        }
    }
    held.extend(seen);
    match held.len() > MOST {
        true => Err(fault::of(&def::TOO_MANY_TAGS_ERROR, format!("A parameter can have {MOST} tags at most."))),
        false => Ok(held),
    }
}
