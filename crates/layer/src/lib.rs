//! The layers of images, as those that unpack them read them: how a layer is packed ([`Packing`]), and what entries its tar
//! archive has ([`Archive`]).
//!
//! Whoever looks into a layer before it is unpacked, or instead, must see what will be unpacked. So there is one reader, for
//! the node's inspection and for the scanner. It goes by the rules of Go's `archive/tar`, which is containerd's, and refuses
//! what readers are known to read differently: what it lets through, all of them read alike.

mod archive;
mod header;
mod packing;
mod pax;

pub use archive::{Archive, Entry, Kind};
pub use packing::Packing;

use std::io;

/// Why a layer is not read. It travels inside an [`io::Error`], and quotes nothing of the layer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub &'static str);

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(io::ErrorKind::InvalidData, refused)
    }
}
