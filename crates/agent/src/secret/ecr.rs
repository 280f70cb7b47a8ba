//! Logins at ECR: tokens of GetAuthorizationToken, got in the name of a task's execution role.
//!
//! A token is good for twelve hours, and for every task of its role: it is kept, in memory alone, until shortly before its
//! end. What it opens is judged by the role's policies at each request. One that was got for an earlier task and is refused is
//! got anew, once: it ends with that task, and the role may be another of the same name by now.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Reader;
use crate::api::{ControlPlane, ECR};
use crate::clock;
use crate::executor::Executor;
use crate::image::Auth;

/// A token is not used in the last half hour of its life, milliseconds: a pull may take a while.
const MARGIN: u64 = 30 * 60 * 1000;

/// Most roles whose tokens are kept.
const MOST_ROLES: usize = 1024;

/// The tokens of all execution roles on this node.
#[derive(Default)]
pub(crate) struct Logins(parking_lot::Mutex<HashMap<String, Place>>);

/// Locked while a token is got: of several tasks one does it for all.
type Place = Arc<Mutex<Option<Login>>>;

/// What opens ECR.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) auth: Auth,
    /// Whether it was got for an earlier task.
    pub(crate) is_kept: bool,
    /// Milliseconds since 1970.
    use_until: u64,
}

impl Logins {
    /// A login of the execution role `role`, kept or got now. `refused` is one that was of no use.
    ///
    /// # Errors
    /// Why there is none, in ECS's words.
    pub(crate) async fn login(
        &self,
        plane: &ControlPlane,
        executor: &Executor,
        role: &str,
        refused: Option<&Login>,
    ) -> Result<Login, String> {
        let place = self.place(role);
        if let Some(login) = kept(&*place.lock().await, refused) {
            return Ok(login);
        }
        let reader = Reader::of(plane, executor).await?;
        let mut held = place.lock().await;
        if let Some(login) = kept(&held, refused) {
            return Ok(login);
        }
        let login = reader.ecr_login().await?;
        *held = Some(login.clone());
        Ok(login)
    }

    fn place(&self, role: &str) -> Place {
        let mut places = self.0.lock();
        if places.len() >= MOST_ROLES && !places.contains_key(role) {
            places.clear();
        }
        Arc::clone(places.entry(role.to_owned()).or_default())
    }
}

/// The login that is kept, if it is good still and another than `refused`.
fn kept(held: &Option<Login>, refused: Option<&Login>) -> Option<Login> {
    let login = held.as_ref().filter(|login| login.use_until > clock::now())?;
    let other = refused.is_none_or(|refused| refused.auth != login.auth);
    other.then(|| Login { is_kept: true, ..login.clone() })
}

impl Reader<'_> {
    async fn ecr_login(&self) -> Result<Login, String> {
        let answer = self.call(ECR, "GetAuthorizationToken", &json!({})).await;
        login(&answer.map_err(|refused| refused.words(""))?, clock::now())
    }
}

/// Nothing of a token is in an error.
fn login(answer: &Value, now: u64) -> Result<Login, String> {
    let data = &answer["authorizationData"][0];
    let malformed = || "the authorization data of ECR does not read".to_owned();
    let auth = data["authorizationToken"].as_str().and_then(Auth::of_token).ok_or_else(malformed)?;
    let expires_at = data["expiresAt"].as_f64().ok_or_else(malformed)? * 1000.0;
    let use_until = (expires_at as u64).saturating_sub(MARGIN).max(now);
    Ok(Login { auth, is_kept: false, use_until })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn answer(token: &str, expires_at: f64) -> Value {
        let token = BASE64_STANDARD.encode(token);
        json!({"authorizationData": [{"authorizationToken": token, "expiresAt": expires_at, "proxyEndpoint": "http://x"}]})
    }

    #[test]
    fn a_token_reads_and_is_kept_until_shortly_before_its_end() {
        let now = clock::now();
        let twelve_hours = login(&answer("AWS:planted:x", now as f64 / 1000.0 + 43_200.0), now).unwrap();
        assert_eq!(twelve_hours.auth, Auth::Basic { user: "AWS".to_owned(), password: "planted:x".to_owned() });
        assert!((42_700_000 - 41_400_000..=41_500_000).contains(&(twelve_hours.use_until - now)));
        assert!(kept(&Some(twelve_hours.clone()), None).is_some_and(|login| login.is_kept));
        assert!(kept(&Some(twelve_hours.clone()), Some(&twelve_hours)).is_none(), "it was refused");
        let minutes = login(&answer("AWS:x", now as f64 / 1000.0 + 600.0), now).unwrap();
        assert!(kept(&Some(minutes), None).is_none());
        assert!(kept(&None, None).is_none());
    }

    #[test]
    fn what_does_not_read_is_not_quoted() {
        let rows = [
            json!({}),
            json!({"authorizationData": []}),
            answer("planted", 1.0),
            json!({"authorizationData": [{"authorizationToken": "planted!", "expiresAt": 1}]}),
            json!({"authorizationData": [{"authorizationToken": BASE64_STANDARD.encode("AWS:planted")}]}),
        ];
        for row in rows {
            assert_eq!(login(&row, 0).err().as_deref(), Some("the authorization data of ECR does not read"), "{row}");
        }
    }

    #[tokio::test]
    async fn who_has_no_role_has_no_login() {
        let plane = ControlPlane::new("127.0.0.1:1", "us-east-1", "000000000000", crate::config::AccessKey::default());
        let told = Logins::default().login(&plane, &Executor::nobody(), "", None).await.err();
        assert_eq!(told.as_deref(), Some("the execution role does not exist"));
    }
}
