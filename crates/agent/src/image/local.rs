//! The images of an instance from outside its agent: what `longshore image import|list|remove` do.
//!
//! Each call finds the containerd of the instance, starts it when it does not run, and then stops it again.

use std::path::Path;

use super::{Error, Image, Images, Listed};
use crate::containerd::{Containerd, Options};

/// Imports an archive; see [`Images::import`].
///
/// # Errors
/// As there, and `Daemon` when containerd cannot be had.
pub async fn import(options: &Options, archive: &Path, tag: Option<&str>) -> Result<Image, Error> {
    let (containerd, images) = open(options).await?;
    close(containerd, images.import(archive, tag).await).await
}

/// Lists the images; see [`Images::list`].
///
/// # Errors
/// As there, and `Daemon` when containerd cannot be had.
pub async fn list(options: &Options) -> Result<Vec<Listed>, Error> {
    let (containerd, images) = open(options).await?;
    close(containerd, images.list().await).await
}

/// Removes an image name; see [`Images::remove`].
///
/// # Errors
/// As there, and `Daemon` when containerd cannot be had.
pub async fn remove(options: &Options, reference: &str) -> Result<(), Error> {
    let (containerd, images) = open(options).await?;
    close(containerd, images.remove(reference).await).await
}

async fn open(options: &Options) -> Result<(Containerd, Images), Error> {
    let containerd = Containerd::open(options).await?;
    let images = Images::new(containerd.channel());
    Ok((containerd, images))
}

async fn close<T>(containerd: Containerd, result: Result<T, Error>) -> Result<T, Error> {
    let stopped = containerd.stop_if_unused().await;
    let value = result?;
    stopped?;
    Ok(value)
}
