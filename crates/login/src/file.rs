//! Files with credentials.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Most bytes of such a file.
const LARGEST: u64 = 1024 * 1024;

/// The text of a file that nobody but its owner has access to, if there is one. Mode and size are those of the file that was
/// opened; a pipe does not block.
///
/// # Errors
/// In a few words, which quote nothing of it: if it cannot be read, others may have access to it, or it is larger than 1 MiB.
pub fn private_file(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let file = match File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(format!("others may have access to it (mode {:04o}); chmod 600 it", metadata.mode() & 0o7777));
    }
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST { Err(format!("it is larger than {LARGEST} bytes")) } else { Ok(Some(text)) }
}
