//! Images in this installation's ECR, read from outside an agent as somebody who has a key: what `longshore sbom` does.
//!
//! ```text
//!     DescribeImages ──► digest, when it was pushed      GetAuthorizationToken ──► manifest (of one platform) ──► layers
//! ```

use futures_util::stream::{BoxStream, StreamExt as _};
use serde_json::{Value, json};

use bytes::{Buf as _, Bytes};

use super::Auth;
use super::document::{self, Descriptor, Digest};
use super::ecr::Ecr;
use super::error::Error;
use super::reference::Name;
use super::registry::Registry;
use super::source::Source;
use crate::api::{CallError, ControlPlane, ECR};
use crate::config::AccessKey;

/// The ECR of an instance, for one caller.
pub struct Remote {
    plane: ControlPlane,
    key: AccessKey,
    ecr: Ecr,
}

/// An image for one platform.
pub struct Pushed {
    registry: Registry,
    /// Name of the repository, without the registry.
    pub repository: String,
    /// Of the platform's manifest.
    pub digest: Digest,
    /// When it, or the index that lists it, was pushed: milliseconds since 1970.
    pub pushed_at: i64,
    /// The platform that was chosen, where there was a choice: `linux/amd64`.
    pub platform: Option<String>,
    layers: Vec<Descriptor>,
}

/// A layer's bytes as they come.
pub struct Layer<'a> {
    registry: &'a Registry,
    digest: &'a Digest,
    coming: Option<BoxStream<'static, Result<Bytes, Error>>>,
    rest: Bytes,
}

impl Remote {
    /// The ECR at `endpoint` (`host:port` of the control plane), as whoever has `key` sees it.
    pub fn new(endpoint: &str, region: &str, key: AccessKey) -> Self {
        let plane = ControlPlane::new(endpoint, region, "", AccessKey::default());
        Self { plane, key, ecr: Ecr::new(endpoint, region) }
    }

    /// The image of `reference`: `[REGISTRY/]REPOSITORY[:TAG|@DIGEST]`. Of an index the one for Linux on `architecture`, or on
    /// this machine's.
    ///
    /// # Errors
    /// `Reference`; `Registry` with ECR's words when there is no such image or it may not be read; `Malformed` when it is not
    /// one that a container could run; `Platform` when it has nothing for the architecture.
    pub async fn image(&self, reference: &str, architecture: Option<&str>) -> Result<Pushed, Error> {
        let name = self.name(reference)?;
        let (digest, pushed_at) = self.described(&name).await?;
        let name = name.by_digest(digest);
        let own = self.ecr.called(name.registry()).map(|called| (self.ecr.endpoint(), called));
        let registry = Registry::new(name.clone(), self.login().await?, own)?;
        let source = Source::Registry(registry);
        let architecture = architecture.unwrap_or_else(|| document::architecture());
        let resolved = source.resolve_for(&name, architecture).await?;
        let Source::Registry(registry) = source else { return Err(Error::NotFound(name.to_string())) };
        Ok(Pushed {
            registry,
            repository: name.repository().to_owned(),
            digest: resolved.written.0.digest,
            pushed_at,
            platform: resolved.index.map(|_| format!("linux/{architecture}")),
            layers: resolved.manifest.layers,
        })
    }

    /// A name without one of ECR's registries before it is of the caller's own.
    fn name(&self, reference: &str) -> Result<Name, Error> {
        let is_whole = reference.split_once('/').is_some_and(|(registry, _)| self.ecr.has(registry));
        match is_whole {
            true => Name::parse(reference),
            false => Name::parse(&format!("{}/{reference}", self.ecr.endpoint())),
        }
    }

    /// The digest that a name leads to, and when that was pushed.
    async fn described(&self, name: &Name) -> Result<(Digest, i64), Error> {
        let id = match name.digest() {
            Some(digest) => json!({ "imageDigest": digest.as_str() }),
            None => json!({ "imageTag": name.tag() }),
        };
        let registry = name.registry().split_once(".dkr.ecr.").map(|(account, _)| account);
        let input = json!({ "registryId": registry, "repositoryName": name.repository(), "imageIds": [id] });
        let answer = self.call("DescribeImages", &input).await?;
        let image = &answer["imageDetails"][0];
        let pushed_at = image["imagePushedAt"].as_f64().unwrap_or_default() * 1000.0;
        Ok((Digest::parse(image["imageDigest"].as_str().unwrap_or_default())?, pushed_at as i64))
    }

    async fn login(&self) -> Result<Auth, Error> {
        let answer = self.call("GetAuthorizationToken", &json!({})).await?;
        let token = answer["authorizationData"][0]["authorizationToken"].as_str().and_then(Auth::of_token);
        token.ok_or_else(|| Error::Credentials("the authorization data of ECR does not read".to_owned()))
    }

    async fn call(&self, operation: &'static str, input: &Value) -> Result<Value, Error> {
        let told = |error: CallError| Error::Registry { message: error.to_string(), retryable: error.is_transient() };
        self.plane.call_to(ECR, &self.key, operation, input).await.map_err(told)
    }
}

impl Pushed {
    /// The layers with their media types, lowest first; each is asked for when it is read.
    pub fn layers(&self) -> impl Iterator<Item = (&str, Layer<'_>)> {
        let layer = |digest| Layer { registry: &self.registry, digest, coming: None, rest: Bytes::new() };
        self.layers.iter().map(move |of| (of.media_type.as_str(), layer(&of.digest)))
    }
}

impl Layer<'_> {
    /// The next bytes, as packed as they are; 0 at the end.
    ///
    /// # Errors
    /// `Registry`, `NotFound` and `Denied`.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        while self.rest.is_empty() {
            let coming = match &mut self.coming {
                Some(coming) => coming,
                None => self.coming.insert(self.registry.blob(self.digest, 0).await?.bytes),
            };
            match coming.next().await {
                Some(bytes) => self.rest = bytes?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_its_registry_before_it() {
        let remote = Remote::new("127.0.0.1:4566", "us-east-1", AccessKey::default());
        for (given, registry, repository) in [
            ("web", "127.0.0.1:4566", "web"),
            ("my.team/web:1", "127.0.0.1:4566", "my.team/web"),
            ("localhost:4566/team/web:1", "localhost:4566", "team/web"),
            (
                "111122223333.dkr.ecr.us-east-1.localhost:4566/web",
                "111122223333.dkr.ecr.us-east-1.localhost:4566",
                "web",
            ),
            ("111122223333.dkr.ecr.us-east-1.amazonaws.com/web", "111122223333.dkr.ecr.us-east-1.amazonaws.com", "web"),
        ] {
            let name = remote.name(given).unwrap();
            assert_eq!((name.registry(), name.repository()), (registry, repository), "{given}");
        }
        for given in ["", "Web", "../web", "docker.io/library/a:b:c", "web@sha256:00", "http://web"] {
            assert!(matches!(remote.name(given), Err(Error::Reference { .. })), "{given}");
        }
    }
}
