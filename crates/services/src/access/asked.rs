//! A request as the tables look at it.

use longshore_model::policy::Context;
use longshore_model::{Place, State};
use longshore_wire::Value;

/// A decoded request, and where it is to be carried out.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub place: &'a Place,
    pub state: &'a State,
    pub input: &'a Value,
    /// The name of the user that asks, for operations of IAM that mean it where none is named.
    pub user: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// A member of the input; dots lead into structures.
    pub(super) fn member(&self, path: &str) -> Option<&'a Value> {
        path.split('.').try_fold(self.input, |value, name| match value {
            Value::Structure(structure) => structure.get(name),
            _ => None,
        })
    }

    pub(super) fn text(&self, path: &str) -> Option<&'a str> {
        self.member(path).and_then(text)
    }

    /// As [`text`](Self::text), but an empty one is none.
    pub(super) fn given(&self, path: &str) -> Option<&'a str> {
        self.text(path).filter(|text| !text.is_empty())
    }

    pub(super) fn list(&self, path: &str) -> &'a [Value] {
        match self.member(path) {
            Some(Value::List(values)) => values,
            _ => &[],
        }
    }

    pub(super) fn texts(&self, path: &str) -> Vec<&'a str> {
        self.list(path).iter().filter_map(text).collect()
    }

    /// A flag in the spelling of condition values.
    pub(super) fn flag(&self, path: &str) -> Option<&'static str> {
        match self.member(path) {
            Some(Value::Boolean(true)) => Some("true"),
            Some(Value::Boolean(false)) => Some("false"),
            _ => None,
        }
    }

    /// The tags of a request: a list of keys and values (in small or large letters), or a map.
    pub(super) fn tags(&self, path: &str) -> Vec<(&'a str, &'a str)> {
        match self.member(path) {
            Some(Value::Map(entries)) => {
                entries.iter().map(|(key, value)| (key.as_str(), text(value).unwrap_or_default())).collect()
            }
            _ => self.list(path).iter().filter_map(tag).collect(),
        }
    }
}

fn text(value: &Value) -> Option<&str> {
    if let Value::String(text) = value { Some(text) } else { None }
}

/// A text member of one element of a list.
pub(super) fn inner<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    if let Value::Structure(structure) = value { structure.get(name).and_then(text) } else { None }
}

fn tag(value: &Value) -> Option<(&str, &str)> {
    let either = |small, large| inner(value, small).or_else(|| inner(value, large));
    Some((either("key", "Key")?, either("value", "Value").unwrap_or_default()))
}

/// Sets a key to what is there; nothing if nothing is.
pub(super) fn set<'a>(context: &mut Context, key: &str, values: impl IntoIterator<Item = &'a str>) {
    let mut values = values.into_iter().peekable();
    if values.peek().is_some() {
        context.set(key, values);
    }
}

/// `aws:RequestTag/…` and `aws:TagKeys` of these tags.
pub(super) fn set_tags(context: &mut Context, tags: &[(&str, &str)]) {
    for (key, value) in tags {
        context.set(&format!("aws:RequestTag/{key}"), [*value]);
    }
    set(context, "aws:TagKeys", tags.iter().map(|(key, _)| *key));
}
