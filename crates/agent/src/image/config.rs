//! The configuration of an image: what its containers run by default, and the digests its layers unpack to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::document::Digest;
use super::error::Error;

/// What an image says about its containers. Absent lists and texts are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The further arguments, or program and arguments when there is no entry point.
    pub cmd: Vec<String>,
    /// `user`, `uid`, `user:group` or `uid:gid`, names as the image's own `/etc/passwd` has them; empty is root.
    pub user: String,
    /// Absolute path to start in; empty is `/`.
    pub working_dir: String,
    /// Signal that asks the program to end, as `SIGTERM` or `15`.
    pub stop_signal: Option<String>,
    /// Ports as `80/tcp`, sorted.
    pub exposed: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A whole configuration document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) config: ImageConfig,
    /// Digests of the unpacked layers, lowest first.
    pub(super) layers: Vec<Digest>,
    pub(super) architecture: String,
}

#[derive(Deserialize)]
struct Raw {
    architecture: Option<String>,
    rootfs: RawRootfs,
    config: Option<RawConfig>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(rename = "type")]
    kind: Option<String>,
    diff_ids: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawConfig {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    labels: Option<BTreeMap<String, String>>,
}

/// Reads a configuration that goes with a manifest of `layers` layers.
pub(super) fn parse(bytes: &[u8], layers: usize) -> Result<Document, Error> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| Error::malformed("image configuration", error))?;
    if raw.rootfs.kind.as_deref().is_some_and(|kind| kind != "layers") {
        return Err(Error::malformed("image configuration", "its root file system is not made of layers"));
    }
    let diff_ids = raw.rootfs.diff_ids.unwrap_or_default();
    if diff_ids.len() != layers {
        let reason = format!("{} diff_ids do not go with {layers} layers", diff_ids.len());
        return Err(Error::malformed("image configuration", reason));
    }
    let layers: Result<_, _> = diff_ids.iter().map(|id| Digest::parse(id)).collect();
    let config = image_config(raw.config.unwrap_or_default())?;
    Ok(Document { config, layers: layers?, architecture: raw.architecture.unwrap_or_default() })
}

fn image_config(raw: RawConfig) -> Result<ImageConfig, Error> {
    let config = ImageConfig {
        env: raw.env.unwrap_or_default(),
        entrypoint: raw.entrypoint.unwrap_or_default(),
        cmd: raw.cmd.unwrap_or_default(),
        user: raw.user.unwrap_or_default(),
        working_dir: raw.working_dir.unwrap_or_default(),
        stop_signal: raw.stop_signal.filter(|signal| !signal.is_empty()),
        exposed: raw.exposed_ports.unwrap_or_default().into_keys().collect(),
        labels: raw.labels.unwrap_or_default(),
    };
    let lists = config.env.iter().chain(&config.entrypoint).chain(&config.cmd);
    let texts: Vec<&String> = lists.chain([&config.user, &config.working_dir]).collect();
    if texts.iter().any(|text| text.contains('\0')) {
        return Err(Error::malformed("image configuration", "a value holds a zero byte"));
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(Error::malformed("image configuration", "WorkingDir is not an absolute path"));
    }
    Ok(config)
}

/// The names of the snapshots that layers unpack to, lowest first: each stands for its layer and all below.
pub(super) fn chain(layers: &[Digest]) -> Vec<Digest> {
    let next = |below: &mut Option<Digest>, layer: &Digest| {
        let name = match below.take() {
            None => layer.clone(),
            Some(below) => Digest::from_hash(Sha256::digest(format!("{below} {layer}")).as_slice()),
        };
        *below = Some(name.clone());
        Some(name)
    };
    layers.iter().scan(None, next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff_id(number: u8) -> String {
        format!("sha256:{}", hex::encode([number; 32]))
    }

    fn document(config: &str, diff_ids: &str) -> String {
        format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}},"config":{config}}}"#
        )
    }

    #[test]
    fn nulls_and_absences_are_empty() {
        for config in ["null", "{}", r#"{"Entrypoint":null,"Cmd":null,"Env":null,"ExposedPorts":null,"StopSignal":""}"#]
        {
            let read = parse(document(config, "").as_bytes(), 0).unwrap();
            assert_eq!(read.config, ImageConfig::default(), "{config}");
        }
    }

    #[test]
    fn everything_said_is_read() {
        let config = r#"{"Env":["A=1"],"Entrypoint":["/e"],"Cmd":["c"],"User":"1:2","WorkingDir":"/w",
            "StopSignal":"SIGQUIT","ExposedPorts":{"81/udp":{},"80/tcp":{}},"Labels":{"l":"v"}}"#;
        let read = parse(document(config, "").as_bytes(), 0).unwrap().config;
        assert_eq!(read.exposed, ["80/tcp", "81/udp"]);
        assert_eq!((read.user.as_str(), read.working_dir.as_str()), ("1:2", "/w"));
        assert_eq!(read.stop_signal.as_deref(), Some("SIGQUIT"));
        assert_eq!((read.env, read.entrypoint, read.cmd), (vec!["A=1".into()], vec!["/e".into()], vec!["c".into()]));
    }

    #[test]
    fn configurations_that_break_a_rule_are_refused() {
        let one = format!("{:?}", diff_id(1));
        let rows = [
            (document("{}", &one), 0, "do not go with"),
            (document("{}", ""), 1, "do not go with"),
            (document("{}", "\"sha256:zz\""), 1, "not a sha256"),
            (document(r#"{"WorkingDir":"../x"}"#, ""), 0, "not an absolute path"),
            (document(r#"{"Env":["A=\u0000"]}"#, ""), 0, "zero byte"),
            (document(r#"{"Env":"A=1"}"#, ""), 0, "invalid type"),
            ("{}".to_owned(), 0, "missing field"),
        ];
        for (text, layers, expected) in rows {
            let reason = parse(text.as_bytes(), layers).unwrap_err().to_string();
            assert!(reason.contains(expected), "{text}: {reason}");
        }
    }

    #[test]
    fn a_chain_names_each_layer_with_all_below() {
        let layers: Vec<Digest> = [1, 2, 3].map(|number| Digest::parse(&diff_id(number)).unwrap()).into();
        let names = chain(&layers);
        assert_eq!(names[0], layers[0]);
        assert_eq!(names[1], Digest::of(format!("{} {}", names[0], layers[1]).as_bytes()));
        assert_eq!(names[2], Digest::of(format!("{} {}", names[1], layers[2]).as_bytes()));
    }
}
