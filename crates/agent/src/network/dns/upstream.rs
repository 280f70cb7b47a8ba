//! The host's nameservers, read again whenever the file that names them changes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

const DNS_PORT: u16 = 53;
/// As many as glibc reads.
const LIMIT: usize = 3;

/// Nameservers out of a `resolv.conf`.
pub(super) struct Upstreams {
    path: PathBuf,
    read: Mutex<(Option<Stamp>, Vec<SocketAddr>)>,
}

/// What changes when the file does: device, inode, size, time of change in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl Upstreams {
    pub(super) fn new(path: PathBuf) -> Self {
        Upstreams { path, read: Mutex::default() }
    }

    /// The nameservers of now; none if there is no file.
    pub(super) fn current(&self) -> Vec<SocketAddr> {
        let stamp = fs::metadata(&self.path)
            .ok()
            .map(|found| (found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()));
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.0 != stamp || stamp.is_none() {
            *read = (stamp, parse(&fs::read_to_string(&self.path).unwrap_or_default()));
        }
        read.1.clone()
    }
}

/// The address to send from in order to reach `upstream`.
pub(super) fn any_address(upstream: SocketAddr) -> SocketAddr {
    match upstream {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse::<IpAddr>().ok())?
    });
    addresses.take(LIMIT).map(|ip| (ip, DNS_PORT).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_are_read_in_order() {
        let text = "# nameserver 1.1.1.1\nsearch a b\n nameserver\t10.0.0.1 \nnameserver x\nnameserver ::1\nnameserver";
        assert_eq!(parse(text), ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let path = std::env::temp_dir().join(format!("longshore-resolv-{}", std::process::id()));
        let upstreams = Upstreams::new(path.clone());
        assert!(upstreams.current().is_empty());
        for ip in ["10.0.0.1", "10.0.0.254"] {
            fs::write(&path, format!("nameserver {ip}\n")).unwrap();
            assert_eq!(upstreams.current(), [SocketAddr::new(ip.parse().unwrap(), 53)]);
        }
        fs::remove_file(&path).unwrap();
        assert!(upstreams.current().is_empty());
    }
}
