//! TLS to targets. As AWS has it, any certificate will do: it keeps listeners out, and says nothing of who the target is.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::{TlsConnector, rustls};

/// For a target's handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

const H2: &[u8] = b"h2";

/// Speaks TLS 1.2 or 1.3 with a target, without naming a server. With `h2` the target has to agree to HTTP/2.
///
/// # Errors
/// Those of the handshake, also that it takes longer than ten seconds.
pub async fn connect<S>(stream: S, target: IpAddr, h2: bool) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connector = TlsConnector::from(config(h2)?);
    let handshake = connector.connect(ServerName::IpAddress(target.into()), stream);
    let stream = tokio::time::timeout(HANDSHAKE, handshake).await??;
    if h2 && stream.get_ref().1.alpn_protocol() != Some(H2) {
        return Err(io::Error::other("the target does not speak HTTP/2"));
    }
    Ok(stream)
}

fn config(h2: bool) -> io::Result<Arc<ClientConfig>> {
    static CONFIGS: [OnceLock<Arc<ClientConfig>>; 2] = [OnceLock::new(), OnceLock::new()];
    let known = &CONFIGS[usize::from(h2)];
    if let Some(config) = known.get() {
        return Ok(config.clone());
    }
    let made = make(h2).map_err(io::Error::other)?;
    Ok(known.get_or_init(|| Arc::new(made)).clone())
}

fn make(h2: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::DEFAULT_VERSIONS)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(schemes)));
    let mut config = builder.with_no_client_auth();
    // Targets that share an address would be offered one another's sessions.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = if h2 { vec![H2.to_vec()] } else { Vec::new() };
    Ok(config)
}

/// Takes every certificate, of whatever age, name and signature.
#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
