//! `longshore image …`: the images of an instance's containerd.

use std::path::Path;

use anyhow::Result;

use crate::options::Instance;

fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

pub fn import(instance: &Instance, file: &Path, tag: Option<&str>) -> Result<()> {
    let images = block_on(longshore_agent::image::command::import(&instance.data_dir()?, file, tag))??;
    for image in images {
        println!("{} {}", image.reference, image.digest);
    }
    Ok(())
}

pub fn list(instance: &Instance) -> Result<()> {
    let images = block_on(longshore_agent::image::command::list(&instance.data_dir()?))??;
    println!("{:<50} {:<20} {:>10}", "IMAGE", "DIGEST", "SIZE");
    for image in images {
        let digest: String = image.digest.chars().take(19).collect();
        println!("{:<50} {digest:<20} {:>7.1} MB", image.reference, image.size as f64 / 1e6);
    }
    Ok(())
}

pub fn remove(instance: &Instance, name: &str) -> Result<()> {
    block_on(longshore_agent::image::command::remove(&instance.data_dir()?, name))??;
    println!("removed {name}");
    Ok(())
}
