//! Dpkg's list of packages: paragraphs of fields, an empty line between them. Distroless images have a file for each package.

use super::shelf::Shelf;
use crate::package::Kind;

#[derive(Default)]
struct Paragraph<'a> {
    package: Option<&'a str>,
    version: Option<&'a str>,
    architecture: Option<&'a str>,
    source: Option<&'a str>,
    status: Option<&'a str>,
}

pub(super) fn read(text: &str, shelf: &mut Shelf<'_>) {
    let mut paragraph = Paragraph::default();
    for line in text.lines().chain([""]) {
        if line.trim_end().is_empty() {
            std::mem::take(&mut paragraph).put(shelf);
        } else if !line.starts_with([' ', '\t']) {
            paragraph.read(line);
        }
    }
}

impl<'a> Paragraph<'a> {
    fn read(&mut self, line: &'a str) {
        let Some((field, value)) = line.split_once(':') else { return };
        let place = match field.to_ascii_lowercase().as_str() {
            "package" => &mut self.package,
            "version" => &mut self.version,
            "architecture" => &mut self.architecture,
            "source" => &mut self.source,
            "status" => &mut self.status,
            _ => return,
        };
        *place = Some(value.trim());
    }

    fn put(self, shelf: &mut Shelf<'_>) {
        let Some(name) = self.package else { return };
        if self.status.is_some_and(|status| !is_unpacked(status)) {
            return;
        }
        let version = self.version.unwrap_or_default();
        shelf.add_whole(Kind::Deb, name, version, self.source.map(|of| source(of, version)), self.architecture);
    }
}

/// Whether files of it are there: the third word is what became of it.
fn is_unpacked(status: &str) -> bool {
    !matches!(status.split_whitespace().nth(2), Some("not-installed" | "config-files"))
}

/// `name (version)`, or a name alone if the version is the package's.
fn source<'a>(field: &'a str, version: &'a str) -> (&'a str, &'a str) {
    match field.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end().trim_end_matches(')').trim()),
        None => (field, version),
    }
}
