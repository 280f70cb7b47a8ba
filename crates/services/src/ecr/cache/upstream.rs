//! The registries that may be fetched from: those that ECR knows, and others that the operator names.
//!
//! No caller brings this process to ask anybody else, and no name of ECR's leads elsewhere than it does with AWS, but by the
//! operator's word.

use longshore_api::ecr::UpstreamRegistry as Kind;
use longshore_api::ecr::fault as def;
use longshore_wire::Fault;

use crate::Settings;
use crate::ecr::fault;

/// One that the operator names: a host as rules have it, and the URL where it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub host: String,
    /// Scheme, host and port.
    pub url: String,
}

/// What ECR knows of a registry.
struct Known {
    kind: Kind,
    matches: fn(&str) -> bool,
    /// Nobody is let in without credentials.
    closed: bool,
}

const KNOWN: [Known; 9] = [
    Known { kind: Kind::EcrPublic, matches: |host| host == "public.ecr.aws", closed: false },
    Known { kind: Kind::K8s, matches: |host| host == "registry.k8s.io", closed: false },
    Known { kind: Kind::Quay, matches: |host| host == "quay.io", closed: false },
    Known { kind: Kind::DockerHub, matches: |host| host == "registry-1.docker.io", closed: true },
    Known { kind: Kind::GithubContainerRegistry, matches: |host| host == "ghcr.io", closed: true },
    Known { kind: Kind::GitlabContainerRegistry, matches: |host| host == "registry.gitlab.com", closed: true },
    Known { kind: Kind::Chainguard, matches: |host| host == "cgr.dev", closed: true },
    Known { kind: Kind::AzureContainerRegistry, matches: is_azure, closed: true },
    Known { kind: Kind::Ecr, matches: is_ecr, closed: true },
];

/// `NAME.azurecr.io`
fn is_azure(host: &str) -> bool {
    let name = host.strip_suffix(".azurecr.io").unwrap_or_default();
    (5..=50).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`
fn is_ecr(host: &str) -> bool {
    let named = host.strip_suffix(".amazonaws.com").and_then(|rest| rest.split_once(".dkr.ecr."));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    named.is_some_and(|(account, region)| {
        longshore_model::AccountId::parse(account).is_some() && !region.is_empty() && region.bytes().all(plain)
    })
}

/// A registry that a rule may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What ECR calls it; none for one that the operator alone knows.
    pub kind: Option<Kind>,
    /// Where it answers.
    pub url: String,
    pub needs_credentials: bool,
}

/// The registry at a host, if there may be rules for it.
pub fn find(settings: &Settings, host: &str) -> Option<Found> {
    let known = KNOWN.iter().find(|known| (known.matches)(host));
    let kind = known.map(|known| known.kind);
    let named = settings.upstreams.iter().find(|named| named.host == host);
    match (named, known) {
        (Some(named), _) => Some(Found { kind, url: named.url.clone(), needs_credentials: false }),
        // Who asks AWS says who it is there; there is nobody here who could.
        (None, Some(known)) if known.kind != Kind::Ecr => {
            Some(Found { kind, url: format!("https://{host}"), needs_credentials: known.closed })
        }
        _ => None,
    }
}

/// What a request says of the registry.
///
/// # Errors
/// `UnsupportedUpstreamRegistryException`
pub fn asked(settings: &Settings, host: &str, kind: Option<Kind>, has_credentials: bool) -> Result<Found, Fault> {
    let refuse = |message: String| fault::of(&def::UNSUPPORTED_UPSTREAM_REGISTRY_EXCEPTION, message);
    let Some(found) = find(settings, host) else {
        return Err(refuse(match is_ecr(host) {
            true => format!(
                "The upstream registry URL {host} is a registry at AWS, where nobody here has an identity. Its operator may \
                 name it with --upstream-registry"
            ),
            false => format!(
                "The upstream registry URL {} is invalid. Specify a valid upstream registry URL and try again",
                host.chars().take(253).collect::<String>().escape_debug()
            ),
        }));
    };
    if kind.is_some_and(|kind| found.kind != Some(kind)) {
        return Err(refuse(format!(
            "The upstream registry URL {host} is not one of the upstream registry that is named"
        )));
    }
    match found.needs_credentials && !has_credentials {
        true => {
            let words = "The specified upstream registry requires authentication. Specify a valid Secrets Manager ARN and \
                         try again";
            Err(refuse(words.to_owned()))
        }
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::testing::Bench;

    #[test]
    fn the_registries_that_ecr_knows_are_found() {
        let mut bench = Bench::new();
        let check = |bench: &Bench, host: &str, wanted: Option<(Kind, bool)>| {
            let found = find(&bench.settings, host);
            let found = found.map(|found| (found.kind.unwrap(), found.needs_credentials, found.url));
            let wanted = wanted.map(|(kind, closed)| (kind, closed, format!("https://{host}")));
            assert_eq!(found, wanted, "{host}");
        };
        check(&bench, "public.ecr.aws", Some((Kind::EcrPublic, false)));
        check(&bench, "registry-1.docker.io", Some((Kind::DockerHub, true)));
        check(&bench, "mine1.azurecr.io", Some((Kind::AzureContainerRegistry, true)));
        for host in [
            "",
            "docker.io",
            "https://quay.io",
            "quay.io/x",
            "QUAY.IO",
            "a.azurecr.io",
            "a/b.azurecr.io",
            "evil.example",
            "127.0.0.1",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "quay.io@evil.example",
        ] {
            check(&bench, host, None);
        }
        let url = "http://127.0.0.1:5000".to_owned();
        for host in ["quay.io", "here:5000", "123456789012.dkr.ecr.us-east-1.amazonaws.com"] {
            bench.settings.upstreams.push(Upstream { host: host.to_owned(), url: url.clone() });
            let found = find(&bench.settings, host).unwrap();
            assert_eq!((found.url, found.needs_credentials), (url.clone(), false), "{host}");
        }
    }
}
