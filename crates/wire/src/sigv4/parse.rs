//! Who signed a request, as the request says. Reading is strict: a header that can be read in two ways is refused.

use super::ALGORITHM;
use super::canonical::decode;
use crate::{Error, Result};
use http::header::AUTHORIZATION;
use http::request::Parts;

/// Longer `Authorization` headers are refused unread.
const MAX_HEADER: usize = 8 * 1024;

/// What a credential says besides its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub access_key: String,
    /// `YYYYMMDD`.
    pub date: String,
    pub region: String,
    pub service: String,
}

/// A request's signature, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub scope: Scope,
    /// In the order given.
    pub signed_headers: Vec<String>,
    /// As given; 64 small hexadecimal digits if it is to verify.
    pub signature: String,
    pub session_token: Option<String>,
    /// `X-Amz-Date`, if the request has one.
    pub timestamp: Option<String>,
    /// Seconds, of a presigned request.
    pub expires: Option<String>,
    /// Whether it came in the query.
    pub presigned: bool,
}

impl Scope {
    /// The scope a request claims, if it can be read.
    pub fn of_request(head: &Parts) -> Option<Self> {
        Signature::of_request(head).ok().flatten().map(|signature| signature.scope)
    }

    fn parse(credential: &str) -> Result<Self> {
        // An access key may hold slashes, the rest may not.
        let mut parts = credential.rsplitn(5, '/');
        let fields = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
        let [Some("aws4_request"), Some(service), Some(region), Some(date), Some(access_key)] = fields else {
            return refuse(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term",
            );
        };
        if [service, region, date, access_key].contains(&"") {
            return refuse("Credential has an empty element");
        }
        let [access_key, date, region, service] = [access_key, date, region, service].map(str::to_owned);
        Ok(Scope { access_key, date, region, service })
    }
}

impl Signature {
    /// The signature of a request, from its header or its query; `None` if it has neither.
    ///
    /// # Errors
    /// If there is more than one, or one that cannot be read (AWS: `IncompleteSignature`).
    pub fn of_request(head: &Parts) -> Result<Option<Self>> {
        let mut headers = head.headers.get_all(AUTHORIZATION).iter();
        let presigned = query_value(head, "X-Amz-Algorithm")?.is_some();
        match (headers.next(), headers.next(), presigned) {
            (None, _, false) => Ok(None),
            (None, _, true) => Self::from_query(head).map(Some),
            (Some(value), None, false) => match value.to_str() {
                Ok(value) if value.len() <= MAX_HEADER => Self::from_header(head, value).map(Some),
                _ => refuse("Authorization header is too long or not text"),
            },
            _ => refuse("A request must have one signature"),
        }
    }

    fn from_header(head: &Parts, value: &str) -> Result<Self> {
        let Some(fields) = value.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')) else {
            return refuse("Unsupported authorization type");
        };
        let mut found = [None; 3];
        for field in fields.split(',').map(str::trim) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let Some(index) = ["Credential", "SignedHeaders", "Signature"].iter().position(|known| *known == name)
            else {
                return refuse("Authorization header has an unknown field");
            };
            if found[index].replace(value).is_some() {
                return refuse("Authorization header has a field twice");
            }
        }
        let [Some(credential), Some(signed), Some(signature)] = found else {
            return refuse("Authorization header requires 'Credential', 'Signature' and 'SignedHeaders' parameters");
        };
        Ok(Signature {
            scope: Scope::parse(credential)?,
            signed_headers: signed_headers(signed)?,
            signature: signature.to_owned(),
            session_token: single_header(head, "x-amz-security-token")?,
            timestamp: single_header(head, "x-amz-date")?,
            expires: None,
            presigned: false,
        })
    }

    fn from_query(head: &Parts) -> Result<Self> {
        let required = |name: &str| match query_value(head, name)? {
            Some(value) => Ok(value),
            None => refuse(&format!("Query-string authentication requires {name}")),
        };
        if required("X-Amz-Algorithm")? != ALGORITHM {
            return refuse("Unsupported X-Amz-Algorithm");
        }
        Ok(Signature {
            scope: Scope::parse(&required("X-Amz-Credential")?)?,
            signed_headers: signed_headers(&required("X-Amz-SignedHeaders")?)?,
            signature: required("X-Amz-Signature")?,
            session_token: either(
                query_value(head, "X-Amz-Security-Token")?,
                single_header(head, "x-amz-security-token")?,
            )?,
            timestamp: Some(required("X-Amz-Date")?),
            expires: Some(required("X-Amz-Expires")?),
            presigned: true,
        })
    }
}

fn refuse<T>(message: &str) -> Result<T> {
    Err(Error::Signature(message.to_owned()))
}

fn either(query: Option<String>, header: Option<String>) -> Result<Option<String>> {
    match (query, header) {
        (Some(_), Some(_)) => refuse("X-Amz-Security-Token is given twice"),
        (query, header) => Ok(query.or(header)),
    }
}

fn signed_headers(text: &str) -> Result<Vec<String>> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    if names.iter().any(String::is_empty) {
        return refuse("SignedHeaders has an empty name");
    }
    Ok(names)
}

fn single_header(head: &Parts, name: &str) -> Result<Option<String>> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => refuse(&format!("{name} is not text")),
        },
        (Some(_), Some(_)) => refuse(&format!("{name} is given twice")),
    }
}

fn query_value(head: &Parts, name: &str) -> Result<Option<String>> {
    let fields = head.uri.query().unwrap_or_default().split('&');
    let mut values = fields.filter_map(|field| field.split_once('=')).filter(|(other, _)| *other == name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) => match String::from_utf8(decode(value)) {
            Ok(text) => Ok(Some(text)),
            Err(_) => refuse(&format!("{name} is not text")),
        },
        (Some(_), Some(_)) => refuse(&format!("{name} is given twice")),
    }
}
