//! Private keys. They have no `Debug`, and no error says anything of them.

use longshore_api::acm::KeyAlgorithm;
use longshore_wire::Fault;
use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::{fault, pem};

/// A private key, and how it is kept.
pub struct Key {
    pair: KeyPair,
    pem: String,
}

/// What the private key of a certificate is sealed about.
pub fn about(account: &str, certificate: &str) -> String {
    format!("acm/{account}/{certificate}")
}

impl Key {
    /// A key in PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted. RSA of 2048 bits and more, ECDSA on P-256, P-384 and P-521.
    ///
    /// # Errors
    /// `ValidationException`
    pub fn read(text: &[u8]) -> Result<Self, Fault> {
        let refused = || fault::validation("The private key is not supported.");
        let unread = || fault::validation("Private key must be in PEM format and must not be encrypted.");
        let der = PrivateKeyDer::from_pem_slice(text).map_err(|_| unread())?;
        let label = match &der {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let pair = KeyPair::try_from(&der).map_err(|_| refused())?;
        match pair.algorithm() == &rcgen::PKCS_ED25519 {
            true => Err(refused()),
            false => Ok(Self { pem: pem::block(label, der.secret_der()), pair }),
        }
    }

    /// A new key.
    ///
    /// # Errors
    /// `ValidationException` for an algorithm that AWS does not issue certificates for either; `InternalFailure` if there is
    /// no randomness.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, Fault> {
        let made = match algorithm {
            KeyAlgorithm::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyAlgorithm::EcPrime256v1 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyAlgorithm::EcSecp384r1 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            other => {
                let message = format!("The key algorithm {other} is not supported for certificates that are requested");
                return Err(fault::validation(message));
            }
        };
        let pair = made.map_err(|_| Fault::internal())?;
        Ok(Self { pem: pair.serialize_pem(), pair })
    }

    /// As [`Key::read`], of a key that was kept.
    pub fn kept(text: &str) -> Option<Self> {
        Self::read(text.as_bytes()).ok()
    }

    /// PEM.
    pub fn secret(&self) -> &str {
        &self.pem
    }

    pub fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// Whether this is the private half of a public key, as a certificate has it.
    pub fn fits(&self, public: &[u8]) -> bool {
        self.pair.der_bytes() == public
    }
}
