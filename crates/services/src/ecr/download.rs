//! URLs of layers that work without credentials, for an hour: whoever was given one had the right to the layer.

use aws_lc_rs::{constant_time, hmac};
use longshore_model::AccountId;
use longshore_wire::Timestamp;

use crate::Vault;

/// How long one is good, in milliseconds.
const LIFE: i64 = 60 * 60 * 1000;

/// Parameters of the query.
pub const REGISTRY: &str = "X-Longshore-Registry";
pub const EXPIRES: &str = "X-Longshore-Expires";
pub const SIGNATURE: &str = "X-Longshore-Signature";

/// Path and query of a layer's URL.
pub fn path(vault: &Vault, registry: &AccountId, repository: &str, digest: &str, now: Timestamp) -> String {
    let expires = now.millis().saturating_add(LIFE) / 1000;
    let signature = sign(vault, registry, repository, digest, expires);
    format!("/v2/{repository}/blobs/{digest}?{REGISTRY}={registry}&{EXPIRES}={expires}&{SIGNATURE}={signature}")
}

/// Whether a URL's parameters (the registry, seconds since 1970 when it ends, the signature) are ones that were given for this
/// layer, and still good.
pub fn opens(
    vault: &Vault,
    (registry, repository, digest): (&AccountId, &str, &str),
    (expires, signature): (&str, &str),
    now: Timestamp,
) -> bool {
    let Ok(expires) = expires.parse::<i64>() else { return false };
    let wanted = sign(vault, registry, repository, digest, expires);
    let same = constant_time::verify_slices_are_equal(wanted.as_bytes(), signature.as_bytes()).is_ok();
    same && now.millis() / 1000 < expires
}

fn sign(vault: &Vault, registry: &AccountId, repository: &str, digest: &str, expires: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, vault.derived("download URLs of layers").as_bytes());
    let text = format!("{registry}\n{repository}\n{digest}\n{expires}");
    hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_good_for_its_layer_and_an_hour() {
        let (vault, registry) = (Vault::new(&[1; 32]), AccountId::parse("123456789012").unwrap());
        let other = AccountId::parse("999999999999").unwrap();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let path = path(&vault, &registry, "team/web", "sha256:00", at(1000));
        let query = path.strip_prefix("/v2/team/web/blobs/sha256:00?X-Longshore-Registry=123456789012&").unwrap();
        let (expires, signature) = query.split_once('&').unwrap();
        let expires = expires.strip_prefix("X-Longshore-Expires=").unwrap();
        let signature = signature.strip_prefix("X-Longshore-Signature=").unwrap();
        let given = (expires, signature);
        assert!(opens(&vault, (&registry, "team/web", "sha256:00"), given, at(1000)));
        assert!(opens(&vault, (&registry, "team/web", "sha256:00"), given, at(4599)));
        for (vault, registry, name, digest, given, now) in [
            (&vault, &registry, "team/web", "sha256:00", given, 4600),
            (&vault, &registry, "team/web", "sha256:01", given, 1000),
            (&vault, &registry, "team/we", "sha256:00", given, 1000),
            (&vault, &other, "team/web", "sha256:00", given, 1000),
            (&vault, &registry, "team/web", "sha256:00", ("9999", signature), 1000),
            (&vault, &registry, "team/web", "sha256:00", ("", signature), 1000),
            (&vault, &registry, "team/web", "sha256:00", (expires, &signature[1..]), 1000),
            (&Vault::new(&[2; 32]), &registry, "team/web", "sha256:00", given, 1000),
        ] {
            assert!(!opens(vault, (registry, name, digest), given, at(now)), "{registry} {name} {digest} {now}");
        }
    }
}
