//! Tags of users, roles, instance profiles and managed policies.

use std::collections::BTreeMap;

use longshore_api::iam::Tag;
use longshore_wire::Fault;

use super::fault;

/// Tags that one resource may have.
const MOST: usize = 50;

pub type Tags = BTreeMap<String, String>;

/// The tags with `more` over them.
///
/// # Errors
/// `InvalidInput` for a key given twice or reserved; `LimitExceeded` for too many.
pub fn add(tags: &mut Tags, more: Option<Vec<Tag>>) -> Result<(), Fault> {
    let more = more.unwrap_or_default();
    let mut seen = Vec::with_capacity(more.len());
    for tag in more {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        let small = key.to_lowercase();
        if small.starts_with("aws:") {
            return Err(fault::invalid("Caller is not an internal service; tag keys may not begin with aws:"));
        }
        if seen.contains(&small) {
            return Err(fault::invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
        }
        tags.retain(|other, _| other.to_lowercase() != small);
        tags.insert(key, value);
        seen.push(small);
    }
    match tags.len() > MOST {
        true => Err(fault::limit(format!("The number of tags has reached the maximum limit of {MOST}."))),
        false => Ok(()),
    }
}

pub fn remove(tags: &mut Tags, keys: &[String]) {
    tags.retain(|key, _| !keys.iter().any(|gone| gone.to_lowercase() == key.to_lowercase()));
}

/// As an answer shows them; `None` if there are none.
pub fn shown(tags: &Tags) -> Option<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| Tag { key: Some(key.clone()), value: Some(value.clone()) };
    (!tags.is_empty()).then(|| tags.iter().map(tag).collect())
}

/// As a list shows them, with their keys.
pub fn rows(tags: &Tags) -> Vec<(String, Tag)> {
    tags.iter().map(|(key, value)| (key.clone(), Tag { key: Some(key.clone()), value: Some(value.clone()) })).collect()
}
