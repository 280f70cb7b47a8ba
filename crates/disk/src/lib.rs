//! A simulated disk that SQLite can be put on: development only.
//!
//! ```text
//!   SQLite ─► file system of ours (vfs) ─► Disk: files in memory, each a synced image and what was written since
//!                                            └─► crash(dice): a disk as it may be found after a power cut
//! ```
//! After a power cut each piece that was written and not synced may be there, may be missing, or may be torn at a sector;
//! pieces reach the disk in any order. A sync that failed is never made good: what it should have written may be missing
//! for ever, even if a later sync succeeds. A file that was never synced may not exist; one that was deleted may be back, until a new
//! file is synced, and with it the directory.
//!
//! Left out: locks (a disk has one user), shared memory (SQLite must be in exclusive locking mode), bit rot, and disks that
//! tear within a sector or harm bytes beside those written.

mod medium;
mod vfs;

pub use medium::{Disk, Trouble};

impl Disk {
    /// What to give SQLite as the path of the database `name` on this disk. The disk must outlive the connection's
    /// opening, not the connection.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        vfs::path(self, name)
    }
}
