//! Tags of repositories.

use std::collections::BTreeMap;

use longshore_api::ecr as api;
use longshore_api::ecr::fault as def;
use longshore_model::{AccountId, Arn};
use longshore_wire::Fault;

use super::fault;
use super::find::Which;
use crate::Context;

/// Tags of one repository, and the characters of their parts.
const MOST: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

pub type Tags = BTreeMap<String, String>;

/// The tags with `more` over them.
///
/// # Errors
/// `InvalidTagParameterException`, `TooManyTagsException`.
pub fn add(tags: &mut Tags, more: Vec<api::Tag>) -> Result<(), Fault> {
    let invalid = |message: &str| fault::of(&def::INVALID_TAG_PARAMETER_EXCEPTION, message);
    let mut seen: Vec<String> = Vec::with_capacity(more.len().min(MOST));
    for tag in more {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        if key.is_empty() || key.chars().count() > LONGEST_KEY || value.chars().count() > LONGEST_VALUE {
            return Err(invalid("A tag's key has 1 to 128 characters, its value at most 256."));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("Tag keys may not begin with aws:, which is reserved."));
        }
        if seen.contains(&key) {
            return Err(invalid("The same tag key is given twice."));
        }
        seen.push(key.clone());
        tags.insert(key, value);
        if tags.len() > MOST {
            let message = format!("A repository may have {MOST} tags.");
            return Err(fault::of(&def::TOO_MANY_TAGS_EXCEPTION, message));
        }
    }
    Ok(())
}

/// As answers show them.
pub fn shown(tags: &Tags) -> Vec<api::Tag> {
    tags.iter().map(|(key, value)| api::Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

/// The repository that an ARN names.
fn of_arn(context: &Context<'_>, given: Option<String>) -> Result<Which, Fault> {
    let given = given.unwrap_or_default();
    let arn = Arn::parse(&given).filter(|arn| arn.service == "ecr" && arn.region == context.place.region);
    let read = arn.and_then(|arn| Some((AccountId::parse(arn.account)?, arn.resource.strip_prefix("repository/")?)));
    let (registry, name) = read.ok_or_else(|| fault::parameter("resourceArn", "must be the ARN of a repository"))?;
    Ok(Which { registry, name: name.to_owned() })
}

pub fn tag(context: &mut Context<'_>, request: api::TagResourceRequest) -> Result<api::TagResourceResponse, Fault> {
    let which = of_arn(context, request.resource_arn)?;
    let tags = request.tags.unwrap_or_default();
    which.change(context, |repository| add(&mut repository.tags, tags))?;
    Ok(api::TagResourceResponse::default())
}

pub fn untag(
    context: &mut Context<'_>,
    request: api::UntagResourceRequest,
) -> Result<api::UntagResourceResponse, Fault> {
    let which = of_arn(context, request.resource_arn)?;
    let keys = request.tag_keys.unwrap_or_default();
    which.change(context, |repository| {
        repository.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })?;
    Ok(api::UntagResourceResponse::default())
}

pub fn list(
    context: &mut Context<'_>,
    request: api::ListTagsForResourceRequest,
) -> Result<api::ListTagsForResourceResponse, Fault> {
    let repository = of_arn(context, request.resource_arn)?.read(context)?;
    Ok(api::ListTagsForResourceResponse { tags: Some(shown(&repository.tags)) })
}
