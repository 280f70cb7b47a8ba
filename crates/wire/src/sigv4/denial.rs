//! Why a caller is not who it says, and how each protocol words it.

use crate::{Fault, ProtocolKind};

/// Why a request is not taken as its signer's. Texts are fit for the caller: they hold no secret, and nothing of the
/// signature that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// There is no signature.
    Missing,
    /// The signature cannot be read.
    Incomplete(String),
    /// It is for another place, or leaves out what it must cover.
    Invalid(String),
    /// It is too old, or from the future.
    Stale(String),
    /// Nobody has this access key, or its session token is not one of ours.
    UnknownKey,
    /// It is not the signature of the key's holder.
    Mismatch,
    /// The session token's time has passed.
    ExpiredToken,
}

impl From<crate::Error> for Denial {
    fn from(error: crate::Error) -> Self {
        Denial::Incomplete(error.to_string())
    }
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                        Secret Access Key and signing method. Consult the service documentation for details.";

impl Denial {
    /// AWS's error: 400 and names on `Exception` in JSON, 403 in awsQuery, `AuthFailure` in EC2's.
    pub fn fault(&self, kind: ProtocolKind) -> Fault {
        match kind {
            ProtocolKind::AwsJson10 | ProtocolKind::AwsJson11 => self.json(),
            ProtocolKind::AwsQuery => self.query(),
            ProtocolKind::Ec2Query => self.ec2(),
        }
    }

    fn json(&self) -> Fault {
        let code = match self {
            Denial::Missing => "MissingAuthenticationTokenException",
            Denial::Incomplete(_) => "IncompleteSignatureException",
            Denial::Invalid(_) | Denial::Stale(_) | Denial::Mismatch => "InvalidSignatureException",
            Denial::UnknownKey => "UnrecognizedClientException",
            Denial::ExpiredToken => "ExpiredTokenException",
        };
        Fault::common(code, 400, self.message())
    }

    fn query(&self) -> Fault {
        let (code, status) = match self {
            Denial::Missing => ("MissingAuthenticationToken", 403),
            Denial::Incomplete(_) => ("IncompleteSignature", 400),
            Denial::Invalid(_) | Denial::Stale(_) | Denial::Mismatch => ("SignatureDoesNotMatch", 403),
            Denial::UnknownKey => ("InvalidClientTokenId", 403),
            Denial::ExpiredToken => ("ExpiredToken", 403),
        };
        Fault::common(code, status, self.message())
    }

    fn ec2(&self) -> Fault {
        const UNABLE: &str = "AWS was not able to validate the provided access credentials";
        match self {
            Denial::Missing => Fault::common("MissingAuthenticationToken", 403, self.message()),
            Denial::Incomplete(message) => Fault::common("AuthFailure", 401, message.clone()),
            Denial::Stale(_) => Fault::common("RequestExpired", 400, "Request has expired."),
            Denial::ExpiredToken => Fault::common("RequestExpired", 400, self.message()),
            Denial::Invalid(_) | Denial::UnknownKey | Denial::Mismatch => Fault::common("AuthFailure", 401, UNABLE),
        }
    }

    fn message(&self) -> String {
        match self {
            Denial::Missing => "Request is missing Authentication Token".to_owned(),
            Denial::Incomplete(message) | Denial::Invalid(message) | Denial::Stale(message) => message.clone(),
            Denial::UnknownKey => "The security token included in the request is invalid.".to_owned(),
            Denial::Mismatch => MISMATCH.to_owned(),
            Denial::ExpiredToken => "The security token included in the request is expired".to_owned(),
        }
    }
}
