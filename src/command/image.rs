//! `longshore image …`: the images of an instance's containerd.

use std::path::Path;

use anyhow::Result;
use longshore_agent::containerd::Options;
use longshore_agent::image::local;

use crate::options::{Behaviour, Instance};

fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

/// The containerd that the instance uses.
fn containerd(instance: &Instance) -> Result<Options> {
    let settings = instance.resolve(&Behaviour::default())?;
    Ok(Options::new(&settings.data_dir, settings.containerd))
}

pub fn import(instance: &Instance, file: &Path, tag: Option<&str>) -> Result<()> {
    let image = block_on(local::import(&containerd(instance)?, file, tag))??;
    println!("{} {}", image.reference, image.digest);
    Ok(())
}

pub fn list(instance: &Instance) -> Result<()> {
    let images = block_on(local::list(&containerd(instance)?))??;
    println!("{:<50} {:<20} {:>10}", "IMAGE", "DIGEST", "SIZE");
    for image in images {
        let digest: String = image.digest.to_string().chars().take(19).collect();
        println!("{:<50} {digest:<20} {:>7.1} MB", image.name, image.size_bytes as f64 / 1e6);
    }
    Ok(())
}

pub fn remove(instance: &Instance, name: &str) -> Result<()> {
    block_on(local::remove(&containerd(instance)?, name))??;
    println!("removed {name}");
    Ok(())
}
