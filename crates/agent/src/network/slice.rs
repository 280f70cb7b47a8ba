//! Which addresses of this machine an instance uses: one of 256 slices of 198.18.0.0/15, the block set aside for networks
//! that are nobody else's business.
//!
//! Slice *n* is the transit pair 198.18.*n*.0/31 and the public pool 198.19.*n*.0/24. Holders are written down below
//! `/run/longshore/network`, one file a slice with the instance in it, under a lock, so that instances that live side by
//! side never collide; a slice whose addresses the host routes elsewhere is passed over. The same directory keeps what the
//! host's settings were before the first instance came.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use nix::fcntl::{Flock, FlockArg};

use super::error::{Doing, Error};
use super::names::Names;
use super::namespace;

const DIRECTORY: &str = "/run/longshore/network";
const PREFIX: &str = "slice-";

/// All slices.
pub(super) fn block() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15)
}

/// One slice of the machine's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice(pub(super) u8);

impl Slice {
    /// The host's end of the transit link.
    pub(super) fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.0, 0)
    }

    /// The router's end of the transit link.
    pub(super) fn router(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.0, 1)
    }

    /// The block of both ends.
    pub(super) fn transit(self) -> Ipv4Net {
        Ipv4Net::new_assert(self.host(), 31)
    }

    /// The addresses that tasks with a public address get theirs from.
    pub(super) fn public(self) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(198, 19, self.0, 0), 24)
    }

    /// Whether a block takes addresses of this slice. Blocks wider than a /24 give way to our narrower routes.
    pub(super) fn collides(self, block: Ipv4Net) -> bool {
        let overlaps = |ours: Ipv4Net| block.contains(&ours.network()) || ours.contains(&block.network());
        block.prefix_len() >= 24 && (overlaps(self.transit()) || overlaps(self.public()))
    }
}

/// The register of slices, locked as long as this lives.
pub(super) struct Register {
    directory: PathBuf,
    _lock: Flock<File>,
}

impl Register {
    /// Waits for the lock.
    pub(super) fn open() -> Result<Self, Error> {
        let directory = PathBuf::from(DIRECTORY);
        fs::create_dir_all(&directory).doing(|| format!("make {DIRECTORY}"))?;
        let path = directory.join("lock");
        let file = File::create(&path).doing(|| format!("open {}", path.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| Error::system(format!("lock {}", path.display()), errno))?;
        Ok(Register { directory, _lock: lock })
    }

    /// The slice the instance holds, or one it takes now: `preferred` if that is free, else the next that is.
    /// `routed` says whether the host routes the addresses of a slice elsewhere.
    pub(super) fn claim(&self, names: &Names, preferred: u8, routed: impl Fn(Slice) -> bool) -> Result<Slice, Error> {
        let held = self.held()?;
        if let Some((slice, _)) = held.iter().find(|(_, holder)| *holder == names.instance) {
            return Ok(*slice);
        }
        let candidates = (0..=u8::MAX).map(|step| Slice(preferred.wrapping_add(step)));
        let free = |slice: &Slice| !held.iter().any(|(other, _)| other == slice) && !routed(*slice);
        let slice = candidates.into_iter().find(free).ok_or(Error::NoSlice)?;
        let path = self.path(slice);
        fs::write(&path, &names.instance).doing(|| format!("write {}", path.display()))?;
        Ok(slice)
    }

    /// Gives back what the instance holds. Fine if it holds nothing.
    pub(super) fn release(&self, names: &Names) -> Result<(), Error> {
        for (slice, holder) in self.read()? {
            if holder == names.instance {
                remove(&self.path(slice))?;
            }
        }
        Ok(())
    }

    /// Whether nobody holds a slice any more.
    pub(super) fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.held()?.is_empty())
    }

    /// Keeps what a setting of the host was, unless an earlier value is kept already.
    pub(super) fn remember(&self, setting: &str, value: &str) -> Result<(), Error> {
        let path = self.before(setting);
        if path.exists() {
            return Ok(());
        }
        fs::write(&path, value).doing(|| format!("write {}", path.display()))
    }

    /// What a setting was before; forgets it.
    pub(super) fn recall(&self, setting: &str) -> Result<Option<String>, Error> {
        let path = self.before(setting);
        let Ok(value) = fs::read_to_string(&path) else {
            return Ok(None);
        };
        remove(&path)?;
        Ok(Some(value))
    }

    /// Removes the register itself, lock and all. Only for the last instance.
    pub(super) fn dissolve(self) -> Result<(), Error> {
        remove(&self.directory.join("lock"))?;
        for directory in [self.directory.as_path(), Path::new("/run/longshore")] {
            match fs::remove_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
                other => other.doing(|| format!("remove {}", directory.display()))?,
            }
        }
        Ok(())
    }

    /// Slices with holders that still have their router; what others left half torn down is cleared away.
    fn held(&self) -> Result<Vec<(Slice, String)>, Error> {
        let mut held = Vec::new();
        for (slice, holder) in self.read()? {
            let alive = Names::new(&holder).is_ok_and(|names| namespace::is_pinned(&names.router()));
            if alive {
                held.push((slice, holder));
            } else {
                remove(&self.path(slice))?;
            }
        }
        Ok(held)
    }

    fn read(&self) -> Result<Vec<(Slice, String)>, Error> {
        let doing = || format!("read {}", self.directory.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).doing(doing)? {
            let name = entry.doing(doing)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|text| text.parse().ok());
            let Some(slice) = number.map(Slice) else {
                continue;
            };
            found.push((slice, fs::read_to_string(self.path(slice)).doing(doing)?));
        }
        Ok(found)
    }

    fn path(&self, slice: Slice) -> PathBuf {
        self.directory.join(format!("{PREFIX}{}", slice.0))
    }

    fn before(&self, setting: &str) -> PathBuf {
        self.directory.join(format!("before-{}", setting.replace('/', ".")))
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::system(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_collides_with_narrow_routes_to_its_addresses_only() {
        let slice = Slice(7);
        let check = |block: &str| slice.collides(block.parse().unwrap());
        assert!(check("198.19.7.0/24"));
        assert!(check("198.19.7.128/25"));
        assert!(check("198.18.7.0/24"));
        assert!(check("198.18.7.1/32"));
        assert!(!check("198.18.7.2/31"));
        assert!(!check("198.19.8.0/24"));
        assert!(!check("198.18.0.0/15"));
        assert!(!check("10.0.0.0/24"));
    }
}
