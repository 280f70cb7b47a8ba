//! Credentials for the registries of images: a secret of Secrets Manager that holds `{"username": …, "password": …}`.

use std::collections::BTreeMap;

use longshore_link::acs;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Reader, failure};
use crate::api::{ControlPlane, SECRETS_MANAGER};
use crate::executor::Executor;
use crate::image::Auth;
use crate::translate::Failure;

/// What such a secret holds; more is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Login {
    username: String,
    password: String,
}

/// How to sign in for the images of a task, by container; nothing for those that are pulled as the node pulls.
///
/// # Errors
/// `ResourceInitializationError: unable to pull secrets or registry auth: …`
pub(crate) async fn sign_in(
    plane: &ControlPlane,
    executor: &Executor,
    task: &acs::Task,
) -> Result<BTreeMap<String, Auth>, Failure> {
    let mut found: BTreeMap<&str, Auth> = BTreeMap::new();
    let mut by_container = BTreeMap::new();
    for container in &task.containers {
        let Some(parameter) = parameter(container).map_err(failed)? else { continue };
        let known = found.get(parameter).cloned();
        let auth = match known {
            Some(auth) => auth,
            None => Reader::of(plane, executor).await.map_err(failure)?.login(parameter).await.map_err(failed)?,
        };
        found.insert(parameter, auth.clone());
        by_container.insert(container.name.clone(), auth);
    }
    Ok(by_container)
}

fn failed(why: String) -> Failure {
    failure(format!("unable to get registry auth from asm: {why}"))
}

/// ARN or name of the secret that a container names.
fn parameter(container: &acs::Container) -> Result<Option<&str>, String> {
    match &container.registry_authentication {
        None => Ok(None),
        Some(asked) if asked.kind == "asm" => Ok(Some(&asked.asm_auth_data.credentials_parameter)),
        Some(other) => Err(format!("authentication of the type {:?} is not supported by this node", other.kind)),
    }
}

impl Reader<'_> {
    async fn login(&self, parameter: &str) -> Result<Auth, String> {
        let answer = self.call(SECRETS_MANAGER, "GetSecretValue", &json!({"SecretId": parameter})).await;
        let answer = answer
            .map_err(|refused| refused.words(&format!("asm fetching secret from the service for {parameter}: ")))?;
        login(&answer)
    }
}

/// Nothing of what the secret holds is in an error.
fn login(answer: &Value) -> Result<Auth, String> {
    let text = answer["SecretString"].as_str();
    let text = text.ok_or("asm fetching authorization data: the secret has no SecretString")?;
    let login: Login = serde_json::from_str(text)
        .map_err(|_| "asm fetching authorization data: unable to unmarshal secret value, invalid schema")?;
    for (name, value) in [("username", &login.username), ("password", &login.password)] {
        if value.is_empty() {
            return Err(format!("asm fetching {name}: AuthorizationData is malformed, empty field"));
        }
    }
    Ok(Auth::Basic { user: login.username, password: login.password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_reads_and_one_that_does_not_is_not_quoted() {
        let of = |text: &str| login(&json!({"SecretString": text}));
        let auth = of(r#"{"username":"puller","password":"planted:x","email":"a@b"}"#);
        assert_eq!(auth, Ok(Auth::Basic { user: "puller".to_owned(), password: "planted:x".to_owned() }));
        let schema = "asm fetching authorization data: unable to unmarshal secret value, invalid schema";
        for (text, told) in [
            ("planted", schema),
            (r#"{"username":"u","password":{"planted":1}}"#, schema),
            (r#"["planted", 1]"#, schema),
            (
                r#"{"username":"","password":"planted"}"#,
                "asm fetching username: AuthorizationData is malformed, empty field",
            ),
            (r#"{"username":"planted"}"#, "asm fetching password: AuthorizationData is malformed, empty field"),
        ] {
            let found = of(text).unwrap_err();
            assert_eq!(found, told, "{text}");
        }
        assert!(login(&json!({"SecretBinary": "cGxhbnRlZA=="})).unwrap_err().contains("no SecretString"));
    }

    #[tokio::test]
    async fn who_needs_no_login_asks_for_none_and_other_types_are_refused() {
        let plane = ControlPlane::new("127.0.0.1:1", "us-east-1", "000000000000", crate::config::AccessKey::default());
        let mut task = acs::Task { containers: vec![acs::Container::default()], ..acs::Task::default() };
        assert!(sign_in(&plane, &Executor::nobody(), &task).await.unwrap().is_empty());
        let mut asked = acs::RegistryAuthentication { kind: "ecr".to_owned(), ..Default::default() };
        task.containers[0].registry_authentication = Some(asked.clone());
        let told = sign_in(&plane, &Executor::nobody(), &task).await.unwrap_err().reason;
        assert!(told.contains(r#"the type "ecr" is not supported"#), "{told}");
        asked.kind = "asm".to_owned();
        task.containers[0].registry_authentication = Some(asked);
        assert_eq!(
            sign_in(&plane, &Executor::nobody(), &task).await.unwrap_err().reason,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: \
             the execution role does not exist"
        );
    }
}
