//! How a listener encrypts: its default certificate, its security policy, its ALPN policy.

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::Listener;
use longshore_model::{Arn, Place, State};
use longshore_wire::Fault;

use super::{fault, policy};
use crate::acm;

/// Policies of TLS listeners for what comes after the handshake.
const ALPN: &[&str] = &["HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None"];

/// What a request says of encryption.
pub struct Security {
    pub policy: Option<String>,
    pub certificates: Vec<api::Certificate>,
    pub alpn: Vec<String>,
    pub mutual: Option<api::MutualAuthenticationAttributes>,
}

/// What a listener is to have; nothing of one that does not encrypt.
#[derive(Default)]
pub struct Settled {
    /// The default one, then the others that the listener had.
    pub certificates: Vec<String>,
    pub policy: Option<String>,
    pub alpn: Option<String>,
}

impl Settled {
    /// Whether a listener has all this, whatever other certificates it has.
    pub fn is_of(&self, row: &Listener) -> bool {
        let default = self.certificates.first() == row.certificates.first();
        default && self.policy == row.ssl_policy && self.alpn == row.alpn_policy
    }
}

impl Security {
    /// What a request leaves out stays as it is with the listener that is `known`, and is as AWS sets it with a new one.
    ///
    /// # Errors
    /// `ValidationError` for what does not go with the protocol; `SSLPolicyNotFound`, `ALPNPolicyNotFound`, those of
    /// [`usable`], and what is not built.
    pub fn settle(
        &self,
        state: &State,
        place: &Place,
        protocol: api::ProtocolEnum,
        known: Option<&Listener>,
    ) -> Result<Settled, Fault> {
        self.check_mutual()?;
        if !matches!(protocol, api::ProtocolEnum::Https | api::ProtocolEnum::Tls) {
            return self.check_plain(protocol);
        }
        // A listener that did not encrypt has nothing to keep.
        let known = known.filter(|known| !known.certificates.is_empty());
        let policy = Some(self.policy(known)?);
        let certificates = self.certificates(state, place, protocol, known)?;
        Ok(Settled { certificates, policy, alpn: self.alpn(protocol, known)? })
    }

    /// # Errors
    /// What is not built.
    fn check_mutual(&self) -> Result<(), Fault> {
        match self.mutual.as_ref().and_then(|mutual| mutual.mode.as_deref()).unwrap_or("off") {
            "off" => Ok(()),
            _ => Err(fault::not_built("mutual authentication")),
        }
    }

    /// # Errors
    /// `ValidationError`
    fn check_plain(&self, protocol: api::ProtocolEnum) -> Result<Settled, Fault> {
        if self.policy.is_none() && self.certificates.is_empty() && self.alpn.is_empty() {
            return Ok(Settled::default());
        }
        Err(fault::invalid(format!(
            "Certificates and security policies are not supported for listeners with protocol '{protocol}'"
        )))
    }

    fn certificates(
        &self,
        state: &State,
        place: &Place,
        protocol: api::ProtocolEnum,
        known: Option<&Listener>,
    ) -> Result<Vec<String>, Fault> {
        let kept = known.map(|known| known.certificates.clone()).unwrap_or_default();
        let missing = || fault::invalid(format!("A certificate must be specified for {protocol} listeners"));
        let [only] = self.certificates.as_slice() else {
            return match (self.certificates.len(), kept.is_empty()) {
                (0, true) => Err(missing()),
                (0, false) => Ok(kept),
                (count, _) => Err(one_only(count)),
            };
        };
        let arn = only.certificate_arn.as_deref().filter(|arn| !arn.is_empty()).ok_or_else(missing)?;
        usable(state, place, arn)?;
        Ok(std::iter::once(arn.to_owned()).chain(kept.into_iter().skip(1)).collect())
    }

    fn policy(&self, known: Option<&Listener>) -> Result<String, Fault> {
        let Some(name) = self.policy.as_deref() else {
            let kept = known.and_then(|known| known.ssl_policy.clone());
            return Ok(kept.unwrap_or_else(|| policy::USUAL.to_owned()));
        };
        match policy::named(name) {
            Some(_) => Ok(name.to_owned()),
            None => Err(fault::policy_not_found(format!("SSL policy '{name:.128}' not found"))),
        }
    }

    fn alpn(&self, protocol: api::ProtocolEnum, known: Option<&Listener>) -> Result<Option<String>, Fault> {
        match self.alpn.as_slice() {
            [] if protocol == api::ProtocolEnum::Tls => Ok(known.and_then(|known| known.alpn_policy.clone())),
            [] => Ok(None),
            _ if protocol != api::ProtocolEnum::Tls => {
                Err(fault::alpn(format!("ALPN policies are not supported for listeners with protocol '{protocol}'")))
            }
            [name] if ALPN.contains(&name.as_str()) => Ok(Some(name.clone())),
            [name] => Err(fault::alpn(format!("ALPN policy '{name:.64}' must be one of '{}'", ALPN.join(", ")))),
            many => Err(fault::invalid(format!("Up to '1' ALPN policies can be specified, but '{}' were", many.len()))),
        }
    }
}

pub fn one_only(count: usize) -> Fault {
    fault::invalid(format!("Up to '1' certificates can be specified, but '{count}' were specified"))
}

/// Whether a listener may have the certificate with this ARN.
///
/// # Errors
/// `CertificateNotFound`; `UnsupportedCertificate` for one that is good for no fully qualified name; what is not built.
pub fn usable(state: &State, place: &Place, arn: &str) -> Result<(), Fault> {
    if Arn::parse(arn).is_some_and(|parsed| parsed.service == "iam") {
        return Err(fault::not_built("server certificates of IAM"));
    }
    let absent = |_| fault::certificate_not_found(format!("Certificate '{arn:.256}' not found"));
    let row = acm::find(state, place, arn).map_err(absent)?;
    match row.facts.names.iter().any(|name| name.trim_matches('.').contains('.')) {
        true => Ok(()),
        false => Err(fault::unsupported_certificate(arn)),
    }
}

pub fn shown(arn: &str, is_default: Option<bool>) -> api::Certificate {
    api::Certificate { certificate_arn: Some(arn.to_owned()), is_default }
}

/// What an HTTPS listener says of certificates of clients: that it asks for none.
pub fn no_mutual() -> api::MutualAuthenticationAttributes {
    api::MutualAuthenticationAttributes { mode: Some("off".to_owned()), ..Default::default() }
}
