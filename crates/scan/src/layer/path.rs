//! Paths of layers, and what their names ask for.

use std::io;

use super::budget::Exceeded;

/// What a whiteout takes away from the layers below.
#[derive(Debug, PartialEq)]
pub(super) enum Whiteout {
    /// A file, or a directory with all in it.
    Tree(Vec<u8>),
    /// All that is in a directory.
    Content(Vec<u8>),
    /// It means nothing to the files of an image.
    Nothing,
}

/// The path as one from the image's root, without `.` and `..`; empty for the root itself. What climbs above the root stays
/// in it, as it does for whoever unpacks the layer.
pub(super) fn clean(path: &[u8], most: usize) -> io::Result<Vec<u8>> {
    if path.len() > most {
        return Err(Exceeded::Path.into());
    }
    Ok(cleaned(path))
}

/// The path as [`clean`] has it, however long.
pub(super) fn cleaned(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Where a symbolic link leads to, as a path from the image's root, other links aside.
pub(super) fn target(path: &[u8], link: &[u8]) -> Vec<u8> {
    let above = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |slash| &path[..slash]);
    let from = if link.starts_with(b"/") { b"" } else { above };
    cleaned(&[from, b"/", link].concat())
}

/// What an entry of this path takes away, if it is a whiteout.
pub(super) fn whiteout(path: &[u8]) -> Option<Whiteout> {
    let cut = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (directory, name) = path.split_at(cut);
    let hidden = name.strip_prefix(b".wh.")?;
    let whiteout = match hidden {
        b".wh..opq" => Whiteout::Content(directory.strip_suffix(b"/").unwrap_or(directory).to_vec()),
        // `.wh...` would take away the directory that it lies in, or one above.
        b"" | b"." | b".." => Whiteout::Nothing,
        // Marks of the file system that whiteouts come from.
        hidden if hidden.starts_with(b".wh.") => Whiteout::Nothing,
        hidden => Whiteout::Tree([directory, hidden].concat()),
    };
    Some(whiteout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_root() {
        let rows = [
            ("./var/lib/dpkg/status", "var/lib/dpkg/status"),
            ("/etc//os-release", "etc/os-release"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/../../b/./c/", "b/c"),
            ("./", ""),
        ];
        for (path, expected) in rows {
            assert_eq!(clean(path.as_bytes(), 4096).unwrap(), expected.as_bytes(), "{path}");
        }
        assert!(clean(&[b'a'; 4097], 4096).is_err());
    }

    #[test]
    fn links_lead_from_where_they_lie() {
        let rows = [
            ("var/lib/rpm", "../../usr/lib/sysimage/rpm", "usr/lib/sysimage/rpm"),
            ("lib", "usr/lib", "usr/lib"),
            ("var/lib/dpkg", "/opt/dpkg", "opt/dpkg"),
            ("a", "../../b/./c/", "b/c"),
        ];
        for (path, link, expected) in rows {
            assert_eq!(target(path.as_bytes(), link.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn whiteouts_take_away_what_they_name() {
        let tree = |path: &str| Some(Whiteout::Tree(path.into()));
        let content = |path: &str| Some(Whiteout::Content(path.into()));
        let rows = [
            ("a/b", None),
            ("a/.wh.b", tree("a/b")),
            (".wh.b", tree("b")),
            ("a/b/.wh..wh..opq", content("a/b")),
            (".wh..wh..opq", content("")),
            ("a/.wh.", Some(Whiteout::Nothing)),
            ("a/.wh...", Some(Whiteout::Nothing)),
            ("a/.wh..", Some(Whiteout::Nothing)),
            ("a/.wh..wh.plnk", Some(Whiteout::Nothing)),
        ];
        for (path, expected) in rows {
            assert_eq!(whiteout(path.as_bytes()), expected, "{path}");
        }
    }
}
