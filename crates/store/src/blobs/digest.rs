//! The name of content: an algorithm and what it makes of the bytes, in lower-case hexadecimal digits.

use std::fmt;

use aws_lc_rs::digest;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub const ALL: [Algorithm; 2] = [Self::Sha256, Self::Sha512];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Hexadecimal digits of its digests.
    pub fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// Why a text names no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a digest is ALGORITHM:DIGITS")]
    Form,
    #[error("digests are sha256 or sha512")]
    Algorithm,
    #[error("a digest of this algorithm has another length")]
    Length,
    #[error("a digest has lower-case hexadecimal digits only")]
    Digits,
}

/// `sha256:` and 64 digits, or `sha512:` and 128.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

impl Digest {
    /// # Errors
    /// If the text is anything else, however close.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (algorithm, hex) = text.split_once(':').ok_or(Malformed::Form)?;
        Self::of_parts(Algorithm::parse(algorithm).ok_or(Malformed::Algorithm)?, hex)
    }

    pub(super) fn of_parts(algorithm: Algorithm, hex: &str) -> Result<Self, Malformed> {
        if hex.len() != algorithm.digits() {
            return Err(Malformed::Length);
        }
        if !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Malformed::Digits);
        }
        Ok(Self { algorithm, hex: hex.into() })
    }

    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut running = Running::new(algorithm);
        running.update(bytes);
        running.digest()
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
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
        let value = self.context.finish();
        let hex: String = value.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Digest { algorithm: self.algorithm, hex: hex.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: Malformed) {
        assert_eq!(Digest::parse(text), Err(wanted), "{text}");
    }

    #[test]
    fn a_digest_is_what_the_algorithm_makes_and_nothing_near_it() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), format!("sha256:{hex}"));
        assert_eq!(Digest::parse(&format!("sha256:{hex}")).unwrap().hex(), hex);
        let long = Digest::of(Algorithm::Sha512, b"abc");
        assert_eq!(Digest::parse(&long.to_string()), Ok(long));
        check(hex, Malformed::Form);
        check("", Malformed::Form);
        check(&format!("md5:{hex}"), Malformed::Algorithm);
        check(&format!("SHA256:{hex}"), Malformed::Algorithm);
        check(&format!("sha256+b64:{hex}"), Malformed::Algorithm);
        check(&format!("sha512:{hex}"), Malformed::Length);
        check(&format!("sha256:{}", &hex[1..]), Malformed::Length);
        check(&format!("sha256:{hex}0"), Malformed::Length);
        check(&format!("sha256:{hex} "), Malformed::Length);
        check(&format!("sha256:{}", hex.to_uppercase()), Malformed::Digits);
        check(&format!("sha256:../../{}", &hex[6..]), Malformed::Digits);
        check(&format!("sha256:{}é", &hex[2..]), Malformed::Digits);
        check(&format!("sha256::{}", &hex[1..]), Malformed::Digits);
    }
}
