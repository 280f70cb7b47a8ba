//! Small blobs in memory: those that were read lately, up to so many bytes.

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache as Quick;

use super::Digest;

/// Beside its bytes an entry takes room.
const OVERHEAD: u64 = 256;

/// A manifest is guessed to have so many bytes.
const TYPICAL: u64 = 2048;

#[derive(Clone)]
struct Weigh;

impl Weighter<Digest, Bytes> for Weigh {
    fn weight(&self, _: &Digest, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + OVERHEAD
    }
}

pub(super) struct Cache {
    quick: Quick<Digest, Bytes, Weigh>,
    /// Bytes of the largest that is kept.
    largest: usize,
}

impl Cache {
    pub fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        let largest = usize::try_from(bytes / 8).unwrap_or(usize::MAX);
        Self { quick: Quick::with_weighter(entries, bytes, Weigh), largest }
    }

    pub fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.quick.get(digest)
    }

    pub fn put(&self, digest: &Digest, bytes: Bytes) {
        if bytes.len() <= self.largest {
            self.quick.insert(digest.clone(), bytes);
        }
    }

    pub fn remove(&self, digest: &Digest) {
        self.quick.remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Algorithm, digest_of};
    use super::*;

    #[test]
    fn the_cache_holds_no_more_than_it_may() {
        let cache = Cache::new(64 * 1024);
        for number in 0..1000_u32 {
            let bytes = Bytes::from(number.to_be_bytes().repeat(512));
            cache.put(&digest_of(Algorithm::Sha256, &bytes), bytes);
        }
        assert!(cache.quick.weight() <= 64 * 1024, "{}", cache.quick.weight());
        assert!(!cache.quick.is_empty());
        let large = Bytes::from(vec![0; 9 * 1024]);
        let name = digest_of(Algorithm::Sha256, &large);
        cache.put(&name, large);
        assert!(cache.get(&name).is_none());
    }
}
