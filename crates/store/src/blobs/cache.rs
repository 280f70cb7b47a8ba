//! Small blobs in memory: those that were read lately, up to so many bytes.

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache as Quick;

use super::Address;

/// Beside its bytes an entry takes room.
const OVERHEAD: u64 = 256;

/// A manifest is guessed to have so many bytes.
const TYPICAL: u64 = 2048;

#[derive(Clone)]
struct Weigh;

impl Weighter<Address, Bytes> for Weigh {
    fn weight(&self, _: &Address, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + OVERHEAD
    }
}

pub(super) struct Cache {
    quick: Quick<Address, Bytes, Weigh>,
    /// Bytes of the largest that is kept.
    largest: usize,
}

impl Cache {
    pub fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        let largest = usize::try_from(bytes / 8).unwrap_or(usize::MAX);
        Self { quick: Quick::with_weighter(entries, bytes, Weigh), largest }
    }

    pub fn get(&self, address: &Address) -> Option<Bytes> {
        self.quick.get(address)
    }

    pub fn put(&self, address: &Address, bytes: Bytes) {
        if bytes.len() <= self.largest {
            self.quick.insert(address.clone(), bytes);
        }
    }

    pub fn remove(&self, address: &Address) {
        self.quick.remove(address);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Algorithm, digest_of};
    use super::*;

    #[test]
    fn the_cache_holds_no_more_than_it_may() {
        let cache = Cache::new(64 * 1024);
        let address = |bytes: &[u8]| Address { seal: None, digest: digest_of(Algorithm::Sha256, bytes) };
        for number in 0..1000_u32 {
            let bytes = Bytes::from(number.to_be_bytes().repeat(512));
            cache.put(&address(&bytes), bytes);
        }
        assert!(cache.quick.weight() <= 64 * 1024, "{}", cache.quick.weight());
        assert!(!cache.quick.is_empty());
        let large = Bytes::from(vec![0; 9 * 1024]);
        let name = address(&large);
        cache.put(&name, large);
        assert!(cache.get(&name).is_none());
    }
}
