//! Where bytes lie: by their digest, among those of the whole installation or among those of one data key.

use std::fmt;
use std::sync::Arc;

use longshore_model::registry::is_sealed;

use super::{ALGORITHMS, Algorithm, Digest};

/// What names a data key: the id of the repository that it is of. It is part of paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealId(Arc<str>);

impl SealId {
    /// `None` for the id of a repository whose bytes lie as they came, and for what is no id.
    pub fn parse(text: &str) -> Option<Self> {
        let is_word = !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_word && is_sealed(text)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SealId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// Which bytes are meant. As a text it is what the index of the records calls them
/// ([`longshore_model::registry::bytes_key`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Of which data key; none for bytes that lie as they came.
    pub seal: Option<SealId>,
    pub digest: Digest,
}

impl Address {
    /// Of an image or a layer, by the key of its record.
    pub fn of_content(key: &str) -> Option<Self> {
        let (repository, digest) = key.split_once('@')?;
        Some(Self { seal: SealId::parse(repository), digest: Digest::parse(digest).ok()? })
    }

    /// What lies at a path below the root, if anything of ours does.
    pub(super) fn at(path: &str) -> Option<Self> {
        let names: Vec<&str> = path.split('/').collect();
        let (seal, algorithm, hex) = match names[..] {
            [PLAIN, algorithm, _, hex] => (None, algorithm, hex),
            [SEALED, seal, algorithm, _, hex] => (Some(SealId::parse(seal)?), algorithm, hex),
            _ => return None,
        };
        let address = Self { seal, digest: Digest::parse(&format!("{algorithm}:{hex}")).ok()? };
        (format!("{}/{hex}", address.shelf()) == path).then_some(address)
    }

    /// The shelf that it lies on, below the root.
    pub(super) fn shelf(&self) -> String {
        shelf(self.seal.as_ref(), self.digest.algorithm(), &self.digest.hex()[..2])
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.seal {
            Some(seal) => write!(to, "{seal}@{}", self.digest),
            None => self.digest.fmt(to),
        }
    }
}

/// `blobs/ALGORITHM/aa` or `sealed/ID/ALGORITHM/aa`.
fn shelf(seal: Option<&SealId>, algorithm: Algorithm, part: &str) -> String {
    format!("{}/{}/{part}", room(seal), algorithm.name())
}

fn room(seal: Option<&SealId>) -> String {
    seal.map_or_else(|| PLAIN.to_owned(), |seal| format!("{SEALED}/{seal}"))
}

/// The room of what lies as it came.
pub(super) const PLAIN: &str = "blobs";

/// Below it, a room for each data key.
pub(super) const SEALED: &str = "sealed";

/// What is looked through at one time: the bytes of an algorithm whose digests begin with the same two digits, or all of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf(String);

impl Shelf {
    /// All that there may be of a data key, or of what lies as it came.
    pub(super) fn each(seal: Option<&SealId>) -> Vec<Self> {
        let of = |algorithm| (0..=u8::MAX).map(move |part| Self(shelf(seal, algorithm, &format!("{part:02x}"))));
        ALGORITHMS.into_iter().flat_map(of).collect()
    }

    /// The same at once.
    pub(super) fn whole(seal: Option<&SealId>) -> Self {
        Self(room(seal))
    }

    /// Below the root.
    pub(super) fn path(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_the_index_calls_it() {
        let hex = "0f".repeat(32);
        for (key, text, shelf) in [
            (format!("0123@sha256:{hex}"), format!("sha256:{hex}"), "blobs/sha256/0f"),
            (format!("k0123@sha256:{hex}"), format!("k0123@sha256:{hex}"), "sealed/k0123/sha256/0f"),
        ] {
            let address = Address::of_content(&key).unwrap();
            assert_eq!((address.to_string(), address.shelf()), (text.clone(), shelf.to_owned()));
            assert_eq!(Address::at(&format!("{shelf}/{hex}")), Some(address));
            let (repository, digest) = key.split_once('@').unwrap();
            assert_eq!(longshore_model::registry::bytes_key(repository, digest), text);
        }
        assert_eq!(Address::of_content("k0123@sha256:0f"), None);
        for room in ["blobs", "sealed/k0123", "sealed/0123", "sealed", "other"] {
            for path in
                ["", "/sha256/0f/0f", &format!("/sha256/0e/{hex}"), &format!("/sha256/0f/{hex}/x"), &format!("/{hex}")]
            {
                assert_eq!(Address::at(&format!("{room}{path}")), None, "{room}{path}");
            }
        }
        for text in ["", "k/..", "k.", "0123", &"k0".repeat(40)] {
            assert_eq!(SealId::parse(text), None, "{text}");
        }
    }
}
