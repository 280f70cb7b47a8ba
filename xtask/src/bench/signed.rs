//! Requests with a signature that verifies, made once and sent many times: signing costs the client, not the server.

use anyhow::{Context as _, Result};
use longshore_wire::sigv4::{CanonicalRequest, Signer, payload_hash};

/// Who signs.
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// The bytes of a signed awsJson request of ECS.
///
/// # Errors
/// If the time of day cannot be read.
pub fn ecs(key: &Key, address: &str, operation: &str, body: &str) -> Result<Vec<u8>> {
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let time = timestamp()?;
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("host", address),
        ("x-amz-date", &time),
        ("x-amz-target", &target),
    ];
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let canonical = CanonicalRequest {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        signed_headers: &names,
        payload_hash: &payload_hash(body.as_bytes()),
        normalize_path: true,
    };
    let signer = Signer { secret_key: &key.secret, timestamp: &time, region: "us-east-1", service: "ecs" };
    let authorization = signer.authorization(&key.id, &names, &signer.signature(&canonical.render()));
    let mut text = String::from("POST / HTTP/1.1\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("authorization: {authorization}\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    Ok(text.into_bytes())
}

/// `YYYYMMDDTHHMMSSZ`.
fn timestamp() -> Result<String> {
    let done = std::process::Command::new("date").args(["-u", "+%Y%m%dT%H%M%SZ"]).output().context("date")?;
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}
