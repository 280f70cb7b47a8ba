//! The password of a registry's user `AWS`: who it was given to, sealed, for twelve hours. No record is kept. What its bearer
//! may do is judged at each request, by the policies that its giver has then; it ends before its time with its user, its role
//! or its task, and with the access key that it was got by.

use longshore_model::State;
use longshore_model::iam::{Caller, Claims, Identity};
use longshore_wire::{Fault, Timestamp, json};

use crate::Vault;
use crate::sts::token;

/// Binds what is sealed to being a registry's token: one that was got with temporary credentials, or with a key that stays
/// until it is deleted.
const OF_SESSION: &str = "registry token";
const OF_KEY: &str = "registry token of an access key";

/// How long a token is good, in milliseconds.
const LIFE: i64 = 12 * 3600 * 1000;

/// No token of ours is longer: as a session's, which it is made of.
const LONGEST: usize = 16 * 1024;

/// A token for who calls, and when it ends.
///
/// # Errors
/// `AccessDeniedException` for a node, which pulls as its tasks' roles; `InternalFailure` without randomness.
pub fn issue(vault: &Vault, caller: &Caller, now: Timestamp) -> Result<(String, Timestamp), Fault> {
    let about = if caller.claims.is_some() { OF_SESSION } else { OF_KEY };
    let mut claims = caller.claims.clone().unwrap_or_default();
    claims.secret = String::new();
    claims.access_key.clone_from(&caller.access_key);
    claims.account = caller.account.to_string();
    match &caller.identity {
        Identity::User { name, id, .. } => {
            (claims.user, claims.user_id) = (Some(name.clone()), Some(id.clone()));
        }
        Identity::Root | Identity::Session { .. } => {}
        Identity::Node { .. } => {
            return Err(Fault::common("AccessDeniedException", 400, "A node has no token of the registry"));
        }
    }
    (claims.issued_at, claims.expires_at) = (now.millis(), now.millis().saturating_add(LIFE));
    let token = vault.seal(about, &json::to_vec(&claims))?;
    Ok((token, Timestamp::from_millis(claims.expires_at)))
}

/// Which access keys a token may be of.
#[derive(Clone, Copy, Debug)]
pub enum Keys<'a> {
    /// Whichever: nobody has signed with them.
    Any,
    /// Those that there are and that are active, and the root's, of which there is no record.
    Active { root: &'a str },
}

impl Keys<'_> {
    fn have(self, state: &State, id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Active { root } => id == root || state.access_keys.get(id).is_some_and(|key| !key.inactive),
        }
    }
}

/// Who bears a token: whom it was given to, as they are now; `None` for anything that is no token, or is none any more.
pub fn open(state: &State, vault: &Vault, keys: Keys<'_>, token: &str, now: Timestamp) -> Option<Caller> {
    let short = (token.len() <= LONGEST).then_some(token)?;
    let (plain, of_key) = match vault.open(OF_KEY, short) {
        Some(plain) => (plain, true),
        None => (vault.open(OF_SESSION, short)?, false),
    };
    let claims: Claims = json::from_slice(&plain).ok()?;
    let valid = (claims.issued_at..claims.expires_at).contains(&now.millis().max(claims.issued_at));
    if !valid || of_key && !keys.have(state, &claims.access_key) {
        return None;
    }
    let of_session = claims.session_name.is_some();
    let caller = token::caller(state, claims)?;
    Some(if of_session { caller } else { Caller { claims: None, ..caller } })
}

#[cfg(test)]
mod tests {
    use longshore_model::AccountId;
    use longshore_model::iam::{AccessKey, User};

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn account() -> AccountId {
        AccountId::parse("123456789012").unwrap()
    }

    fn ann(id: &str) -> User {
        User {
            account: account().to_string(),
            name: "ann".to_owned(),
            path: "/".to_owned(),
            id: id.to_owned(),
            created_at: at(0),
            boundary: None,
            tags: Default::default(),
            groups: Vec::new(),
            grants: None,
        }
    }

    fn access_key(inactive: bool) -> AccessKey {
        AccessKey {
            id: "AKIA1".to_owned(),
            account: account().to_string(),
            user: "ann".to_owned(),
            created_at: at(0),
            inactive,
            sealed: String::new(),
        }
    }

