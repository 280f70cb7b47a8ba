//! `longshore image …`: the images of an instance's containerd.

use std::path::{Path, PathBuf};

use anyhow::Result;
use longshore_agent::containerd::Options;
use longshore_agent::image::local;

use crate::options::{Behaviour, CONTAINERD_FILE, Instance};

fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

/// The containerd that the instance uses: as said here or in its settings, else as it was last run with, else its own.
pub fn containerd(instance: &Instance, said: Option<&Path>) -> Result<Options> {
    let settings = instance.resolve(&Behaviour::default())?;
    let socket = said.map(Path::to_owned).or(settings.containerd).or_else(|| written(&settings.data_dir));
    Ok(Options::new(&settings.data_dir, socket))
}

fn written(data_dir: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(data_dir.join(CONTAINERD_FILE)).ok()?;
    Some(PathBuf::from(text.trim_end_matches('\n')))
}

pub fn import(containerd: &Options, file: &Path, tag: Option<&str>) -> Result<()> {
    let image = block_on(local::import(containerd, file, tag))??;
    println!("{} {}", image.reference, image.digest);
    Ok(())
}

pub fn list(containerd: &Options) -> Result<()> {
    let images = block_on(local::list(containerd))??;
    println!("{:<50} {:<20} {:>10}", "IMAGE", "DIGEST", "SIZE");
    for image in images {
        let digest: String = image.digest.to_string().chars().take(19).collect();
        println!("{:<50} {digest:<20} {:>7.1} MB", image.name, image.size_bytes as f64 / 1e6);
    }
    Ok(())
}

pub fn remove(containerd: &Options, name: &str) -> Result<()> {
    block_on(local::remove(containerd, name))??;
    println!("removed {name}");
    Ok(())
}
