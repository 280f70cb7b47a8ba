//! Tags of secrets.

use std::collections::BTreeMap;

use longshore_api::secretsmanager as api;
use longshore_wire::Fault;

use super::{fault, find};
use crate::Context;

/// Tags that one secret may have.
const MOST: usize = 50;

pub type Tags = BTreeMap<String, String>;

/// The tags with `more` over them.
///
/// # Errors
/// `InvalidParameterException` for a key that is given twice, reserved or missing, and for too many.
pub fn add(tags: &mut Tags, more: Vec<api::Tag>) -> Result<(), Fault> {
    let mut seen: Vec<String> = Vec::with_capacity(more.len());
    for tag in more {
        let key = tag.key.ok_or_else(|| fault::parameter("Tags: a tag without a key."))?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(fault::parameter("Tag keys may not begin with aws:, which is reserved."));
        }
        if seen.contains(&key) {
            return Err(fault::parameter("Tags: the same key is given twice."));
        }
        seen.push(key.clone());
        tags.insert(key, tag.value.unwrap_or_default());
        if tags.len() > MOST {
            return Err(fault::parameter(format!("A secret may have {MOST} tags.")));
        }
    }
    Ok(())
}

/// As answers show them.
pub fn shown(tags: &Tags) -> Vec<api::Tag> {
    tags.iter().map(|(key, value)| api::Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

pub fn tag(context: &mut Context<'_>, request: api::TagResourceRequest) -> Result<(), Fault> {
    let tags = request.tags.unwrap_or_default();
    find::change(context, &request.secret_id.unwrap_or_default(), |_, secret| add(&mut secret.tags, tags))?;
    Ok(())
}

pub fn untag(context: &mut Context<'_>, request: api::UntagResourceRequest) -> Result<(), Fault> {
    let keys = request.tag_keys.unwrap_or_default();
    find::change(context, &request.secret_id.unwrap_or_default(), |_, secret| {
        secret.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })?;
    Ok(())
}