    const KEYS: Keys<'_> = Keys::Active { root: "AKIAROOT" };

    #[test]
    fn a_token_is_void_without_the_key_that_it_was_got_by() {
        let (vault, mut state) = (Vault::new(&[1; 32]), State::default());
        state.apply(&ann("AIDA1").into());
        let User { name, path, id, tags, .. } = ann("AIDA1");
        let identity = Identity::User { name, path, id, tags };
        let caller = Caller { account: account(), access_key: "AKIA1".to_owned(), identity, claims: None };
        let (token, _) = issue(&vault, &caller, at(NOW)).unwrap();
        let opens = |state: &State, keys| open(state, &vault, keys, &token, at(NOW)).is_some();
        assert!(!opens(&state, KEYS) && opens(&state, Keys::Any));
        state.apply(&access_key(false).into());
        assert!(opens(&state, KEYS));
        state.apply(&access_key(true).into());
        assert!(!opens(&state, KEYS));
        // The root's own key has no record.
        let root = Caller { access_key: "AKIAROOT".to_owned(), ..Caller::root(account()) };
        let (token, _) = issue(&vault, &root, at(NOW)).unwrap();
        assert_eq!(open(&state, &vault, KEYS, &token, at(NOW)), Some(root));
        assert_eq!(open(&state, &vault, Keys::Active { root: "AKIANEW" }, &token, at(NOW)), None);
    }

    #[test]
    fn a_token_is_its_users_for_twelve_hours_as_long_as_there_is_the_user() {
        let (vault, mut state) = (Vault::new(&[1; 32]), State::default());
        state.apply(&ann("AIDA1").into());
        state.apply(&access_key(false).into());
        let User { name, path, id, tags, .. } = ann("AIDA1");
        let identity = Identity::User { name, path, id, tags };
        let caller = Caller { account: account(), access_key: "AKIA1".to_owned(), identity, claims: None };
        let (token, ends) = issue(&vault, &caller, at(NOW)).unwrap();
        assert_eq!(ends, at(NOW + LIFE));
        assert_eq!(open(&state, &vault, KEYS, &token, at(NOW + LIFE - 1)), Some(caller));
        for (vault, token, now) in [
            (&vault, token.clone(), NOW + LIFE),
            (&Vault::new(&[2; 32]), token.clone(), NOW),
            (&vault, token[1..].to_owned(), NOW),
            (&vault, token.repeat(1000), NOW),
            (&vault, String::new(), NOW),
        ] {
            assert_eq!(open(&state, vault, KEYS, &token, at(now)), None);
        }
        state.apply(&ann("AIDA2").into());
        assert_eq!(open(&state, &vault, KEYS, &token, at(NOW)), None, "a user made anew is another");
    }

    #[test]
    fn a_token_says_what_a_session_may_claim_and_holds_no_secret() {
        let (vault, state) = (Vault::new(&[1; 32]), State::default());
        let root = Caller { access_key: "AKIAROOT".to_owned(), ..Caller::root(account()) };
        let (token, _) = issue(&vault, &root, at(NOW)).unwrap();
        assert_eq!(open(&state, &vault, KEYS, &token, at(NOW)), Some(root));
        let claims = Claims {
            account: account().to_string(),
            secret: "planted".to_owned(),
            role: Some("Task".to_owned()),
            role_id: Some("AROA1".to_owned()),
            session_name: Some("s".to_owned()),
            ..Claims::default()
        };
        let identity = Identity::Session {
            role: "Task".to_owned(),
            path: "/".to_owned(),
            id: "AROA1".to_owned(),
            name: "s".to_owned(),
            tags: Default::default(),
        };
        let caller = Caller { account: account(), access_key: "ASIA1".to_owned(), identity, claims: Some(claims) };
        let (token, _) = issue(&vault, &caller, at(NOW)).unwrap();
        let plain = vault.open(OF_SESSION, &token).unwrap();
        assert!(!String::from_utf8(plain).unwrap().contains("planted"));
        assert_eq!(open(&state, &vault, KEYS, &token, at(NOW)), None, "there is no such role");
    }
}
