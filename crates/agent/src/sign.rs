//! The node's signature under its requests.

use std::collections::BTreeMap;

use http::{HeaderValue, Request, header};
use longshore_wire::sigv4::{CanonicalRequest, Signer, Standing, join_authorization, payload_hash};

use crate::clock;
use crate::config::AccessKey;

/// Adds `X-Amz-Date`, `X-Amz-Security-Token` of temporary credentials, and `Authorization` to a request that has its `Host`; every `x-amz-*` header is signed.
pub(crate) fn sign<T>(request: &mut Request<T>, body: &[u8], key: &AccessKey, region: &str, service: &str) {
    let timestamp = clock::compact(clock::now());
    set(request, "x-amz-date", &timestamp);
    if let Some(token) = &key.token {
        set(request, "x-amz-security-token", token);
    }
    let authorization =
        authorization(request, body, key, &Signer { secret_key: &key.secret, timestamp: &timestamp, region, service });
    set(request, header::AUTHORIZATION.as_str(), &authorization);
}

/// Shows a token to join with, in the place of a signature.
pub(crate) fn show<T>(request: &mut Request<T>, token: &str) {
    set(request, header::AUTHORIZATION.as_str(), &join_authorization(token));
}

fn set<T>(request: &mut Request<T>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        request.headers_mut().insert(name, value);
    }
}

fn authorization<T>(request: &Request<T>, body: &[u8], key: &AccessKey, signer: &Signer<'_>) -> String {
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .filter(|(name, _)| *name == "host" || *name == "content-type" || name.starts_with("x-amz-"))
        .collect();
    let mut signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    signed.sort_unstable();
    signed.dedup();
    let canonical = CanonicalRequest {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        headers: &headers,
        signed_headers: &signed,
        payload_hash: &payload_hash(body),
        normalize_path: true,
    };
    signer.authorization(&key.id, &signed, &signer.signature(&canonical.render()))
}

/// Headers that say whose the log lines of a task are, for a sender that cannot sign each request itself: they are
/// sent unchanged for as long as the task lives.
pub(crate) fn standing(key: &AccessKey, region: &str, task: &str) -> BTreeMap<String, String> {
    let authorization = Standing::authorization(&key.id, &key.secret, region, task);
    BTreeMap::from([("Authorization".to_owned(), authorization)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_wire::sigv4::Signature;

    #[test]
    fn a_signed_request_names_its_key_and_scope() {
        let mut request = Request::post("http://127.0.0.1:4566/").header("host", "127.0.0.1:4566").body(()).unwrap();
        let key = AccessKey { id: "AKIDEXAMPLE".to_owned(), secret: "secret".to_owned(), token: None };
        sign(&mut request, b"{}", &key, "us-east-1", "ecs");
        let (parts, ()) = request.into_parts();
        let signature = Signature::of_request(&parts).unwrap().unwrap();
        assert_eq!(signature.scope.access_key, "AKIDEXAMPLE");
        let authorization = parts.headers["authorization"].to_str().unwrap();
        assert!(authorization.contains("SignedHeaders=host;x-amz-date,"), "{authorization}");
        assert!(authorization.contains("/us-east-1/ecs/aws4_request"), "{authorization}");
    }
}
