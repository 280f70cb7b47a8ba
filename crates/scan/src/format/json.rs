//! JSON of any size, one member or element at a time, without a picture of the whole in memory.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep callers follow what is nested.
pub(super) const DEEPEST: usize = 32;

type Told = Result<(), String>;

/// Shows each member of an object.
pub(super) fn members(json: &str, each: &mut dyn FnMut(&str, &RawValue) -> Told) -> Told {
    walk(json, Walk::Object(each))
}

/// Shows each element of an array.
pub(super) fn elements(json: &str, each: &mut dyn FnMut(&RawValue) -> Told) -> Told {
    walk(json, Walk::Array(each))
}

/// The text that a value is; `None` if it is something else.
pub(super) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str::<Cow<'_, str>>(value.get()).ok().map(Cow::into_owned)
}

fn walk(json: &str, walk: Walk<'_>) -> Told {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let done = walk.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    done.map_err(|error| format!("it is no JSON of the kind: line {}, column {}", error.line(), error.column()))
}

enum Walk<'a> {
    Object(&'a mut dyn FnMut(&str, &RawValue) -> Told),
    Array(&'a mut dyn FnMut(&RawValue) -> Told),
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self {
            Self::Object(_) => deserializer.deserialize_map(self),
            Self::Array(_) => deserializer.deserialize_seq(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if matches!(self, Self::Object(_)) { "an object" } else { "an array" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self::Object(each) = self else { return Err(de::Error::custom("an array is expected")) };
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            each(&key, map.next_value::<&RawValue>()?).map_err(de::Error::custom)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self::Array(each) = self else { return Err(de::Error::custom("an object is expected")) };
        while let Some(element) = list.next_element::<&RawValue>()? {
            each(element).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}
