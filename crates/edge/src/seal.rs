//! Text that clients keep and cannot read, change or make: what is in cookies of stickiness.
//!
//! AES-256-GCM-SIV with a random nonce, which bears a cookie in each of very many answers. What it is sealed for is
//! authenticated with it: a cookie that was made for one thing says nothing for another.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_link::edge::CookieKey;

/// Characters of sealed text that are looked at.
const MOST: usize = 4096;

pub struct Seal {
    of: Option<CookieKey>,
    /// `None` if there is none to be had: then nothing is sealed, and nothing opens.
    key: Option<RandomizedNonceKey>,
}

impl Seal {
    /// By the key that all edges have, or else by one of its own.
    pub fn new(of: Option<CookieKey>) -> Self {
        let key = match &of {
            Some(CookieKey(text)) => Some(digest(&SHA256, text.as_bytes()).as_ref().to_vec()),
            None => {
                let mut own = vec![0; 32];
                rand::fill(&mut own).ok().map(|()| own)
            }
        };
        let key = key.and_then(|key| RandomizedNonceKey::new(&AES_256_GCM_SIV, &key).ok());
        Self { of, key }
    }

    /// Whether it is made of this.
    pub fn is_of(&self, of: &Option<CookieKey>) -> bool {
        self.of == *of
    }

    /// The text for a cookie; `use_` is what it is for.
    pub fn close(&self, use_: &str, text: &[u8]) -> Option<String> {
        let mut sealed = text.to_vec();
        let nonce = self.key.as_ref()?.seal_in_place_append_tag(Aad::from(use_), &mut sealed).ok()?;
        Some(STANDARD.encode([nonce.as_ref().as_slice(), &sealed].concat()))
    }

    /// What was sealed; `None` if it was not sealed by this key, or for something else, or is no sealed text at all.
    pub fn open(&self, use_: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(sealed.get(..sealed.len().min(MOST))?).ok()?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let text = self.key.as_ref()?.open_in_place(nonce, Aad::from(use_), &mut rest).ok()?;
        Some(text.to_vec())
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_for_this_by_this_key_opens() {
        let key = |text: &str| Some(CookieKey(text.to_owned()));
        let (one, same, other) = (Seal::new(key("a")), Seal::new(key("a")), Seal::new(key("b")));
        let sealed = one.close("x", b"text").expect("sealed");
        assert_ne!(sealed, one.close("x", b"text").expect("sealed"));
        assert_eq!(same.open("x", sealed.as_bytes()).as_deref(), Some(&b"text"[..]));
        assert_eq!((same.open("y", sealed.as_bytes()), other.open("x", sealed.as_bytes())), (None, None));
        let own = Seal::new(None);
        assert_eq!(own.open("x", sealed.as_bytes()), None);
        let sealed = own.close("x", b"").expect("sealed");
        assert_eq!(own.open("x", sealed.as_bytes()), Some(Vec::new()));
        assert!(one.is_of(&key("a")) && !one.is_of(&key("b")) && !one.is_of(&None));
    }

    #[test]
    fn anything_else_opens_as_nothing() {
        let seal = Seal::new(None);
        let sealed = seal.close("x", b"text").expect("sealed");
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open("x", &bytes), None, "{at}");
            assert_eq!(seal.open("x", &sealed.as_bytes()[..at]), None, "{at}");
        }
        for junk in [&b"_remove_"[..], b"AAAA", b"\xff", &[b'A'; 5000]] {
            assert_eq!(seal.open("x", junk), None);
        }
    }
}
