//! A bill for an image that the test makes, and its shape.

use serde_json::Value;

use super::*;

fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn document() -> Document {
    Document {
        serial: "3e671687-395b-41f5-a30f-a58921a69b79".to_owned(),
        timestamp: "2024-01-02T03:04:05Z".to_owned(),
        name: "web".to_owned(),
        version: "sha256:00".to_owned(),
    }
}

fn bill(files: &[(&str, &str)]) -> Value {
    let layer = layer(files);
    let text = sbom([(String::new(), layer.as_slice())], &Limits::default(), &document()).unwrap();
    assert_eq!(text, sbom([(String::new(), layer.as_slice())], &Limits::default(), &document()).unwrap());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn an_image_has_a_bill_of_materials() {
    let bill = bill(&[
        ("usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n"),
        ("var/lib/dpkg/status", "Package: libssl3\nArchitecture: amd64\nSource: openssl\nVersion: 3.0.11-1\n\n"),
        ("a/requirements.txt", "flask==1.0\n"),
        ("b/requirements.txt", "flask==1.0\n"),
    ]);
    assert_eq!((bill["bomFormat"].as_str(), bill["specVersion"].as_str()), (Some("CycloneDX"), Some("1.6")));
    assert_eq!(bill["serialNumber"], "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79");
    assert_eq!(bill["metadata"]["component"]["type"], "container");
    let components = bill["components"].as_array().unwrap();
    let references: Vec<&str> = components.iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
    let expected =
        ["os:Debian 12", "pkg:deb/debian/libssl3@3.0.11-1?arch=amd64&distro=debian-12", "pkg:pypi/flask@1.0"];
    assert_eq!(references, expected);
    assert_eq!(components[1]["properties"][0]["value"], "openssl");
    assert_eq!(components[2]["evidence"]["occurrences"][1]["location"], "b/requirements.txt");
    assert_eq!(bill["dependencies"][0]["dependsOn"].as_array().unwrap().len(), 2);
    assert!(bill.get("compositions").is_none());
}

#[test]
fn what_was_not_read_is_in_the_bill() {
    let bill = bill(&[("var/lib/rpm/Packages", "x")]);
    assert_eq!(bill["compositions"][0]["aggregate"], "incomplete");
    let told = bill["metadata"]["properties"][0]["value"].as_str().unwrap();
    assert!(told.starts_with("var/lib/rpm/Packages: unsupported rpm database"), "{told}");
}

#[test]
fn an_image_without_packages_is_not_said_to_have_none() {
    let bill = bill(&[("bin/true", "x")]);
    assert_eq!(bill["components"].as_array().map(Vec::len), Some(0));
    assert_eq!(bill["compositions"][0]["aggregate"], "unknown");
}
