//! What a path under `/v2` means.

use longshore_store::blobs::Digest;

/// Characters of a repository's name: ECR's bound.
const LONGEST_NAME: usize = 256;

const LONGEST_TAG: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Is this a registry, and who am I?
    Base,
    Catalog,
    Of {
        name: String,
        what: What,
    },
}

/// What of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Tags,
    Manifest(Reference),
    Referrers(Digest),
    Blob(Digest),
    Uploads,
    Upload(String),
}

/// Which manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Digest(Digest),
    Tag(String),
    /// No image can have such a tag.
    NoTag(String),
}

/// Why a path means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Astray {
    Nowhere,
    Name,
    Digest,
}

/// Reads a path from its end, since a repository may be called what this API has in its paths.
pub(super) fn route(path: &str) -> Result<Route, Astray> {
    let rest = match path.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Route::Base),
        Some(rest) => rest.strip_prefix('/').ok_or(Astray::Nowhere)?,
        None => return Err(Astray::Nowhere),
    };
    if matches!(rest, "_catalog" | "_catalog/") {
        return Ok(Route::Catalog);
    }
    let parts: Vec<&str> = rest.split('/').collect();
    let digest = |text: &str| Digest::parse(&text.replace("%3A", ":").replace("%3a", ":")).map_err(|_| Astray::Digest);
    let (name, what) = match parts.as_slice() {
        [name @ .., "tags", "list"] => (name, What::Tags),
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => (name, What::Uploads),
        [name @ .., "blobs", "uploads", id] => (name, What::Upload((*id).to_owned())),
        [name @ .., "manifests", reference] => (name, What::Manifest(manifest(reference, digest)?)),
        [name @ .., "referrers", subject] => (name, What::Referrers(digest(subject)?)),
        [name @ .., "blobs", blob] => (name, What::Blob(digest(blob)?)),
        _ => return Err(Astray::Nowhere),
    };
    let name = name.join("/");
    if is_name(&name) { Ok(Route::Of { name, what }) } else { Err(Astray::Name) }
}

fn manifest(text: &str, digest: impl Fn(&str) -> Result<Digest, Astray>) -> Result<Reference, Astray> {
    if text.contains([':', '%']) {
        return digest(text).map(Reference::Digest);
    }
    Ok(if is_tag(text) { Reference::Tag(text.to_owned()) } else { Reference::NoTag(text.to_owned()) })
}

/// Parts of lower-case letters and digits, joined by a dot, one or two underscores or dashes, between slashes.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.split('/').all(is_part)
}

fn is_part(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut joints =
        part.split(|letter: char| letter.is_ascii() && alphanumeric(letter as u8)).filter(|joint| !joint.is_empty());
    let is_joint = |joint: &str| matches!(joint, "." | "_" | "__") || joint.bytes().all(|byte| byte == b'-');
    let ends = part.as_bytes().first().into_iter().chain(part.as_bytes().last());
    !part.is_empty() && ends.copied().all(alphanumeric) && joints.all(is_joint)
}

fn is_tag(text: &str) -> bool {
    let within = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let begins = text.as_bytes().first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    begins && text.len() <= LONGEST_TAG && text.bytes().all(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(path: &str, name: &str, what: What) {
        assert_eq!(route(path), Ok(Route::Of { name: name.to_owned(), what }), "{path}");
    }

    fn astray(path: &str, wanted: Astray) {
        assert_eq!(route(path), Err(wanted), "{path}");
    }

    #[test]
    fn paths_are_read_from_their_end() {
        let digest = Digest::parse(&format!("sha256:{HEX}")).unwrap();
        assert_eq!((route("/v2"), route("/v2/")), (Ok(Route::Base), Ok(Route::Base)));
        assert_eq!(route("/v2/_catalog"), Ok(Route::Catalog));
        check("/v2/web/tags/list", "web", What::Tags);
        check("/v2/team/web/manifests/v1.0", "team/web", What::Manifest(Reference::Tag("v1.0".to_owned())));
        check("/v2/web/manifests/.x", "web", What::Manifest(Reference::NoTag(".x".to_owned())));
        for colon in [":", "%3A", "%3a"] {
            let (manifest, blob) =
                (format!("/v2/a/manifests/sha256{colon}{HEX}"), format!("/v2/a/blobs/sha256{colon}{HEX}"));
            check(&manifest, "a", What::Manifest(Reference::Digest(digest.clone())));
            check(&blob, "a", What::Blob(digest.clone()));
        }
        check(&format!("/v2/a/referrers/sha256:{HEX}"), "a", What::Referrers(digest.clone()));
        check("/v2/a/blobs/uploads/", "a", What::Uploads);
        check("/v2/a/blobs/uploads", "a", What::Uploads);
        check("/v2/a/blobs/uploads/x", "a", What::Upload("x".to_owned()));
        check("/v2/tags/list/tags/list", "tags/list", What::Tags);
        check("/v2/blobs/uploads/blobs/uploads/", "blobs/uploads", What::Uploads);
        check(
            "/v2/a/manifests/manifests/manifests",
            "a/manifests",
            What::Manifest(Reference::Tag("manifests".to_owned())),
        );
    }

    #[test]
    fn what_means_nothing_says_why() {
        for path in ["/v2x", "/v1/", "/v2//", "/v2/a", "/v2/a/b/c", "/v2/a/tags", "/v2/a/blobs/x/y", "/"] {
            astray(path, Astray::Nowhere);
        }
        for path in [
            "/v2/a/blobs/x",
            "/v2/a/blobs/sha256:",
            "/v2/a/manifests/sha256:00",
            "/v2/a/referrers/x",
            "/v2/a/manifests/a%2Fb",
        ] {
            astray(path, Astray::Digest);
        }
        astray(&format!("/v2/a/blobs/sha256:{}", HEX.to_uppercase()), Astray::Digest);
        let long = "a".repeat(257);
        for name in [
            "A", "..", "a/..", "a//b", "a/", "/a", "-a", "a-", "a..b", "a___b", "_a", "a%2Fb", "%61", "é", "", &long,
            "_catalog",
        ] {
            astray(&format!("/v2/{name}/tags/list"), Astray::Name);
        }
        for name in ["a", "a__b", "a---b", "a.b/c_d", &long[1..]] {
            check(&format!("/v2/{name}/tags/list"), name, What::Tags);
        }
        astray("/v2/tags/list", Astray::Name);
    }

    #[test]
    fn a_tag_has_a_length_and_letters() {
        let longest = "a".repeat(128);
        for tag in ["a", "_", "A.b-c_9", &longest] {
            assert!(is_tag(tag), "{tag}");
        }
        for tag in ["", ".a", "-a", "a/b", "a b", "é", &format!("{longest}a")] {
            assert!(!is_tag(tag), "{tag}");
        }
    }
}
