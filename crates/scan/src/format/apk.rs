//! Apk's list of packages: paragraphs of fields with one letter each.

use super::shelf::Shelf;
use crate::package::Kind;

#[derive(Default)]
struct Paragraph<'a> {
    package: Option<&'a str>,
    version: Option<&'a str>,
    architecture: Option<&'a str>,
    origin: Option<&'a str>,
}

pub(super) fn read(text: &str, shelf: &mut Shelf<'_>) {
    let mut paragraph = Paragraph::default();
    for line in text.lines().chain([""]) {
        let line = line.trim_end();
        match line.split_once(':') {
            Some(("P", value)) => paragraph.package = Some(value),
            Some(("V", value)) => paragraph.version = Some(value),
            Some(("A", value)) => paragraph.architecture = Some(value),
            Some(("o", value)) => paragraph.origin = Some(value),
            None if line.is_empty() => std::mem::take(&mut paragraph).put(shelf),
            _ => {}
        }
    }
}

impl Paragraph<'_> {
    fn put(self, shelf: &mut Shelf<'_>) {
        let Some(name) = self.package else { return };
        let version = self.version.unwrap_or_default();
        shelf.add_whole(Kind::Apk, name, version, self.origin.map(|of| (of, version)), self.architecture);
    }
}
