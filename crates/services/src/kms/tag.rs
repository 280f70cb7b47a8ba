//! Tags of keys.

use std::collections::BTreeMap;

use longshore_api::kms as api;
use longshore_wire::Fault;

use super::find::by_id;
use super::page::{self, Asked};
use super::{fault, key};
use crate::Context;

/// Tags that one key may have.
const MOST: usize = 50;

type Tags = BTreeMap<String, String>;

/// The tags with `more` over them.
///
/// # Errors
/// `TagException` for a key given twice or reserved; `LimitExceededException` for too many.
pub fn add(tags: &mut Tags, more: Vec<api::Tag>) -> Result<(), Fault> {
    let mut seen: Vec<String> = Vec::with_capacity(more.len());
    for tag in more {
        let (key, value) = (tag.tag_key.unwrap_or_default(), tag.tag_value.unwrap_or_default());
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(fault::of(&api::fault::TAG_EXCEPTION, "Tag keys may not begin with aws:"));
        }
        if seen.contains(&key) {
            return Err(fault::of(&api::fault::TAG_EXCEPTION, "Duplicate tag keys"));
        }
        seen.push(key.clone());
        tags.insert(key, value);
        if tags.len() > MOST {
            return Err(fault::limit("tags of a key", MOST));
        }
    }
    Ok(())
}

pub fn tag(context: &mut Context<'_>, request: api::TagResourceRequest) -> Result<(), Fault> {
    let tags = request.tags.unwrap_or_default();
    key::change(context, &request.key_id.unwrap_or_default(), |key, arn| match key.delete_at {
        Some(_) => Err(fault::pending(arn)),
        None => add(&mut key.tags, tags),
    })
}

pub fn untag(context: &mut Context<'_>, request: api::UntagResourceRequest) -> Result<(), Fault> {
    let keys = request.tag_keys.unwrap_or_default();
    key::change(context, &request.key_id.unwrap_or_default(), |key, arn| match key.delete_at {
        Some(_) => Err(fault::pending(arn)),
        None => {
            key.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        }
    })
}

pub fn list(
    context: &mut Context<'_>,
    request: api::ListResourceTagsRequest,
) -> Result<api::ListResourceTagsResponse, Fault> {
    let place = context.place.clone();
    let filter = request.key_id.unwrap_or_default();
    let (marker, limit) = (request.marker.as_deref(), request.limit);
    let asked = Asked { operation: "ListResourceTags", filter: &filter, marker, limit };
    let after = asked.after(context)?;
    let state = context.read();
    let key = by_id(&state, &place, &filter)?;
    let shown = |(key, value): (&String, &String)| {
        (key.clone(), api::Tag { tag_key: Some(key.clone()), tag_value: Some(value.clone()) })
    };
    let rows = key.tags.iter().filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after)).map(shown);
    let page = page::cut(context.settings, &place, &asked, rows);
    Ok(api::ListResourceTagsResponse { truncated: page.truncated(), tags: Some(page.rows), next_marker: page.marker })
}
