//! What keeps secrets secret: sealing under the master key, and secrets that nobody can guess.
//!
//! ```text
//!    16 bytes   salt: the message's key is HMAC-SHA-256 of it and of the name, under the master key
//!    12 bytes   nonce
//!     …         AES-256-GCM: text, 16 bytes tag
//! ```
//! What is sealed is bound to a name (an access key's id, the word for session tokens): under another it does not open. With
//! a key of its own for each message, none is worn out by how much was sealed, and no purpose bears on another. The master
//! key comes from a file, a credential of systemd or the environment, and is never shown.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD as BASE64};
use longshore_wire::Fault;

/// Bytes.
const SALT: usize = 16;

/// Seals and opens under the master key. Clones share it.
#[derive(Clone)]
pub struct Vault {
    master: Arc<hmac::Key>,
    decoy: Arc<str>,
}

/// What the decoy is about, and nothing else.
const DECOY: &str = "nobody's secret";

impl fmt::Debug for Vault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Vault")
    }
}

impl Vault {
    pub fn new(master: &[u8; 32]) -> Self {
        let mut vault = Self { master: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, master)), decoy: Arc::default() };
        vault.decoy = vault.seal(DECOY, &[b'0'; 40]).unwrap_or_default().into();
        vault
    }

    /// Opens a secret key that nobody has: what an unknown access key id costs as much by as a known one.
    pub fn open_decoy(&self) -> Option<String> {
        self.open_text(DECOY, &self.decoy)
    }

    /// The sealed form, in base64. `about` must be the same when it is opened.
    ///
    /// # Errors
    /// `InternalFailure` if there is no randomness.
    pub fn seal(&self, about: &str, plain: &[u8]) -> Result<String, Fault> {
        let (salt, nonce) = (random::<SALT>()?, random::<NONCE_LEN>()?);
        let key = self.key(&salt, about).ok_or_else(Fault::internal)?;
        let mut text = plain.to_vec();
        let sealed = key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut text);
        sealed.map_err(|_| Fault::internal())?;
        Ok(BASE64.encode([&salt[..], &nonce, &text].concat()))
    }

    /// What was sealed; `None` for anything else.
    pub fn open(&self, about: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(sealed).ok()?;
        let (salt, rest) = bytes.split_at_checked(SALT)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let length = self.key(salt, about)?.open_in_place(nonce, Aad::from(about), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// What one message is sealed with.
    fn key(&self, salt: &[u8], about: &str) -> Option<LessSafeKey> {
        let mut context = hmac::Context::with_key(&self.master);
        context.update(salt);
        context.update(about.as_bytes());
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).ok()?))
    }

    /// A secret of its own for a purpose, the same as long as the master key is: 32 bytes in hexadecimal digits.
    pub fn derived(&self, about: &str) -> String {
        let tag = hmac::sign(&self.master, format!("a secret derived for: {about}").as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As [`Vault::open`], of a text.
    pub fn open_text(&self, about: &str, sealed: &str) -> Option<String> {
        String::from_utf8(self.open(about, sealed)?).ok()
    }
}

/// The master key in what somebody gives: 32 bytes as they are, in hexadecimal or in base64, white space around these aside.
pub fn master_key(given: &[u8]) -> Option<[u8; 32]> {
    if let Ok(plain) = given.try_into() {
        return Some(plain);
    }
    let text = std::str::from_utf8(given).ok()?.trim();
    let bytes = match text.len() {
        64 => hexadecimal(text)?,
        _ => STANDARD.decode(text).or_else(|_| BASE64.decode(text)).ok()?,
    };
    bytes.try_into().ok()
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    text.as_bytes().chunks(2).map(|pair| u8::try_from(digit(&pair[0])? * 16 + digit(pair.get(1)?)?).ok()).collect()
}

/// Bytes that nobody can guess.
///
/// # Errors
/// `InternalFailure` if the kernel gives none.
pub fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Fault::internal())?;
    Ok(bytes)
}

/// An access key id: `AKIA` or `ASIA` and sixteen letters and digits.
///
/// # Errors
/// As [`random`].
pub fn access_key_id(prefix: &str) -> Result<String, Fault> {
    let letters = random::<16>()?.map(|byte| char::from(ID_LETTERS[usize::from(byte % 32)]));
    Ok(letters.iter().fold(prefix.to_owned(), |id, letter| id + letter.encode_utf8(&mut [0; 4])))
}

/// A secret access key: forty characters of six random bits.
///
/// # Errors
/// As [`random`].
pub fn secret_key() -> Result<String, Fault> {
    Ok(random::<40>()?.iter().map(|byte| char::from(SECRET_LETTERS[usize::from(byte % 64)])).collect())
}

const ID_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_own_name_and_key_alone() {
        let vault = Vault::new(&[1; 32]);
        let sealed = vault.seal("AKIAEXAMPLE", b"secret").unwrap();
        assert_eq!(vault.open("AKIAEXAMPLE", &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(vault.open("AKIAEXAMPLF", &sealed), None);
        assert_eq!(Vault::new(&[2; 32]).open("AKIAEXAMPLE", &sealed), None);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(vault.open("AKIAEXAMPLE", std::str::from_utf8(&forged).unwrap()), None, "{at}");
        }
        for short in ["", "AAAA", &sealed[..20], &sealed[..40]] {
            assert_eq!(vault.open("AKIAEXAMPLE", short), None);
        }
        assert_ne!(vault.seal("AKIAEXAMPLE", b"secret").unwrap(), sealed);
    }

    #[test]
    fn the_decoy_is_as_long_as_a_secret_key_and_opens_nothing_else() {
        let vault = Vault::new(&[1; 32]);
        assert_eq!(vault.open_decoy().map(|secret| secret.len()), secret_key().ok().map(|secret| secret.len()));
        let sealed = vault.seal("AKIAEXAMPLE", secret_key().unwrap().as_bytes()).unwrap();
        assert_eq!((vault.decoy.len(), vault.open("AKIAEXAMPLE", &vault.decoy)), (sealed.len(), None));
    }

    #[test]
    fn keys_have_the_lengths_of_awss() {
        assert_eq!((access_key_id("ASIA").unwrap().len(), secret_key().unwrap().len()), (20, 40));
        assert_ne!(secret_key().unwrap(), secret_key().unwrap());
    }

    #[test]
    fn a_derived_secret_is_the_same_for_one_purpose_and_key() {
        let vault = Vault::new(&[1; 32]);
        assert_eq!(vault.derived("cookies"), Vault::new(&[1; 32]).derived("cookies"));
        assert_eq!(vault.derived("cookies").len(), 64);
        assert_ne!(vault.derived("cookies"), vault.derived("other"));
        assert_ne!(vault.derived("cookies"), Vault::new(&[2; 32]).derived("cookies"));
    }
}
