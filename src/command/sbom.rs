//! `longshore sbom`: what an image of the registry is made of.

use std::io::{self, Read, Write as _};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use longshore_agent::image::remote::{Layer, Pushed, Remote};
use longshore_agent::image::{Digest, Error};
use longshore_scan::{Document, Limits, sbom};
use tokio::runtime::Runtime;

use crate::command::run::caller;
use crate::options::Instance;

/// Prints the bill of an image, the same bytes for the same image each time.
pub fn print(instance: &Instance, reference: &str, architecture: Option<&str>) -> Result<()> {
    let (endpoint, region, key) = caller(instance)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let image = runtime.block_on(Remote::new(&endpoint, &region, key).image(reference, architecture)).map_err(told)?;
    if let Some(platform) = &image.platform {
        eprintln!("{reference} is for several platforms; this is {platform}, {}", image.digest);
    }
    let layers = image.layers().map(|(media_type, layer)| (media_type.to_owned(), Coming { layer, runtime: &runtime }));
    let bill = sbom(layers, &Limits::default(), &document(&image)?)?;
    io::stdout().write_all(format!("{bill}\n").as_bytes()).context("writing the bill")
}

/// What is no image is told so.
fn told(error: Error) -> anyhow::Error {
    match error {
        Error::Malformed { .. } => anyhow::Error::new(error).context("what packages it has cannot be read"),
        error => error.into(),
    }
}

/// The architecture of `linux/ARCHITECTURE`.
pub fn architecture(platform: &str) -> Result<String, String> {
    match platform.split_once('/') {
        Some(("linux", name)) if !name.is_empty() && !name.contains('/') => Ok(name.to_owned()),
        _ => Err("a platform is named like linux/arm64".to_owned()),
    }
}

fn document(image: &Pushed) -> Result<Document> {
    let (name, version) = (image.repository.clone(), image.digest.to_string());
    let pushed_at = Timestamp::from_millisecond(image.pushed_at).context("the time it was pushed at does not read")?;
    let what = format!("{name}@{version} {} {pushed_at}", env!("CARGO_PKG_VERSION"));
    Ok(Document { serial: uuid(&what), timestamp: pushed_at.to_string(), name, version })
}

/// A UUID (of version 8: made up by a rule of one's own) that is the same for the same text.
fn uuid(text: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    let hex = digest.hex();
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// A layer whose reader waits for it.
struct Coming<'a> {
    layer: Layer<'a>,
    runtime: &'a Runtime,
}

impl Read for Coming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.runtime.block_on(self.layer.read(buffer)).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_a_uuid_of_its_own() {
        let one = uuid("web@sha256:00");
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!((parts, one.as_bytes()[14], one.as_bytes()[19]), (vec![8, 4, 4, 4, 12], b'8', b'8'));
        assert_eq!(one, uuid("web@sha256:00"));
        assert_ne!(one, uuid("web@sha256:01"));
    }

    #[test]
    fn platforms_are_of_linux() {
        assert_eq!(architecture("linux/arm64").as_deref(), Ok("arm64"));
        for platform in ["arm64", "linux/", "windows/amd64", "linux/arm/v7", ""] {
            assert!(architecture(platform).is_err(), "{platform}");
        }
    }
}
