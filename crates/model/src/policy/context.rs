//! What is known of a request besides who asks for what: the condition keys and their values.
//!
//! A policy's conditions ask for many keys of one context, most of them again and again. Names are therefore compared by a
//! number made of their letters once ([`Name`]); that two names have the same number is seen by looking at them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

/// Condition keys and their values. Names are compared without regard to case; values are kept as they came.
///
/// A key of no value at all is as good as absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// By number, then by name.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    name: Name,
    /// Shared by the contexts of one call's judgements.
    values: Arc<[String]>,
}

/// The name of a condition key: in lower case, the number of that, and how it was written if it was otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    number: u64,
    lower: Cow<'static, str>,
    written: Option<Box<str>>,
}

/// The name of a key that many requests have, made ready once.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    number: u64,
    lower: &'static str,
}

impl Known {
    /// Of a name in lower case.
    pub const fn new(lower: &'static str) -> Self {
        Self { number: number(lower), lower }
    }
}

impl Name {
    pub(super) fn new(written: &str) -> Self {
        let lower = written.to_ascii_lowercase();
        let otherwise = (lower != written).then(|| written.into());
        Self { number: number(&lower), lower: lower.into(), written: otherwise }
    }

    fn order(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number).then_with(|| self.lower.cmp(&other.lower))
    }

    /// As it was written.
    pub(super) fn as_str(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.lower)
    }
}

/// FNV-1a.
const fn number(lower: &str) -> u64 {
    let (bytes, mut sum, mut at) = (lower.as_bytes(), 0xcbf2_9ce4_8422_2325, 0);
    while at < bytes.len() {
        sum = (sum ^ bytes[at] as u64).wrapping_mul(0x100_0000_01b3);
        at += 1;
    }
    sum
}

impl Context {
    /// Sets a key's values in place of those it had.
    pub fn set<V: Into<String>>(&mut self, key: &str, values: impl IntoIterator<Item = V>) {
        let lower = key.to_ascii_lowercase();
        let name = Name { number: number(&lower), lower: lower.into(), written: None };
        self.put(name, values.into_iter().map(Into::into).collect());
    }

    /// Sets the one value of a known key in place of those it had.
    pub fn set_known(&mut self, key: Known, value: impl Into<String>) {
        let name = Name { number: key.number, lower: key.lower.into(), written: None };
        self.put(name, Arc::new([value.into()]));
    }

    fn put(&mut self, name: Name, values: Arc<[String]>) {
        match self.place(&name) {
            Ok(at) => self.entries[at].values = values,
            Err(at) => self.entries.insert(at, Entry { name, values }),
        }
    }

    /// The values of a key; `None` if there are none.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.values(&Name::new(key))
    }

    /// Takes over all of another's keys; where both have one, the other's values stand.
    pub fn extend(&mut self, other: Context) {
        self.without(&other);
        self.entries.extend(other.entries);
        self.entries.sort_unstable_by(|one, other| one.name.order(&other.name));
    }

    /// Takes away all keys that another has.
    pub fn without(&mut self, other: &Context) {
        self.entries.retain(|entry| other.place(&entry.name).is_err());
    }

    /// Every key, in lower case, with its values; in order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_unstable_by(|one, other| one.name.lower.cmp(&other.name.lower));
        entries.into_iter().map(|entry| (&*entry.name.lower, &*entry.values))
    }

    /// As [`get`](Self::get), of a name that was made ready.
    pub(super) fn values(&self, name: &Name) -> Option<&[String]> {
        let at = self.place(name).ok()?;
        Some(&*self.entries[at].values).filter(|values| !values.is_empty())
    }

    /// What a variable stands for: the value of its key if it has exactly one, its default if the key is absent.
    pub(super) fn variable<'a>(&'a self, key: &Name, default: Option<&'a str>) -> Option<&'a str> {
        match self.values(key) {
            None => default,
            Some([value]) => Some(value),
            Some(_) => None,
        }
    }

    /// Where a key is, or would be.
    fn place(&self, name: &Name) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.name.order(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_any_case_and_the_last_values_stand() {
        let mut context = Context::default();
        for name in 0..100 {
            context.set(&format!("aws:PrincipalTag/{name}"), [name.to_string()]);
        }
        context.set("AWS:principaltag/7", ["seven"]);
        context.set("aws:SourceIp", ["nobody's"]);
        context.set_known(Known::new("aws:sourceip"), "10.0.0.1");
        assert_eq!(context.get("aws:SourceIp"), Some(&["10.0.0.1".to_owned()][..]));
        context.set::<String>("aws:userid", []);
        let seven = [String::from("seven")];
        assert_eq!(context.get("aws:PrincipalTag/7"), Some(&seven[..]));
        assert_eq!(context.values(&Name::new("aws:PRINCIPALTAG/7")), Some(&seven[..]));
        assert_eq!((context.get("aws:userid"), context.get("aws:PrincipalTag/100")), (None, None));
        assert_eq!(context.iter().count(), 102);
    }

    #[test]
    fn what_is_taken_over_replaces_what_was_there() {
        let (mut one, mut other) = (Context::default(), Context::default());
        one.set("aws:userid", ["a"]);
        one.set("aws:SourceVpc", ["b"]);
        other.set("AWS:UserId", ["c", "d"]);
        other.set("aws:SourceIp", ["e"]);
        one.extend(other);
        let mut wanted = Context::default();
        wanted.set("aws:SourceIp", ["e"]);
        wanted.set("aws:SourceVpc", ["b"]);
        wanted.set("aws:UserId", ["c", "d"]);
        assert_eq!(one, wanted);
    }
}
