//! TLS of listeners: which certificate a client is shown, and which versions are spoken.
//!
//! A client that names a server is shown the first certificate that is good for the name; without a name, or if none is,
//! the listener's default one, which is the first. Versions below 1.2 are never spoken, whatever the policy's name promises.

use std::sync::Arc;

use longshore_link::edge::{Attributes, Certificate, Listener, ListenerProtocol};
use tokio_rustls::rustls;

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

/// The policy of a listener for which none is named, as the API has it.
pub const DEFAULT_POLICY: &str = "ELBSecurityPolicy-2016-08";

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it has no certificate")]
    None,
    #[error("a certificate does not read: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    #[error("a private key does not read: {0}")]
    Key(rustls::pki_types::pem::Error),
    #[error("a certificate and its key are not of use: {0}")]
    Unusable(rustls::Error),
}

/// What a listener agrees to.
#[derive(Clone, Debug)]
pub struct Terms {
    certificates: Vec<Certificate>,
    policy: String,
    protocols: Vec<Vec<u8>>,
    pub config: Arc<ServerConfig>,
}

impl Terms {
    /// `protocols` are those offered by ALPN, the preferred one first.
    ///
    /// # Errors
    /// [`Error`] if there is no certificate, or one of them is of no use.
    pub fn new(certificates: Vec<Certificate>, policy: &str, protocols: Vec<Vec<u8>>) -> Result<Self, Error> {
        let provider = CryptoProvider { kx_groups: groups(policy), ..aws_lc_rs::default_provider() };
        let provider = Arc::new(provider);
        let keys: Vec<_> = certificates.iter().map(|own| key(own, &provider)).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(Error::None);
        }
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions(policy));
        let builder = builder.map_err(Error::Unusable)?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::new(Names(keys)));
        config.alpn_protocols.clone_from(&protocols);
        Ok(Self { certificates, policy: policy.to_owned(), protocols, config: Arc::new(config) })
    }

    /// Whether they are made of these.
    pub fn are(&self, certificates: &[Certificate], policy: &str, protocols: &[Vec<u8>]) -> bool {
        self.certificates == certificates && self.policy == policy && self.protocols == protocols
    }
}

/// What a listener offers by ALPN: of HTTPS what its balancer speaks, of TLS what its policy says.
pub fn protocols(listener: &Listener, attributes: &Attributes) -> Vec<Vec<u8>> {
    let (old, new) = (b"http/1.1".to_vec(), b"h2".to_vec());
    match (listener.protocol, listener.alpn_policy.as_deref()) {
        (ListenerProtocol::Https, _) if attributes.http2 => vec![new, old],
        (ListenerProtocol::Https, _) | (_, Some("HTTP1Only")) => vec![old],
        (_, Some("HTTP2Only")) => vec![new],
        (_, Some("HTTP2Optional")) => vec![old, new],
        (_, Some("HTTP2Preferred")) => vec![new, old],
        _ => Vec::new(),
    }
}

/// The versions of a policy, by its name: `…TLS13-1-3…` is 1.3 alone, `…TLS13…` both, any other 1.2 alone.
fn versions(policy: &str) -> &'static [&'static SupportedProtocolVersion] {
    static OLD: [&SupportedProtocolVersion; 1] = [&version::TLS12];
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match policy {
        policy if policy.contains("TLS13-1-3") => &BOTH[..1],
        policy if policy.contains("TLS13") => &BOTH,
        _ => &OLD,
    }
}

/// The key exchanges of a policy, the preferred one first: those with `PQ` in their names have the hybrids with ML-KEM too, of
/// which SecP384r1MLKEM1024, AWS's third, is not there.
fn groups(policy: &str) -> Vec<&'static dyn SupportedKxGroup> {
    let hybrids = [kx_group::X25519MLKEM768, kx_group::SECP256R1MLKEM768];
    let classic = [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    let hybrids = hybrids.into_iter().filter(|_| policy.contains("-PQ-"));
    hybrids.chain(classic).collect()
}

fn key(own: &Certificate, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let chain = CertificateDer::pem_slice_iter(own.chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(Error::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(own.private_key.as_bytes()).map_err(Error::Key)?;
    CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(Error::Unusable)
}

/// Certificates, the default one first.
#[derive(Debug)]
struct Names(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| self.0.iter().find(|key| is_for(key, &name)));
        named.or(self.0.first()).cloned()
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = key.cert.first().and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
    parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: &str) -> Certificate {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        Certificate { chain: made.cert.pem(), private_key: made.signing_key.serialize_pem() }
    }

    #[test]
    fn a_listener_needs_certificates_that_read_and_their_keys() {
        let (one, other) = (certificate("a"), certificate("b"));
        let mixed = Certificate { chain: one.chain.clone(), private_key: other.private_key };
        let cases = [
            (vec![], "it has no certificate"),
            (vec![Certificate { chain: String::new(), ..one.clone() }], "a certificate and its key are not of use: "),
            (vec![Certificate { private_key: "x".into(), ..one.clone() }], "a private key does not read: "),
            (vec![one.clone(), mixed], "a certificate and its key are not of use: "),
        ];
        for (certificates, expected) in cases {
            let error = Terms::new(certificates, DEFAULT_POLICY, Vec::new()).expect_err(expected).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let terms = Terms::new(vec![one.clone()], DEFAULT_POLICY, Vec::new()).expect("terms");
        assert!(terms.are(std::slice::from_ref(&one), DEFAULT_POLICY, &[]));
        assert!(
            !terms.are(std::slice::from_ref(&one), "other", &[]) && !terms.are(&[one], DEFAULT_POLICY, &[Vec::new()])
        );
    }

    #[test]
    fn a_policys_name_tells_its_versions() {
        for (policy, expected) in [
            ("ELBSecurityPolicy-2016-08", 1),
            ("ELBSecurityPolicy-TLS-1-2-2017-01", 1),
            ("ELBSecurityPolicy-TLS13-1-2-2021-06", 2),
            ("ELBSecurityPolicy-TLS13-1-3-2021-06", 1),
            ("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", 1),
            ("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", 2),
        ] {
            assert_eq!(versions(policy).len(), expected, "{policy}");
        }
        assert_eq!(versions("ELBSecurityPolicy-TLS13-1-3-2021-06"), [&version::TLS13]);
    }

    #[test]
    fn only_policies_that_say_so_exchange_keys_with_ml_kem() {
        let names = |policy: &str| groups(policy).iter().map(|group| format!("{:?}", group.name())).collect::<Vec<_>>();
        let classic = ["X25519", "secp256r1", "secp384r1"];
        assert_eq!(names("ELBSecurityPolicy-TLS13-1-2-Res-2021-06"), classic);
        let hybrid = names("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09");
        assert_eq!(
            (&hybrid[..2], &hybrid[2..]),
            (&["X25519MLKEM768", "secp256r1MLKEM768"].map(str::to_owned)[..], &classic.map(str::to_owned)[..])
        );
    }
}
