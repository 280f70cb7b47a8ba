//! An image's packages as a bill of materials: CycloneDX 1.6 in JSON (<https://cyclonedx.org/docs/1.6/json/>).

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::{Value, json};

use crate::package::{Contents, Package};
use crate::purl::purl;
use crate::{Error, Limits, read_layers};

/// What a bill says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// A UUID, without `urn:uuid:`.
    pub serial: String,
    /// RFC 3339.
    pub timestamp: String,
    /// What the image is called: `repository`.
    pub name: String,
    /// Which image of that name: its digest.
    pub version: String,
}

/// The bill of materials of an image whose layers come lowest first, with their media types. The same layers give the same bytes.
///
/// # Errors
/// Those of [`read_layers`].
pub fn sbom<R: Read>(
    layers: impl IntoIterator<Item = (String, R)>,
    limits: &Limits,
    document: &Document,
) -> Result<String, Error> {
    Ok(write(&read_layers(layers, limits)?, document))
}

pub(crate) fn write(contents: &Contents, document: &Document) -> String {
    let distribution = contents.distribution.as_ref();
    // A package that is in several places is one component with several occurrences.
    let mut places: BTreeMap<String, Vec<&Package>> = BTreeMap::new();
    for package in &contents.packages {
        places.entry(purl(package, distribution)).or_default().push(package);
    }
    let image = format!("image:{}@{}", document.name, document.version);
    let parts: Vec<&String> = places.keys().collect();
    let system = distribution.map(|distribution| {
        let reference = format!("os:{}", distribution.name());
        let mut system = json!({"type": "operating-system", "bom-ref": reference, "name": distribution.id});
        if let Some(version) = &distribution.version {
            system["version"] = json!(version);
        }
        if let Some(name) = &distribution.pretty_name {
            system["description"] = json!(name);
        }
        system
    });
    let components = places.iter().map(|(purl, packages)| component(purl, packages));
    let components: Vec<Value> = system.into_iter().chain(components).collect();
    let mut bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", document.serial),
        "version": 1,
        "metadata": {
            "timestamp": document.timestamp,
            "tools": {"components": [
                {"type": "application", "name": "longshore", "version": env!("CARGO_PKG_VERSION")},
            ]},
            "component": {"type": "container", "bom-ref": image, "name": document.name, "version": document.version},
        },
        "components": components,
        "dependencies": [{"ref": image, "dependsOn": parts}],
    });
    // What is not known is said where readers of bills look for what is missing.
    if contents.packages.is_empty() {
        bill["compositions"] = json!([{"aggregate": "unknown", "assemblies": [image]}]);
    }
    if !contents.problems.is_empty() {
        bill["compositions"] = json!([{"aggregate": "incomplete", "assemblies": [image]}]);
        let unread = contents.problems.iter();
        bill["metadata"]["properties"] = unread
            .map(|of| json!({"name": "longshore:unread", "value": format!("{}: {}", of.path, of.reason)}))
            .collect();
    }
    format!("{bill:#}")
}

fn component(purl: &str, packages: &[&Package]) -> Value {
    let package = packages[0];
    let places: Vec<Value> = packages.iter().map(|package| json!({"location": &*package.path})).collect();
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "evidence": {"occurrences": places},
    });
    if let Some(source) = &package.source {
        component["properties"] = json!([
            {"name": "longshore:source", "value": source.name},
            {"name": "longshore:source-version", "value": source.version},
        ]);
    }
    component
}

#[cfg(test)]
mod tests;
