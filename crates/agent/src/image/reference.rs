//! Names of images: what a user writes, and the one full form of it that containerd knows the image by.

use std::fmt;

use oci_spec::distribution::Reference;

use super::document::Digest;
use super::error::Error;

/// Longest reference that is looked at.
const LONGEST: usize = 1024;

/// A checked image reference in its full form.
///
/// `nginx` becomes `docker.io/library/nginx:latest`. A reference with a digest names that content whatever its tag says,
/// so the tag is dropped: `repo:1@sha256:…` and `repo@sha256:…` are the same name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    registry: String,
    repository: String,
    version: Version,
}

/// The part of a reference after the repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Version {
    Tag(String),
    Digest(Digest),
}

impl Name {
    /// Reads a reference as `docker pull` does.
    ///
    /// # Errors
    /// `Reference` for anything that is not one: upper case in the repository, `..`, digests but sha256, empty parts.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Reference { reference: text.chars().take(80).collect(), reason };
        if text.len() > LONGEST {
            return Err(refuse(format!("longer than {LONGEST} characters")));
        }
        let reference = Reference::try_from(text).map_err(|error| refuse(error.to_string()))?;
        let version = match reference.digest() {
            Some(digest) => Version::Digest(Digest::parse(digest).map_err(|error| refuse(error.to_string()))?),
            None => Version::Tag(reference.tag().unwrap_or("latest").to_owned()),
        };
        Ok(Self { registry: reference.registry().to_owned(), repository: reference.repository().to_owned(), version })
    }

    /// Host and port of the registry: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path of the repository in its registry: `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest, when the reference has one.
    pub fn digest(&self) -> Option<&Digest> {
        match &self.version {
            Version::Digest(digest) => Some(digest),
            Version::Tag(_) => None,
        }
    }

    /// The tag, when the reference has no digest.
    pub fn tag(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(tag) => Some(tag),
            Version::Digest(_) => None,
        }
    }

    /// The name of this content in the same repository.
    pub(super) fn by_digest(&self, digest: Digest) -> Self {
        Self { version: Version::Digest(digest), ..self.clone() }
    }

    /// As a user would write it: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        short.strip_prefix("library/").unwrap_or(short).to_owned()
    }

    /// Whether `other` is in the same repository of the same registry.
    pub(super) fn is_sibling(&self, other: &Name) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }

    /// What stands in a registry's URL for the manifest: the digest or the tag.
    pub(super) fn version(&self) -> String {
        match &self.version {
            Version::Tag(tag) => tag.clone(),
            Version::Digest(digest) => digest.to_string(),
        }
    }

    /// Whether the registry is this machine, where plain HTTP is spoken.
    pub(super) fn is_loopback(&self) -> bool {
        let host = match self.registry.rsplit_once(':') {
            Some((host, _)) => host,
            None => &self.registry,
        };
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(formatter, "{}/{}:{tag}", self.registry, self.repository),
            Version::Digest(digest) => {
                write!(formatter, "{}/{}@{digest}", self.registry, self.repository)
            }
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn references_take_their_full_form() {
        let digest = format!("sha256:{HEX}");
        let rows = [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("nginx:1.27", "docker.io/library/nginx:1.27".to_owned()),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
            ("me/app:1", "docker.io/me/app:1".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t".to_owned()),
            ("public.ecr.aws/nginx/nginx:latest", "public.ecr.aws/nginx/nginx:latest".to_owned()),
            (&format!("registry:5000/app:2@{digest}"), format!("registry:5000/app@{digest}")),
            (&format!("nginx@{digest}"), format!("docker.io/library/nginx@{digest}")),
        ];
        for (given, full) in rows {
            assert_eq!(Name::parse(given).unwrap().to_string(), full, "{given}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = "a".repeat(2000);
        let short_digest = format!("nginx@sha256:{}", &HEX[1..]);
        let sha512 = format!("nginx@sha512:{HEX}{HEX}");
        let upper = format!("nginx@sha256:{}", HEX.to_uppercase());
        let rows = [
            "",
            " ",
            "Nginx",
            "a//b",
            "../x",
            "a/../b",
            "a:b:c",
            "a@b",
            "-x/y",
            "nginx:",
            "nginx:.tag",
            "a b",
            "a\0b",
            "nginx:<script>",
            "https://host/x",
            &long,
            &short_digest,
            &sha512,
            &upper,
        ];
        for given in rows {
            let answer = Name::parse(given);
            assert!(matches!(answer, Err(Error::Reference { .. })), "{given:?}: {answer:?}");
        }
    }

    #[test]
    fn familiar_names_are_short() {
        assert_eq!(Name::parse("nginx").unwrap().familiar(), "nginx:latest");
        assert_eq!(Name::parse("me/app").unwrap().familiar(), "me/app:latest");
        assert_eq!(Name::parse("localhost:5000/app").unwrap().familiar(), "localhost:5000/app:latest");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (given, expected) in [
            ("localhost:5000/a", true),
            ("127.0.0.1:5000/a", true),
            ("127.9.9.9:1/a", true),
            ("10.0.0.1:5000/a", false),
            ("localhost.example:5000/a", false),
            ("nginx", false),
        ] {
            assert_eq!(Name::parse(given).unwrap().is_loopback(), expected, "{given}");
        }
    }
}
