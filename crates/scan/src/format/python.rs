//! What pip and pipenv write.

use super::json;
use super::shelf::Shelf;
use crate::package::Kind;

/// Of the head of `METADATA`: fields like a mail's, up to the first empty line.
pub(super) fn read_metadata(text: &str, shelf: &mut Shelf<'_>) {
    let (mut name, mut version) = (None, None);
    for line in text.lines().take_while(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some(("Name", value)) => name = name.or(Some(value.trim())),
            Some(("Version", value)) => version = version.or(Some(value.trim())),
            _ => {}
        }
    }
    shelf.add(Kind::Python, name.unwrap_or_default(), version.unwrap_or_default());
}

/// Pins alone: `name[extra]==1.2 ; marker --hash=…`. Anything else does not say which version is there.
pub(super) fn read_requirements(text: &str, shelf: &mut Shelf<'_>) {
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or(line);
        let pinned = line.split(';').next().and_then(|line| line.split_once("=="));
        let Some((name, version)) = pinned else { continue };
        let name = name.split('[').next().unwrap_or(name).trim();
        let version = version.trim_start_matches('=').split_whitespace().next().unwrap_or_default();
        if !name.starts_with(['#', '-']) && !version.contains(['*', ',']) {
            shelf.add(Kind::Python, name, version.trim_end_matches('\\'));
        }
    }
}

pub(super) fn read_pipfile(text: &str, shelf: &mut Shelf<'_>) -> Result<(), String> {
    json::members(text, &mut |section, packages| {
        if !matches!(section, "default" | "develop") {
            return Ok(());
        }
        json::members(packages.get(), &mut |name, package| {
            json::members(package.get(), &mut |key, value| {
                let version = json::string(value).filter(|_| key == "version");
                if let Some(version) = version.as_deref().and_then(|version| version.strip_prefix("==")) {
                    shelf.add(Kind::Python, name, version);
                }
                Ok(())
            })
        })
    })
}
