//! The keys that secrets become for a day, a region and a service: each is made once, not for each request.

use std::collections::HashMap;
use std::sync::Arc;

use http::request::Parts;
use longshore_wire::sigv4::{Signature, SigningKey};
use parking_lot::Mutex;

/// Keys that are kept; then all are made again.
const MOST: usize = 4096;

/// The keys of who signed lately, by [fingerprint](longshore_wire::sigv4::Signer::fingerprint).
#[derive(Default)]
pub(crate) struct Keys(Mutex<HashMap<[u8; 32], Arc<SigningKey>>>);

impl Keys {
    /// As [`Signature::is_by`]. Only the key of a good signature is kept, and a bad one takes the time of making a key
    /// whether there is one or not: nobody can tell who signed lately.
    pub fn is_by(&self, signature: &Signature, secret: &str, head: &Parts, body: &[u8]) -> bool {
        let signer = signature.signer(secret);
        let name = signer.fingerprint();
        let known = self.0.lock().get(&name).cloned();
        let is_known = known.is_some();
        let key = known.unwrap_or_else(|| Arc::new(signer.key()));
        let signed = signature.is_of(&key, head, body);
        match (signed, is_known) {
            (true, false) => self.keep(name, key),
            (false, true) => drop(std::hint::black_box(signer.key())),
            _ => {}
        }
        signed
    }

    fn keep(&self, name: [u8; 32], key: Arc<SigningKey>) {
        let mut keys = self.0.lock();
        if keys.len() >= MOST {
            keys.clear();
        }
        keys.insert(name, key);
    }
}
