//! Ciphertexts: what they look like, and how they are made and opened.
//!
//! ```text
//!     1 byte    form: 1
//!    16 bytes   the key's id
//!     4 bytes   number of the key material
//!    16 bytes   salt: the message's key is HMAC-SHA-256 of it under the material
//!    12 bytes   nonce
//!     …         AES-256-GCM: text, 16 bytes tag
//! ```
//! Everything before the text, the account and the encryption context are authenticated with it. A key for each message
//! takes away the limit on how many messages one key may encrypt under random nonces.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use longshore_wire::Fault;

use crate::vault::random;

/// Names and values that a ciphertext is bound to. They are no secrets.
pub type EncryptionContext = BTreeMap<String, String>;

const FORM: u8 = 1;
const ID: usize = 16;
const SALT: usize = 16;
const HEAD: usize = 1 + ID + 4 + SALT;

/// A ciphertext, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Blob<'a> {
    /// 16 bytes.
    id: &'a [u8],
    /// Of the key material.
    pub number: i32,
    head: &'a [u8],
    nonce: &'a [u8],
    text: &'a [u8],
}

impl<'a> Blob<'a> {
    /// `None` for what is no ciphertext of ours.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        let (form, rest) = head.split_first()?;
        let (id, rest) = rest.split_at_checked(ID)?;
        let number = i32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
        (*form == FORM && text.len() >= AES_256_GCM.tag_len()).then_some(Self { id, number, head, nonce, text })
    }

    /// The id of the key, as it is written.
    pub fn key(&self) -> String {
        let hex: String = self.id.iter().map(|byte| format!("{byte:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// What was encrypted; `None` if it is not this material's, or not of this account and context.
    pub(super) fn open(&self, material: &[u8], account: &str, context: &EncryptionContext) -> Option<Vec<u8>> {
        let key = message_key(material, self.head)?;
        let nonce = Nonce::try_assume_unique_for_key(self.nonce).ok()?;
        let mut text = self.text.to_vec();
        let length = key.open_in_place(nonce, Aad::from(bound(self.head, account, context)), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// A ciphertext of `plain`.
///
/// # Errors
/// `InternalFailure` if there is no randomness.
pub(super) fn seal(
    key: &str,
    (number, material): (i32, &[u8]),
    account: &str,
    context: &EncryptionContext,
    plain: &[u8],
) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(HEAD + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    bytes.push(FORM);
    bytes.extend_from_slice(&id_bytes(key).ok_or_else(Fault::internal)?);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&random::<SALT>()?);
    let nonce_bytes = random::<NONCE_LEN>()?;
    let cipher = message_key(material, &bytes).ok_or_else(Fault::internal)?;
    let aad = Aad::from(bound(&bytes, account, context));
    let nonce = Nonce::assume_unique_for_key(nonce_bytes);
    let mut text = plain.to_vec();
    cipher.seal_in_place_append_tag(nonce, aad, &mut text).map_err(|_| Fault::internal())?;
    bytes.extend_from_slice(&nonce_bytes);
    bytes.extend_from_slice(&text);
    Ok(bytes)
}

fn id_bytes(key: &str) -> Option<[u8; ID]> {
    let hex: Vec<u8> = key.bytes().filter(|byte| *byte != b'-').collect();
    let pairs: Option<Vec<u8>> =
        hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    pairs?.try_into().ok()
}

fn message_key(material: &[u8], head: &[u8]) -> Option<LessSafeKey> {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, material), head);
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?))
}

/// What is authenticated beside the text; each part with its length, so that no two mean the same.
fn bound(head: &[u8], account: &str, context: &EncryptionContext) -> Vec<u8> {
    let mut bytes = head.to_vec();
    let pairs = context.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    for part in std::iter::once(account).chain(pairs) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "01234567-89ab-4cde-8f01-23456789abcd";
    const MATERIAL: [u8; 32] = [3; 32];

    fn context(value: &str) -> EncryptionContext {
        EncryptionContext::from([("app".to_owned(), value.to_owned())])
    }

    #[test]
    fn a_ciphertext_opens_with_its_own_material_account_and_context_alone() {
        let sealed = seal(KEY, (7, &MATERIAL), "111111111111", &context("web"), b"secret").unwrap();
        let blob = Blob::parse(&sealed).unwrap();
        assert_eq!((blob.key().as_str(), blob.number), (KEY, 7));
        let open = |material: &[u8], account, context: &EncryptionContext| blob.open(material, account, context);
        assert_eq!(open(&MATERIAL, "111111111111", &context("web")).as_deref(), Some(&b"secret"[..]));
        assert_eq!(open(&[4; 32], "111111111111", &context("web")), None);
        assert_eq!(open(&MATERIAL, "111111111112", &context("web")), None);
        assert_eq!(open(&MATERIAL, "111111111111", &context("web2")), None);
        assert_eq!(open(&MATERIAL, "111111111111", &EncryptionContext::new()), None);
        assert_ne!(seal(KEY, (7, &MATERIAL), "111111111111", &context("web"), b"secret").unwrap(), sealed);
    }

    #[test]
    fn a_cut_or_changed_ciphertext_does_not_open() {
        let sealed = seal(KEY, (1, &MATERIAL), "1", &context("web"), b"secret").unwrap();
        let open = |bytes: &[u8]| Blob::parse(bytes)?.open(&MATERIAL, "1", &context("web"));
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(open(&forged), None, "changed at {at}");
            assert_eq!(open(&sealed[..at]), None, "cut at {at}");
        }
        assert!(open(&sealed).is_some());
    }

    #[test]
    fn parts_of_a_context_do_not_run_together() {
        let one = EncryptionContext::from([("a".to_owned(), "bc".to_owned())]);
        let two = EncryptionContext::from([("ab".to_owned(), "c".to_owned())]);
        assert_ne!(bound(b"", "1", &one), bound(b"", "1", &two));
    }
}
