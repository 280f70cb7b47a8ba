//! The node: images, containers, networks, volumes, logs, metadata.
