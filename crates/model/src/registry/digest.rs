//! Digests, as manifests and clients write them.

use std::fmt;

/// A hash that contents are named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Hex digits of a hash.
    pub fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// `sha256:` and 64 lower-case hex digits, or `sha512:` and 128.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    text: String,
}

/// What a text is that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDigest {
    #[error("a digest is an algorithm, a colon and hex digits")]
    Form,
    #[error("the algorithm of a digest is sha256 or sha512")]
    Algorithm,
    #[error("a digest of {} has {} lower-case hex digits", .0.name(), .0.digits())]
    Digits(Algorithm),
}

impl Digest {
    pub fn parse(text: &str) -> Result<Self, BadDigest> {
        let (name, digits) = text.split_once(':').ok_or(BadDigest::Form)?;
        let known = [Algorithm::Sha256, Algorithm::Sha512];
        let algorithm = known.into_iter().find(|known| known.name() == name).ok_or(BadDigest::Algorithm)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match digits.len() == algorithm.digits() && digits.bytes().all(is_digit) {
            true => Ok(Self { algorithm, text: text.to_owned() }),
            false => Err(BadDigest::Digits(algorithm)),
        }
    }

    /// Of a hash that was computed; `None` if it has another length than the algorithm's.
    pub fn of_hash(algorithm: Algorithm, hash: &[u8]) -> Option<Self> {
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::parse(&format!("{}:{digits}", algorithm.name())).ok()
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hex digits.
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.name().len() + 1..]
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_form() {
        for (algorithm, digits) in [("sha256", 64), ("sha512", 128)] {
            let text = format!("{algorithm}:{}", "0f".repeat(digits / 2));
            let digest = Digest::parse(&text).unwrap();
            assert_eq!((digest.as_str(), digest.hex().len()), (text.as_str(), digits));
            let hash = [0x0f].repeat(digits / 2);
            assert_eq!(Digest::of_hash(digest.algorithm(), &hash), Some(digest.clone()));
            assert_eq!(Digest::of_hash(digest.algorithm(), &hash[1..]), None);
        }
        let hex = "a".repeat(64);
        for (text, why) in [
            ("".to_owned(), BadDigest::Form),
            (hex.clone(), BadDigest::Form),
            (format!("md5:{}", &hex[32..]), BadDigest::Algorithm),
            (format!("SHA256:{hex}"), BadDigest::Algorithm),
            (format!("sha256+b64:{hex}"), BadDigest::Algorithm),
            (format!("sha256:{}", hex.to_uppercase()), BadDigest::Digits(Algorithm::Sha256)),
            (format!("sha256:{}", &hex[1..]), BadDigest::Digits(Algorithm::Sha256)),
            (format!("sha256:{hex}a"), BadDigest::Digits(Algorithm::Sha256)),
            (format!("sha512:{hex}"), BadDigest::Digits(Algorithm::Sha512)),
            (format!("sha256:../../{}", &hex[6..]), BadDigest::Digits(Algorithm::Sha256)),
            ("sha256:".to_owned(), BadDigest::Digits(Algorithm::Sha256)),
        ] {
            assert_eq!(Digest::parse(&text), Err(why), "{text}");
        }
    }
}
