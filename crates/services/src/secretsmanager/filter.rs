//! Filters of ListSecrets and BatchGetSecretValue. All filters must hold, each by one of its values; a value that begins
//! with `!` holds where the rest does not. Values are prefixes: of names and tags exactly, of descriptions without regard to
//! case; `all` takes the value word by word and looks everywhere.

use longshore_api::secretsmanager::{Filter, FilterNameStringType as Name};
use longshore_model::secret::Secret;
use longshore_wire::Fault;

use super::fault;

/// Whether a secret is meant.
pub fn meets(filters: &[Filter], secret: &Secret) -> bool {
    filters.iter().all(|filter| filter.values.iter().flatten().any(|value| meets_one(filter.key, value, secret)))
}

/// # Errors
/// `InvalidParameterException` for a filter without a key or without values.
pub fn check(filters: &[Filter]) -> Result<(), Fault> {
    match filters.iter().any(|filter| filter.key.is_none() || filter.values.is_none()) {
        true => Err(fault::parameter("Each filter needs a Key and Values.")),
        false => Ok(()),
    }
}

fn meets_one(key: Option<Name>, value: &str, secret: &Secret) -> bool {
    match value.strip_prefix('!') {
        Some(value) => !begins(key, value, secret),
        None => begins(key, value, secret),
    }
}

fn begins(key: Option<Name>, value: &str, secret: &Secret) -> bool {
    match key {
        Some(Name::Name) => secret.name.starts_with(value),
        Some(Name::Description) => secret.description.as_deref().is_some_and(|text| has_word(text, value)),
        Some(Name::TagKey) => secret.tags.keys().any(|key| key.starts_with(value)),
        Some(Name::TagValue) => secret.tags.values().any(|text| text.starts_with(value)),
        Some(Name::All) => value.split_whitespace().all(|word| anywhere(word, secret)),
        // No secret is a replica or another service's.
        Some(Name::PrimaryRegion | Name::OwningService) | None => false,
    }
}

fn anywhere(word: &str, secret: &Secret) -> bool {
    let word = word.to_lowercase();
    let description = secret.description.iter();
    let mut texts = [&secret.name].into_iter().chain(description).chain(secret.tags.keys()).chain(secret.tags.values());
    texts.any(|text| text.to_lowercase().contains(&word))
}

/// Whether a text or a word of it begins so.
fn has_word(text: &str, value: &str) -> bool {
    let (text, value) = (text.to_lowercase(), value.to_lowercase());
    text.starts_with(&value) || text.split_whitespace().any(|word| word.starts_with(&value))
}
