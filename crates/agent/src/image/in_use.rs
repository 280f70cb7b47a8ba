//! Which snapshots are mounted: the lower directories in the mount table of any process, whatever its namespace.

use std::collections::HashSet;
use std::path::Path;

/// The overlay mounts of this machine.
pub(super) struct Mounted(Vec<String>);

impl Mounted {
    /// Reads the mount tables of all mount namespaces that have a process. Blocks for some milliseconds.
    pub(super) fn read() -> Self {
        let mut namespaces = HashSet::new();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let tables = processes.filter_map(|process| {
            let namespace = std::fs::read_link(process.path().join("ns/mnt")).ok()?;
            if !namespaces.insert(namespace) {
                return None;
            }
            std::fs::read_to_string(process.path().join("mountinfo")).ok()
        });
        Self(tables.flat_map(|table| overlays(&table)).collect())
    }

    /// Whether an overlay is mounted over `lower`.
    pub(super) fn uses(&self, lower: &Path) -> bool {
        let lower = lower.to_string_lossy();
        let is_whole = |rest: &str| rest.chars().next().is_none_or(|next| matches!(next, ':' | ',' | ' '));
        self.0.iter().any(|line| line.match_indices(&*lower).any(|(at, found)| is_whole(&line[at + found.len()..])))
    }
}

fn overlays(table: &str) -> Vec<String> {
    table.lines().filter(|line| line.contains(" - overlay ")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_directory_is_found_by_its_whole_path() {
        let table = "30 1 0:30 / /m rw - overlay overlay rw,lowerdir=/s/12/fs:/s/1/fs,upperdir=/u,workdir=/w\n\
                     31 1 0:31 / /n rw - ext4 /dev/x rw,lowerdir=/s/77/fs\n\
                     32 1 0:32 / /o rw - overlay none rw,lowerdir+=/s/40/fs";
        let mounted = Mounted(overlays(table));
        for (lower, expected) in
            [("/s/12/fs", true), ("/s/1/fs", true), ("/s/40/fs", true), ("/s/4", false), ("/s/77/fs", false)]
        {
            assert_eq!(mounted.uses(Path::new(lower)), expected, "{lower}");
        }
    }
}
