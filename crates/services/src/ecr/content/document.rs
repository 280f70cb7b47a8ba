//! A manifest's JSON, read so that no two readers read it differently: in each object that means something a member is there
//! once and in its own spelling. Go's reader, which containerd and docker have, takes any case of letters for a member's name,
//! and `ſ` and the sign of kelvin for letters. What is unknown is passed over.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};

/// An object some of whose members are known.
trait Strict: Sized {
    /// Their names.
    const KNOWN: &'static [&'static str];

    fn empty() -> Self;

    /// Reads the value of a known member.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &'static str, from: &mut A) -> Result<(), A::Error>;
}

/// A strict object: members that are read, and those that are not but may not be misspelt either. `null` is as nothing.
macro_rules! strict {
    ($(#[$of:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty = $key:literal,)* } $($other:literal)*) => {
        $(#[$of])*
        #[derive(Default)]
        pub struct $name {
            $($(#[$doc])* pub $field: Option<$kind>,)*
            /// Names of the known members that are there.
            pub members: Vec<&'static str>,
        }

        impl Strict for $name {
            const KNOWN: &'static [&'static str] = &[$($key,)* $($other,)*];

            fn empty() -> Self {
                Self::default()
            }

            fn take<'de, A: MapAccess<'de>>(&mut self, name: &'static str, from: &mut A) -> Result<(), A::Error> {
                if self.members.contains(&name) {
                    return Err(A::Error::custom(format!("{name} is there twice")));
                }
                self.members.push(name);
                match name {
                    $($key => self.$field = from.next_value()?,)*
                    _ => drop(from.next_value::<IgnoredAny>()?),
                }
                Ok(())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_map(Reader(PhantomData))
            }
        }
    };
}

strict! {
    /// What a manifest or an index has at its top.
    Document {
        schema_version: i64 = "schemaVersion",
        media_type: String = "mediaType",
        artifact_type: String = "artifactType",
        config: Descriptor = "config",
        layers: Vec<Descriptor> = "layers",
        manifests: Vec<Descriptor> = "manifests",
        subject: Descriptor = "subject",
    }
    "annotations" "fsLayers" "history" "signatures"
}

strict! {
    /// What names a content.
    Descriptor {
        media_type: String = "mediaType",
        digest: String = "digest",
        size: i64 = "size",
        urls: Vec<String> = "urls",
        platform: Platform = "platform",
    }
    "annotations" "artifactType" "data"
}

strict! {
    /// For which machines a content is: readers choose by it.
    Platform {}
    "architecture" "os" "os.version" "os.features" "variant" "features"
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Strict> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<T, A::Error> {
        let mut read = T::empty();
        while let Some(name) = from.next_key::<String>()? {
            match T::KNOWN.iter().find(|known| is_folded(known, &name)) {
                None => drop(from.next_value::<IgnoredAny>()?),
                Some(known) if **known != name => return Err(A::Error::custom(format!("{known} is misspelt"))),
                Some(known) => read.take(known, &mut from)?,
            }
        }
        Ok(read)
    }
}

/// Whether a name is a known one to Go, which folds letters of any script.
fn is_folded(known: &str, name: &str) -> bool {
    let fold = |letter: char| match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    known.chars().map(fold).eq(name.chars().map(fold))
}

/// # Errors
/// What is wrong with it, in a few words.
pub fn read(bytes: &[u8]) -> Result<Document, String> {
    serde_json::from_slice(bytes).map_err(|error| words(&error))
}

/// What a parser says may quote what it read.
fn words(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => error.to_string().chars().take(200).collect(),
        _ => "Invalid JSON syntax".to_owned(),
    }
}

/// The media types and digests of an image's layers, the lowest first; one may be there more than once.
///
/// # Errors
/// What is wrong with its manifest, in a few words.
pub fn layers(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let layers = read(bytes)?.layers.ok_or_else(|| "layers is missing".to_owned())?;
    let named = |layer: Descriptor| {
        let digest = layer.digest.ok_or_else(|| "digest is missing".to_owned())?;
        Ok((layer.media_type.unwrap_or_default(), digest))
    };
    layers.into_iter().map(named).collect()
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
