//! The node: images, containers, networks, volumes, logs, metadata.
pub mod containerd;
pub mod image;
