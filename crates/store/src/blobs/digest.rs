//! Digests of bytes that come.

use aws_lc_rs::digest;
use longshore_model::registry::{Algorithm, Digest};

/// The digest of bytes that are there.
pub fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut running = Running::new(algorithm);
    running.update(bytes);
    running.digest()
}

/// A digest of bytes that still come.
#[derive(Clone)]
pub(super) struct Running {
    algorithm: Algorithm,
    context: digest::Context,
}

impl Running {
    pub fn new(algorithm: Algorithm) -> Self {
        let known = match algorithm {
            Algorithm::Sha256 => &digest::SHA256,
            Algorithm::Sha512 => &digest::SHA512,
        };
        Self { algorithm, context: digest::Context::new(known) }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub fn digest(self) -> Digest {
        let hash = self.context.finish();
        Digest::of_hash(self.algorithm, hash.as_ref()).expect("a hash has its algorithm's length")
    }
}
