//! Composer's lock file, and its list of what is installed.

use serde_json::value::RawValue;

use super::json;
use super::shelf::Shelf;
use crate::package::Kind;

type Told = Result<(), String>;

/// Composer 1 has the list of what is installed without an object around it.
pub(super) fn read(text: &str, shelf: &mut Shelf<'_>) -> Told {
    if text.trim_start().starts_with('[') {
        return json::elements(text, &mut |package| read_package(package, shelf));
    }
    json::members(text, &mut |key, value| match key {
        "packages" | "packages-dev" => json::elements(value.get(), &mut |package| read_package(package, shelf)),
        _ => Ok(()),
    })
}

fn read_package(package: &RawValue, shelf: &mut Shelf<'_>) -> Told {
    let (mut name, mut version) = (None, None);
    json::members(package.get(), &mut |key, value| {
        match key {
            "name" => name = json::string(value),
            "version" => version = json::string(value),
            _ => {}
        }
        Ok(())
    })?;
    if let (Some(name), Some(version)) = (name, version) {
        // Of a branch it is not known which version it is.
        if !version.starts_with("dev-") {
            shelf.add(Kind::Composer, &name, version.strip_prefix('v').unwrap_or(&version));
        }
    }
    Ok(())
}
