//! What nobody can guess.

use std::fs::File;
use std::io::{self, Read as _};

/// So many bytes of the kernel's.
///
/// # Errors
/// When the kernel gives none.
pub(crate) fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
