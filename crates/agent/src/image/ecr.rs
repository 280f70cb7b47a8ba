//! Names of images that are in this installation's ECR. They lead to the control plane, whatever a resolver would make of
//! them, in plain HTTP as everything between a node and its control plane.
//!
//! ```text
//!   ACCOUNT.dkr.ecr.REGION.localhost[:PORT]/…       any region
//!   ACCOUNT.dkr.ecr.REGION.amazonaws.com/…          of this region, as AWS's guides print it
//!   localhost:PORT/… │ 127.0.0.1:PORT/…             of the control plane's port, as whoever is beside it pushes
//!   HOST:PORT/…                                     of the control plane as the node knows it
//! ```
//!
//! Left out: AWS's own ECR of the region that the installation says it is.

use std::net::IpAddr;

/// Where ECR is, and which names are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecr {
    /// `host:port` of the control plane.
    endpoint: String,
    region: String,
}

impl Ecr {
    /// The ECR of a region, at the control plane's `host:port`.
    pub fn new(endpoint: &str, region: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), region: region.to_owned() }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether the repositories of `registry` (host, and port if there is one) are in it.
    pub(super) fn has(&self, registry: &str) -> bool {
        self.called(registry).is_some()
    }

    /// What requests to `registry` name as their host, if it is in it. The control plane answers to no name that somebody's
    /// name server might have given.
    pub(super) fn called(&self, registry: &str) -> Option<String> {
        let (host, port) = match registry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        };
        let own_port = self.endpoint.rsplit_once(':').map(|(_, port)| port);
        match repository_host(host) {
            Some((_, "localhost")) => Some(registry.to_owned()),
            Some((region, domain)) => {
                let here = region == self.region && matches!(port, None | Some("443"));
                here.then(|| host.replace(domain, "localhost"))
            }
            None => {
                let beside = is_this_machine(host) && port.is_some() && port == own_port;
                (beside || registry == self.endpoint).then(|| registry.to_owned())
            }
        }
    }
}

/// Region and domain of `ACCOUNT.dkr.ecr.REGION.DOMAIN`.
fn repository_host(host: &str) -> Option<(&str, &str)> {
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    let (region, domain) = rest.split_once('.')?;
    let numbered = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && matches!(domain, "localhost" | "amazonaws.com")).then_some((region, domain))
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_installation_are_known() {
        let ecr = Ecr::new("10.0.0.7:4566", "us-east-1");
        for (registry, expected) in [
            ("000000000000.dkr.ecr.us-east-1.localhost:4566", true),
            ("000000000000.dkr.ecr.us-east-1.localhost", true),
            ("111122223333.dkr.ecr.eu-west-1.localhost:9", true),
            ("111122223333.dkr.ecr.us-east-1.amazonaws.com", true),
            ("111122223333.dkr.ecr.us-east-1.amazonaws.com:443", true),
            ("localhost:4566", true),
            ("127.0.0.1:4566", true),
            ("111122223333.dkr.ecr.eu-west-1.amazonaws.com", false),
            ("111122223333.dkr.ecr.us-east-1.amazonaws.com:5000", false),
            ("111122223333.dkr.ecr.us-east-1.amazonaws.com.example", false),
            ("11112222333.dkr.ecr.us-east-1.localhost", false),
            ("x11122223333.dkr.ecr.us-east-1.localhost", false),
            ("dkr.ecr.us-east-1.localhost", false),
            ("localhost:5000", false),
            ("localhost", false),
            ("10.0.0.7:4566", true),
            ("10.0.0.7:5000", false),
            ("public.ecr.aws", false),
            ("docker.io", false),
        ] {
            assert_eq!(ecr.has(registry), expected, "{registry}");
        }
    }

    #[test]
    fn the_control_plane_is_called_by_a_name_it_answers_to() {
        let ecr = Ecr::new("10.0.0.7:4566", "us-east-1");
        for (registry, expected) in [
            ("111122223333.dkr.ecr.us-east-1.amazonaws.com", "111122223333.dkr.ecr.us-east-1.localhost"),
            ("111122223333.dkr.ecr.us-east-1.localhost:4566", "111122223333.dkr.ecr.us-east-1.localhost:4566"),
            ("localhost:4566", "localhost:4566"),
        ] {
            assert_eq!(ecr.called(registry).as_deref(), Some(expected));
        }
    }
}
