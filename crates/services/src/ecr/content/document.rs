//! A manifest's JSON, read so that no two readers read it differently: a member of the top is there once and in its own
//! spelling. What is unknown is passed over.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

/// What a manifest or an index has at its top.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub schema_version: i64,
    pub media_type: Option<String>,
    pub artifact_type: Option<String>,
    pub config: Option<Descriptor>,
    pub layers: Option<Vec<Descriptor>>,
    pub manifests: Option<Vec<Descriptor>>,
    pub subject: Option<Descriptor>,
}

/// What names a content.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: i64,
    #[serde(default)]
    pub urls: Vec<String>,
}

/// Members that mean something, as the specifications spell them.
const KNOWN: [&str; 11] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "fsLayers",
    "history",
    "signatures",
];

/// The members of a document's top.
struct Members {
    known: Vec<&'static str>,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Members, A::Error> {
                let mut known: Vec<&'static str> = Vec::new();
                while let Some((name, IgnoredAny)) = from.next_entry::<String, IgnoredAny>()? {
                    let Some(meant) = KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(&name)) else {
                        continue;
                    };
                    if meant != name || known.contains(&meant) {
                        return Err(serde::de::Error::custom(format!("{meant} is there twice or misspelt")));
                    }
                    known.push(meant);
                }
                Ok(Members { known })
            }
        }
        from.deserialize_map(Reader)
    }
}

/// The document, and which members it has.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn read(bytes: &[u8]) -> Result<(Document, Vec<&'static str>), String> {
    let members: Members = serde_json::from_slice(bytes).map_err(|error| words(&error))?;
    let document = serde_json::from_slice(bytes).map_err(|error| words(&error))?;
    Ok((document, members.known))
}

/// What a parser says may quote what it read.
fn words(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => error.to_string().chars().take(200).collect(),
        _ => "Invalid JSON syntax".to_owned(),
    }
}

/// A manifest's annotations; none where it does not read.
pub fn annotations(bytes: &[u8]) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Annotated {
        #[serde(default)]
        annotations: Option<BTreeMap<String, String>>,
    }
    let read = serde_json::from_slice::<Annotated>(bytes).ok();
    read.and_then(|read| read.annotations).unwrap_or_default()
}
