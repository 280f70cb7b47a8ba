//! Requests with a signature that verifies. Those that are sent often are made once: signing costs the client, not the server.

use anyhow::{Context as _, Result};
use longshore_wire::sigv4::Signer;
use longshore_wire::{Timestamp, TimestampFormat};

/// Who signs.
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// What is signed besides the body.
pub struct Call<'a> {
    pub address: &'a str,
    pub service: &'a str,
    pub content_type: &'a str,
    /// `X-Amz-Target`, of the JSON protocols.
    pub target: Option<&'a str>,
}

/// The bytes of a signed awsJson request of ECS.
///
/// # Errors
/// If the time of day cannot be read.
pub fn ecs(key: &Key, address: &str, operation: &str, body: &str) -> Result<Vec<u8>> {
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let content_type = "application/x-amz-json-1.1";
    request(key, &Call { address, service: "ecs", content_type, target: Some(&target) }, body)
}

/// The bytes of a signed request.
///
/// # Errors
/// If the time of day cannot be read.
pub fn request(key: &Key, call: &Call<'_>, body: &str) -> Result<Vec<u8>> {
    let time = timestamp()?;
    let mut headers = vec![("content-type", call.content_type), ("host", call.address), ("x-amz-date", &time)];
    headers.extend(call.target.map(|target| ("x-amz-target", target)));
    let signer = Signer { secret_key: &key.secret, timestamp: &time, region: "us-east-1", service: call.service };
    let authorization = signer.post_authorization(&key.id, &headers, body.as_bytes());
    let mut text = String::from("POST / HTTP/1.1\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("authorization: {authorization}\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    Ok(text.into_bytes())
}

/// `YYYYMMDDTHHMMSSZ`.
fn timestamp() -> Result<String> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).context("the time of day")?;
    let now = Timestamp::from_millis(i64::try_from(since.as_secs())? * 1000);
    Ok(now.format(TimestampFormat::Iso8601).replace(['-', ':'], ""))
}
