//! Who a client of the registry is: `AWS` and the token of GetAuthorizationToken, at each request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use longshore_model::AccountId;
use longshore_model::iam::Caller;
use longshore_services::ecr::token::{self, Keys};

use super::error::{Code, Refusal};
use crate::{Auth, Server, clock};

/// What the token's user is called.
const USER: &str = "AWS";

/// No header that is longer holds a token.
const LONGEST: usize = 32 * 1024;

/// The account whose registry a host is: `ACCOUNT.dkr.ecr.REGION.…`; `None` for a host that names none.
///
/// # Errors
/// `NAME_UNKNOWN` for the registry of another region.
pub(super) fn registry(host: &str, region: &str) -> Result<Option<AccountId>, Refusal> {
    let host = host.to_ascii_lowercase();
    let Some((account, rest)) = host.split_once(".dkr.ecr.") else { return Ok(None) };
    let here = rest.split('.').next() == Some(region);
    match AccountId::parse(account).filter(|_| here) {
        Some(account) => Ok(Some(account)),
        None => Err(Refusal::new(Code::NameUnknown, "There is no such registry here")),
    }
}

/// Where policies are not asked, whoever it says.
///
/// # Errors
/// Why it is nobody.
pub(super) fn caller(server: &Server, head: &Parts) -> Result<Caller, &'static str> {
    let given = credentials(head);
    let keys = match server.auth {
        Auth::Enforce => Keys::Active { root: &server.root_key.access_key_id },
        Auth::Permissive => Keys::Any,
    };
    let known = given.as_ref().ok().and_then(|(user, password)| match user == USER {
        true => token::open(&server.store.read(), &server.settings.vault, keys, password, clock::now()),
        false => None,
    });
    match (known, server.auth) {
        (Some(caller), _) => Ok(caller),
        (None, Auth::Enforce) => Err(given.err().unwrap_or(
            "Your authorization token has expired or is not one of this registry. Reauthenticate and try again.",
        )),
        (None, Auth::Permissive) => {
            let named = given.ok().and_then(|(user, _)| AccountId::parse(&user));
            Ok(Caller::root(named.unwrap_or_else(|| server.settings.account.clone())))
        }
    }
}

/// User and password.
fn credentials(head: &Parts) -> Result<(String, String), &'static str> {
    let header = head.headers.get(AUTHORIZATION).ok_or("no basic auth credentials")?;
    let text = header.to_str().ok().filter(|text| text.len() <= LONGEST).and_then(|text| text.split_once(' '));
    let coded = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")).map(|(_, coded)| coded.trim());
    let plain = coded.and_then(|coded| STANDARD.decode(coded).ok()).and_then(|plain| String::from_utf8(plain).ok());
    let pair = plain.as_deref().and_then(|plain| plain.split_once(':'));
    pair.map(|(user, password)| (user.to_owned(), password.to_owned()))
        .ok_or("the authorization is not Basic USER:TOKEN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_name_a_registry() {
        let account = |host| registry(host, "us-east-1").map(|account| account.map(|account| account.to_string()));
        for host in ["123456789012.dkr.ecr.us-east-1.localhost:4566", "123456789012.DKR.ecr.us-east-1.localhost"] {
            assert_eq!(account(host).unwrap().as_deref(), Some("123456789012"), "{host}");
        }
        for host in ["localhost:4566", "127.0.0.1", "", "dkr.ecr.us-east-1.localhost"] {
            assert_eq!(account(host).unwrap(), None, "{host}");
        }
        for host in ["123456789012.dkr.ecr.eu-west-1.localhost", "12.dkr.ecr.us-east-1.localhost", "a.dkr.ecr."] {
            assert_eq!(account(host).unwrap_err().code, Code::NameUnknown, "{host}");
        }
    }

    #[test]
    fn credentials_are_user_and_token() {
        let given = |header: &str| {
            let request = http::Request::builder().header(AUTHORIZATION, header).body(()).unwrap();
            credentials(&request.into_parts().0).ok()
        };
        let pair = Some(("AWS".to_owned(), "a:b".to_owned()));
        let coded = STANDARD.encode("AWS:a:b");
        assert_eq!(given(&format!("Basic {coded}")), pair);
        assert_eq!(given(&format!("basic  {coded} ")), pair);
        let none = ["".to_owned(), "Basic".to_owned(), format!("Bearer {coded}"), "Basic !!".to_owned()];
        for header in none.into_iter().chain([format!("Basic {}", STANDARD.encode("AWS"))]) {
            assert_eq!(given(&header), None, "{header}");
        }
        assert_eq!(given(&format!("Basic {}", STANDARD.encode([0xff, b':']))), None);
        assert_eq!(given(&format!("Basic {}", STANDARD.encode(format!("AWS:{}", "a".repeat(LONGEST))))), None);
    }
}
