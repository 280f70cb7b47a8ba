//! What is known of a request besides who asks for what: the condition keys and their values.

use std::collections::BTreeMap;

/// Condition keys and their values. Names are compared without regard to case; values are kept as they came.
///
/// A key of no value at all is as good as absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    values: BTreeMap<String, Vec<String>>,
}

impl Context {
    /// Sets a key's values in place of those it had.
    pub fn set<V: Into<String>>(&mut self, key: &str, values: impl IntoIterator<Item = V>) {
        self.values.insert(key.to_ascii_lowercase(), values.into_iter().map(Into::into).collect());
    }

    /// The values of a key; `None` if there are none.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.values.get(&key.to_ascii_lowercase()).map(Vec::as_slice).filter(|values| !values.is_empty())
    }

    /// Takes over all of another's keys; where both have one, the other's values stand.
    pub fn extend(&mut self, other: Context) {
        self.values.extend(other.values);
    }

    /// Every key, in lower case, with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.values.iter().map(|(key, values)| (key.as_str(), values.as_slice()))
    }

    /// The values of a key that is in lower case already.
    pub(super) fn lower(&self, key: &str) -> Option<&[String]> {
        self.values.get(key).map(Vec::as_slice).filter(|values| !values.is_empty())
    }

    /// What a variable stands for: the value of its key if it has exactly one, its default if the key is absent.
    pub(super) fn variable<'a>(&'a self, key: &str, default: Option<&'a str>) -> Option<&'a str> {
        match self.lower(key) {
            None => default,
            Some([value]) => Some(value),
            Some(_) => None,
        }
    }
}
