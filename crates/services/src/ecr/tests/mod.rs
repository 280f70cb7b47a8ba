//! Calls of the API, as JSON in and out.

mod access;
mod cache;
mod hostile;
mod image;
mod layer;
mod lifecycle;
mod quota;
mod replication;
mod repository;
mod sealed;
mod template;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_store::blobs::{Algorithm, digest_of};
use serde_json::{Value, json};

use super::SERVICE;
use crate::logs::testing::Bench;

const NAME: &str = "team/web";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry with one repository.
struct Registry(Bench);

impl Registry {
    fn new() -> Self {
        let registry = Self(Bench::new());
        registry.ok("CreateRepository", json!({"repositoryName": NAME}));
        registry
    }

    fn ok(&self, operation: &str, input: Value) -> Value {
        let shown: String = input.to_string().chars().take(500).collect();
        let output = self.0.of(&SERVICE, operation, input);
        assert_eq!(longshore_plan::check::state(&self.0.store.read()), [], "{operation} {shown}");
        output.unwrap_or_else(|fault| panic!("{operation} {shown}: {fault}"))
    }

    fn fault(&self, operation: &str, input: Value) -> String {
        let shown: String = input.to_string().chars().take(500).collect();
        match self.0.of(&SERVICE, operation, input) {
            Ok(output) => panic!("{operation} {shown}: {output}"),
            Err(fault) => fault.to_string(),
        }
    }

    /// Uploads a layer; its descriptor.
    fn layer(&self, bytes: &[u8]) -> Value {
        self.layer_to(NAME, bytes)
    }

    fn layer_to(&self, name: &str, bytes: &[u8]) -> Value {
        let digest = digest_of(Algorithm::Sha256, bytes).to_string();
        let upload = self.ok("InitiateLayerUpload", json!({"repositoryName": name}))["uploadId"].clone();
        let part = json!({
            "repositoryName": name, "uploadId": upload, "partFirstByte": 0, "partLastByte": bytes.len() - 1,
            "layerPartBlob": STANDARD.encode(bytes),
        });
        self.ok("UploadLayerPart", part);
        let input = json!({"repositoryName": name, "uploadId": upload, "layerDigests": [digest]});
        self.ok("CompleteLayerUpload", input);
        json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": bytes.len(),
        })
    }

    /// A manifest of a configuration and layers that were pushed.
    fn manifest(&self, layers: &[&[u8]]) -> Value {
        let mut config = self.layer(b"{}");
        config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
        let layers: Vec<Value> = layers.iter().map(|layer| self.layer(layer)).collect();
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
    }

    fn put(&self, manifest: &Value, tag: Option<&str>) -> Result<String, String> {
        self.put_text(&manifest.to_string(), tag)
    }

    fn put_text(&self, manifest: &str, tag: Option<&str>) -> Result<String, String> {
        let mut input = json!({"repositoryName": NAME, "imageManifest": manifest});
        if let Some(tag) = tag {
            input["imageTag"] = json!(tag);
        }
        let put = self.0.of(&SERVICE, "PutImage", input).map_err(|fault| fault.to_string())?;
        Ok(put["image"]["imageId"]["imageDigest"].as_str().unwrap().to_owned())
    }

    /// Pushes an image that differs from others by its name.
    fn image(&self, name: &str, tag: Option<&str>) -> String {
        let mut manifest = self.manifest_of_known();
        manifest["annotations"] = json!({"name": name});
        self.put(&manifest, tag).unwrap()
    }

    /// As [`manifest`](Self::manifest), without uploading what is there.
    fn manifest_of_known(&self) -> Value {
        let digest = digest_of(Algorithm::Sha256, b"{}").to_string();
        let input = json!({"repositoryName": NAME, "layerDigests": [digest]});
        let known = self.ok("BatchCheckLayerAvailability", input);
        if known["layers"][0]["layerAvailability"] == "UNAVAILABLE" {
            self.layer(b"{}");
        }
        let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2});
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []})
    }

    fn descriptor(&self, digest: &str) -> Value {
        let input = json!({"repositoryName": NAME, "imageIds": [{"imageDigest": digest}]});
        let image = &self.ok("BatchGetImage", input)["images"][0];
        json!({
            "mediaType": image["imageManifestMediaType"], "digest": digest,
            "size": image["imageManifest"].as_str().unwrap().len(),
        })
    }

    fn index(&self, digests: &[&str]) -> Value {
        let manifests: Vec<Value> = digests.iter().map(|digest| self.descriptor(digest)).collect();
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    }

    /// Pairs of a tag, or none, and the first digits of a digest.
    fn listed(&self) -> Vec<(String, String)> {
        let ids = self.ok("ListImages", json!({"repositoryName": NAME}))["imageIds"].clone();
        let pair = |id: &Value| {
            let digest = id["imageDigest"].as_str().unwrap().to_owned();
            (id["imageTag"].as_str().unwrap_or_default().to_owned(), digest)
        };
        let mut pairs: Vec<_> = ids.as_array().unwrap().iter().map(pair).collect();
        pairs.sort();
        pairs
    }

    fn delete(&self, id: Value) -> Value {
        self.ok("BatchDeleteImage", json!({"repositoryName": NAME, "imageIds": [id]}))
    }
}
