//! Refusals in the words of the distribution specification.

use http::header::{CONTENT_TYPE, HeaderName, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use longshore_store::blobs::Error;
use longshore_wire::Fault;
use longshore_wire::Writer as _;
use longshore_wire::json::JsonWriter;

use super::Answer;
use crate::body::Body;

/// The codes of the specification, two of Docker's registry (`UNAVAILABLE`, `UNKNOWN`) and one of ECR's (`TAG_INVALID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    UploadInvalid,
    UploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    TagInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    TooManyRequests,
    Unavailable,
    Unknown,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::UploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown | Self::UploadUnknown | Self::ManifestUnknown | Self::NameUnknown => {
                StatusCode::NOT_FOUND
            }
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// What a client is told that gets nothing.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub code: Code,
    pub status: StatusCode,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, status: code.status(), message: message.into(), headers: Vec::new() }
    }

    /// With another status than the code's own.
    pub fn at(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((name, value));
        }
        self
    }

    /// Who are you? `realm` is the registry.
    pub fn unauthorized(realm: &str, message: &str) -> Self {
        let realm: String = realm.chars().filter(|letter| !matches!(letter, '"' | '\\')).collect();
        let challenge = format!("Basic realm=\"http://{realm}/\",service=\"ecr.amazonaws.com\"");
        Self::new(Code::Unauthorized, message).with(WWW_AUTHENTICATE, challenge)
    }

    /// A missing layer is a missing blob to who asks for it, and a part of a manifest to who puts that.
    pub fn of_blob(self) -> Self {
        match self.code {
            Code::ManifestBlobUnknown => Self::new(Code::BlobUnknown, self.message),
            _ => self,
        }
    }

    pub fn denied(self) -> Self {
        Self::new(Code::Denied, self.message)
    }

    /// What is wrong with a request that puts a manifest is wrong with the manifest.
    pub fn of_manifest(self) -> Self {
        match self.code {
            Code::NameInvalid => Self::new(Code::ManifestInvalid, self.message),
            _ => self,
        }
    }

    pub fn answer(self) -> Answer {
        let mut json = JsonWriter::with_room(256);
        json.map(0);
        json.key("errors");
        json.list(0);
        json.map(0);
        for (key, value) in [("code", self.code.name()), ("message", &self.message)] {
            json.key(key);
            json.string(value);
        }
        json.end();
        json.end();
        json.end();
        let mut answer = Answer::new(Body::from(json.into_bytes()));
        *answer.status_mut() = self.status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.headers_mut().extend(self.headers);
        answer
    }
}

/// ECR's errors.
impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::new(code_of(&fault), fault.message)
    }
}

fn code_of(fault: &Fault) -> Code {
    match fault.name {
        "RepositoryNotFoundException" => Code::NameUnknown,
        "ImageNotFoundException" => Code::ManifestUnknown,
        "LayersNotFoundException" | "ReferencedImagesNotFoundException" => Code::ManifestBlobUnknown,
        "LayerInaccessibleException" => Code::BlobUnknown,
        "ImageDigestDoesNotMatchException" | "InvalidLayerException" => Code::DigestInvalid,
        "ImageTagAlreadyExistsException" => Code::TagInvalid,
        "InvalidParameterException" | "ValidationException" => Code::NameInvalid,
        "InvalidLayerPartException" | "EmptyUploadException" | "LayerPartTooSmallException" => Code::UploadInvalid,
        "UploadNotFoundException" => Code::UploadUnknown,
        "LimitExceededException" | "KmsException" | "AccessDeniedException" => Code::Denied,
        "ThrottlingException" => Code::TooManyRequests,
        _ => match fault.status {
            401 => Code::Unauthorized,
            403 => Code::Denied,
            413 => Code::SizeInvalid,
            503 => Code::Unavailable,
            408 => Code::UploadInvalid,
            400..500 => Code::Unsupported,
            _ => Code::Unknown,
        },
    }
}

/// What the bytes are refused for.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::UnknownUpload => Code::UploadUnknown,
            Error::Twice | Error::Busy | Error::OutOfOrder { .. } => Code::UploadInvalid,
            Error::TooLarge { .. } => Code::SizeInvalid,
            Error::TooMany { .. } | Error::Crowded => Code::TooManyRequests,
            Error::Mismatch { .. } => Code::DigestInvalid,
            Error::Missing => Code::BlobUnknown,
            Error::Full => Code::Unavailable,
            Error::Bucket(_) | Error::Foreign { .. } | Error::Unmarked => {
                tracing::error!(error = &error as &dyn std::error::Error, "the registry's bucket failed");
                return Self::new(Code::Unavailable, "The registry's bucket does not answer as it should");
            }
            Error::Damaged | Error::NoRandomness | Error::File { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "the registry's bytes failed");
                return Self::new(Code::Unknown, "The request has failed because of a failure of the registry");
            }
        };
        let refusal = Self::new(code, error.to_string());
        match error {
            Error::Twice | Error::Busy => refusal.at(StatusCode::CONFLICT),
            Error::OutOfOrder { at } => refusal.at(StatusCode::RANGE_NOT_SATISFIABLE).with(RANGE, received(at)),
            Error::TooLarge { .. } => refusal.at(StatusCode::PAYLOAD_TOO_LARGE),
            Error::TooMany { .. } => refusal.with(RETRY_AFTER, "60"),
            Error::Crowded => refusal.with(RETRY_AFTER, "10"),
            _ => refusal,
        }
    }
}

/// The bytes of an upload that have come, as a `Range` header says it: of none it cannot, and says the first.
pub(super) fn received(bytes: u64) -> String {
    format!("0-{}", bytes.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, status: u16, wanted: Code) {
        assert_eq!(Refusal::from(Fault::common(name, status, "why")).code, wanted, "{name}");
    }

    #[test]
    fn ecrs_errors_have_codes_of_the_specification() {
        check("RepositoryNotFoundException", 400, Code::NameUnknown);
        check("AccessDeniedException", 400, Code::Denied);
        check("ImageTagAlreadyExistsException", 400, Code::TagInvalid);
        check("ServiceUnavailable", 503, Code::Unavailable);
        check("InternalFailure", 500, Code::Unknown);
        check("RequestEntityTooLargeException", 413, Code::SizeInvalid);
        let refusal = Refusal::from(Fault::common("LayersNotFoundException", 400, "why"));
        assert_eq!(refusal.of_blob().status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn who_writes_out_of_order_is_told_where_to_go_on() {
        let refusal = Refusal::from(Error::OutOfOrder { at: 10 });
        assert_eq!((refusal.status.as_u16(), refusal.code), (416, Code::UploadInvalid));
        assert_eq!(refusal.answer().headers()[RANGE], "0-9");
        assert_eq!(Refusal::from(Error::Busy).status.as_u16(), 409);
        assert_eq!(Refusal::from(Error::TooLarge { most: 1 }).status.as_u16(), 413);
        assert_eq!(Refusal::from(Error::Full).status.as_u16(), 503);
        assert_eq!(Refusal::from(Error::Crowded).answer().headers()[RETRY_AFTER], "10");
    }

    #[test]
    fn a_challenge_is_well_formed_whatever_the_host() {
        let answer = Refusal::unauthorized("a\"b\\c:4566", "why").answer();
        assert_eq!(
            answer.headers()[WWW_AUTHENTICATE],
            "Basic realm=\"http://abc:4566/\",service=\"ecr.amazonaws.com\""
        );
        assert_eq!(answer.status(), 401);
    }
}
