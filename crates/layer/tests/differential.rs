//! What the reader lets through, GNU tar and Python's `tarfile` find as well, entry for entry. (containerd's own word is with
//! the agent's tests of images, which have one.) Needs `tar` and `python3`.

mod made;

use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_layer::{Archive, Kind};
use serde_json::Value;

const ARCHIVES: u64 = 1500;

/// Type, name, size and target.
type Line = (char, String, u64, String);

/// Lists what each archive of a directory holds, as JSON: a list, or null where it cannot be read.
const PYTHON: &str = r#"
import json, os, sys, tarfile

def kind(member):
    for mark, of in (("h", member.islnk()), ("l", member.issym()), ("d", member.isdir()), ("p", member.isfifo()), ("-", member.isreg())):
        if of:
            return mark
    return "?"

def lines(path):
    try:
        with tarfile.open(path, "r:") as archive:
            return [[kind(m), m.name, m.size if m.isreg() else 0, m.linkname if m.islnk() or m.issym() else ""] for m in archive]
    except tarfile.TarError:
        return None

print(json.dumps({name: lines(os.path.join(sys.argv[1], name)) for name in os.listdir(sys.argv[1])}))
"#;

/// A directory that goes when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("longshore-layer-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// What we find; `None` if we refuse it, or if nobody would unpack it.
fn ours(bytes: &[u8]) -> Option<Vec<Line>> {
    let mut archive = Archive::new(bytes);
    let mut lines = Vec::new();
    while let Some(entry) = archive.next_entry().ok()? {
        let kind = match entry.kind {
            Kind::File => '-',
            Kind::HardLink => 'h',
            Kind::SymbolicLink => 'l',
            Kind::Directory => 'd',
            Kind::Fifo => 'p',
            Kind::Global => continue,
            _ => return None,
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end_matches('/').to_owned();
        let link = if matches!(kind, 'h' | 'l') { text(entry.link) } else { String::new() };
        lines.push((kind, text(entry.name), entry.size, link));
    }
    Some(lines)
}

fn pythons(directory: &Path) -> Value {
    let output = Command::new("python3").args(["-c", PYTHON]).arg(directory).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn of_python(list: &Value) -> Option<Vec<Line>> {
    let text = |value: &Value| value.as_str().unwrap().trim_end_matches('/').to_owned();
    let line = |line: &Value| {
        (text(&line[0]).chars().next().unwrap(), text(&line[1]), line[2].as_u64().unwrap(), text(&line[3]))
    };
    Some(list.as_array()?.iter().map(line).collect())
}

fn of_tar(path: &Path) -> Option<Vec<Line>> {
    let verbose = ["--list", "--verbose", "--numeric-owner", "--full-time", "--utc", "--quoting-style=c", "--file"];
    let output = Command::new("tar").env("LC_ALL", "C").args(verbose).arg(path).output().expect("tar");
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.lines().map(of_line).collect())
}

/// `-rwxr-xr-x 0/0   3 1970-01-01 00:00:00 "name" -> "target"`.
fn of_line(line: &str) -> Line {
    let (head, names) = line.split_once('"').unwrap();
    let words: Vec<&str> = head.split_whitespace().collect();
    let mut names = names.split('"');
    let mut name = |at| names.nth(at).unwrap_or_default().trim_end_matches('/').to_owned();
    (line.chars().next().unwrap(), name(0), words[2].parse().unwrap(), name(1))
}

#[test]
fn what_is_let_through_other_readers_find_as_well() {
    let directory = Directory::new();
    let path = |seed: u64| directory.0.join(format!("{seed}.tar"));
    for seed in 0..ARCHIVES {
        std::fs::write(path(seed), made::archive(seed)).unwrap();
    }
    let pythons = pythons(&directory.0);
    let mut compared = 0;
    for seed in 0..ARCHIVES {
        let Some(ours) = ours(&made::archive(seed)) else { continue };
        compared += 1;
        let python = of_python(&pythons[format!("{seed}.tar")]);
        assert_eq!(Some(&ours), python.as_ref(), "Python's, seed {seed}");
        assert_eq!(Some(&ours), of_tar(&path(seed)).as_ref(), "GNU tar's, seed {seed}");
    }
    // Neither is all refused nor is nothing.
    assert!((ARCHIVES / 10..ARCHIVES * 9 / 10).contains(&compared), "{compared} of {ARCHIVES}");
}
