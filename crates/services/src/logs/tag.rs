//! Tags of log groups, by ARN and by the older operations that take a name.

use std::collections::BTreeMap;

use longshore_api::logs::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, ListTagsLogGroupRequest, ListTagsLogGroupResponse,
    TagLogGroupRequest, TagResourceRequest, UntagLogGroupRequest, UntagResourceRequest, fault as def,
};
use longshore_model::setting::LogGroup;
use longshore_wire::{Fault, Value};

use super::{Done, fault, resolve};
use crate::Context;

type Tags = BTreeMap<String, String>;

/// Most tags of one group.
const LIMIT: usize = 50;

/// Tags that a caller may set: lengths and characters are the model's; AWS keeps a prefix to itself.
///
/// # Errors
/// `InvalidParameterException`.
pub fn check(tags: &Tags) -> Result<(), Fault> {
    let reserved = |key: &String| key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:"));
    match tags.keys().any(reserved) {
        true => Err(fault::invalid_parameter("Tag keys beginning with aws: are reserved for AWS use.")),
        false => Ok(()),
    }
}

/// # Errors
/// `ResourceNotFoundException`, `InvalidParameterException`, `TooManyTagsException`.
pub fn tag(context: &mut Context<'_>, request: TagResourceRequest) -> Result<Done, Fault> {
    let arn = request.resource_arn.unwrap_or_default();
    let name = resolve::from_arn(&context.place, &arn)?;
    add(context, &name, request.tags.unwrap_or_default(), || {
        let message = format!("The resource cannot have more than {LIMIT} tags.");
        let name = Value::String(arn.clone());
        Fault::new(&def::TOO_MANY_TAGS_EXCEPTION, message).with(&def::TOO_MANY_TAGS_EXCEPTION, "resourceName", name)
    })
}

/// # Errors
/// `ResourceNotFoundException`, `InvalidParameterException`.
pub fn tag_group(context: &mut Context<'_>, request: TagLogGroupRequest) -> Result<Done, Fault> {
    let name = request.log_group_name.unwrap_or_default();
    add(context, &name, request.tags.unwrap_or_default(), || {
        fault::invalid_parameter(format!("The log group cannot have more than {LIMIT} tags."))
    })
}

fn add(context: &mut Context<'_>, name: &str, tags: Tags, too_many: impl Fn() -> Fault) -> Result<Done, Fault> {
    check(&tags)?;
    change(context, name, |held| {
        held.extend(tags);
        match held.len() <= LIMIT {
            true => Ok(()),
            false => Err(too_many()),
        }
    })
}

/// # Errors
/// `ResourceNotFoundException`, `InvalidParameterException`.
pub fn untag(context: &mut Context<'_>, request: UntagResourceRequest) -> Result<Done, Fault> {
    let name = resolve::from_arn(&context.place, &request.resource_arn.unwrap_or_default())?;
    remove(context, &name, &request.tag_keys.unwrap_or_default())
}

/// # Errors
/// `ResourceNotFoundException`.
pub fn untag_group(context: &mut Context<'_>, request: UntagLogGroupRequest) -> Result<Done, Fault> {
    let name = request.log_group_name.unwrap_or_default();
    remove(context, &name, &request.tags.unwrap_or_default())
}

fn remove(context: &mut Context<'_>, name: &str, keys: &[String]) -> Result<Done, Fault> {
    change(context, name, |held| {
        held.retain(|key, _| !keys.contains(key));
        Ok(())
    })
}

fn change(
    context: &mut Context<'_>,
    name: &str,
    change: impl FnOnce(&mut Tags) -> Result<(), Fault>,
) -> Result<Done, Fault> {
    let place = context.place.clone();
    context.transact(|state, changes, _| {
        let mut group = LogGroup::clone(resolve::in_state(state, &place, name)?);
        change(&mut group.tags)?;
        changes.push(group.into());
        Ok(Done)
    })
}

/// # Errors
/// `ResourceNotFoundException`, `InvalidParameterException`.
pub fn list(
    context: &mut Context<'_>,
    request: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, Fault> {
    let name = resolve::from_arn(&context.place, &request.resource_arn.unwrap_or_default())?;
    let group = resolve::by_name(context, &name)?;
    Ok(ListTagsForResourceResponse { tags: Some(group.tags.clone()) })
}

/// # Errors
/// `ResourceNotFoundException`.
pub fn list_of_group(
    context: &mut Context<'_>,
    request: ListTagsLogGroupRequest,
) -> Result<ListTagsLogGroupResponse, Fault> {
    let group = resolve::by_name(context, &request.log_group_name.unwrap_or_default())?;
    Ok(ListTagsLogGroupResponse { tags: Some(group.tags.clone()) })
}
