//! Temporary credentials. A session token is what its bearer may claim, sealed: no record is kept, so that taking a role
//! writes nothing. What ends a session before its time is the role's end and, of a task's, the end of the
//! task.

use longshore_api::sts::Credentials;
use longshore_model::State;
use longshore_model::iam::{Caller, Claims, Identity, key};
use longshore_model::ids::AccountId;
use longshore_wire::{Fault, Timestamp, json};

use crate::{Vault, vault};

/// Binds what is sealed to being a session token.
const ABOUT: &str = "session token";

/// No token of ours is longer: a session policy, tags and some ids.
const LONGEST: usize = 16 * 1024;

/// Makes credentials for `claims`, whose access key and secret are new, valid from `now` on for `seconds`.
///
/// # Errors
/// `InternalFailure` without randomness.
pub fn issue(vault: &Vault, now: Timestamp, seconds: i64, claims: Claims) -> Result<Credentials, Fault> {
    let (access_key, secret) = (vault::access_key_id("ASIA")?, vault::secret_key()?);
    let expires_at = now.millis().saturating_add(seconds.saturating_mul(1000));
    let claims = Claims { access_key, secret, issued_at: now.millis(), expires_at, ..claims };
    let token = vault.seal(ABOUT, &json::to_vec(&claims))?;
    Ok(Credentials {
        access_key_id: Some(claims.access_key),
        secret_access_key: Some(claims.secret),
        session_token: Some(token),
        expiration: Some(Timestamp::from_millis(expires_at / 1000 * 1000)),
    })
}

/// What a token says, if it is one of ours for this access key.
pub fn open(vault: &Vault, access_key: &str, token: &str) -> Option<Claims> {
    let short = (token.len() <= LONGEST).then_some(token)?;
    let claims: Claims = json::from_slice(&vault.open(ABOUT, short)?).ok()?;
    (claims.access_key == access_key).then_some(claims)
}

/// The caller that claims stand for; `None` if the role or user they name is gone or was made anew, or the task that they
/// were made for has stopped.
pub fn caller(state: &State, claims: Claims) -> Option<Caller> {
    let account = AccountId::parse(&claims.account)?;
    let lives = |task: &String| state.tasks.get(&format!("{account}/{task}")).is_some_and(|task| !task.is_stopped());
    if claims.task.as_ref().is_some_and(|task| !lives(task)) {
        return None;
    }
    let identity = identity(state, &account, &claims)?;
    Some(Caller { account, access_key: claims.access_key.clone(), identity, claims: Some(claims) })
}

fn identity(state: &State, account: &AccountId, claims: &Claims) -> Option<Identity> {
    if let Some(name) = &claims.role {
        let role = state.roles.get(&key(account, name)).filter(|role| Some(&role.id) == claims.role_id.as_ref())?;
        let mut tags = role.tags.clone();
        for (key, value) in &claims.tags {
            tags.retain(|other, _| !other.eq_ignore_ascii_case(key));
            tags.insert(key.clone(), value.clone());
        }
        return Some(Identity::Session {
            role: role.name.clone(),
            path: role.path.clone(),
            id: role.id.clone(),
            name: claims.session_name.clone()?,
            tags,
        });
    }
    match &claims.user_id {
        None => Some(Identity::Root),
        Some(id) => {
            let user = state.users.get(&key(account, claims.user.as_ref()?)).filter(|user| user.id == *id)?;
            Some(Identity::User {
                name: user.name.clone(),
                path: user.path.clone(),
                id: user.id.clone(),
                tags: user.tags.clone(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::testing::{Bench, NOW};
    use longshore_model::iam::Role;
    use longshore_model::task::Task;

    fn role(id: &str) -> Role {
        Role {
            account: "123456789012".to_owned(),
            name: "Task".to_owned(),
            path: "/".to_owned(),
            id: id.to_owned(),
            created_at: Timestamp::from_millis(NOW),
            trust: String::new(),
            description: None,
            max_session_seconds: 3600,
            boundary: None,
            tags: std::collections::BTreeMap::from([("Team".to_owned(), "red".to_owned())]),
            grants: None,
            service: None,
        }
    }

    fn claims() -> Claims {
        Claims {
            account: "123456789012".to_owned(),
            role: Some("Task".to_owned()),
            role_id: Some("AROA1".to_owned()),
            session_name: Some("abc".to_owned()),
            tags: std::collections::BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
            ..Claims::default()
        }
    }

    #[test]
    fn a_token_opens_for_its_key_in_its_installation_and_ends() {
        let vault = Vault::new(&[1; 32]);
        let now = Timestamp::from_millis(NOW);
        let made = issue(&vault, now, 900, claims()).unwrap();
        let (id, token) = (made.access_key_id.unwrap(), made.session_token.unwrap());
        let opened = open(&vault, &id, &token).unwrap();
        assert_eq!(Some(&opened.secret), made.secret_access_key.as_ref());
        assert_eq!(made.expiration, Some(Timestamp::from_millis(NOW + 900_000)));
        assert!(!opened.is_over(Timestamp::from_millis(NOW + 899_999)));
        assert!(opened.is_over(Timestamp::from_millis(NOW + 900_000)));
        assert!(!token.contains(&opened.secret));
        assert_eq!(open(&vault, "ASIAOTHEROTHEROTHER1", &token), None);
        assert_eq!(open(&Vault::new(&[2; 32]), &id, &token), None);
        assert_eq!(open(&vault, &id, &token.repeat(100)), None);
        assert_eq!(open(&vault, &id, ""), None);
    }

    #[test]
    fn a_session_is_its_role_as_it_is_now() {
        let bench = Bench::new();
        assert_eq!(caller(&bench.context().read(), claims()), None, "there is no such role");
        bench.apply(vec![role("AROA1").into()]);
        let found = caller(&bench.context().read(), claims()).unwrap();
        assert_eq!(found.arn(), "arn:aws:sts::123456789012:assumed-role/Task/abc");
        assert_eq!(found.user_id(), "AROA1:abc");
        let Identity::Session { tags, .. } = &found.identity else { panic!("{found:?}") };
        assert_eq!(tags.iter().collect::<Vec<_>>(), [(&"team".to_owned(), &"blue".to_owned())]);
        bench.apply(vec![role("AROA2").into()]);
        assert_eq!(caller(&bench.context().read(), claims()), None, "a role made anew is another");
        bench.apply(vec![role("AROA1").into()]);
    }

    #[test]
    fn a_tasks_session_ends_with_the_task() {
        let bench = Bench::new();
        bench.apply(vec![role("AROA1").into()]);
        let known = || {
            let claims = Claims { task: Some("prod/abc".to_owned()), ..claims() };
            caller(&bench.context().read(), claims).is_some()
        };
        assert!(!known(), "there is no such task");
        let task = |last: &str| -> Task {
            let text = format!(
                r#"{{"account": "123456789012", "cluster": "prod", "id": "abc", "family": "web", "revision": 1,
                    "desired": "STOPPED", "last": "{last}", "launchType": "FARGATE", "createdAt": 1}}"#
            );
            json::from_slice(text.as_bytes()).unwrap()
        };
        for (last, lives) in [("RUNNING", true), ("STOPPING", true), ("DEPROVISIONING", true), ("STOPPED", false)] {
            bench.apply(vec![task(last).into()]);
            assert_eq!(known(), lives, "{last}");
        }
    }
}
