use std::io::{Read as _, Seek as _};

use super::*;

fn task() -> acs::Task {
    let secret = |name: &str, from: &str, target: &str| acs::Secret {
        name: name.to_owned(),
        value_from: from.to_owned(),
        target: target.to_owned(),
    };
    let container =
        |name: &str, secrets| acs::Container { name: name.to_owned(), secrets, ..acs::Container::default() };
    let web = vec![secret("A", "/a", acs::CONTAINER), secret("B", "/b", ""), secret("mode", "/m", acs::LOG_DRIVER)];
    let containers = vec![
        container("web", web),
        container("side", vec![secret("A", "/b", acs::CONTAINER)]),
        container("none", vec![]),
    ];
    acs::Task { containers, ..acs::Task::default() }
}

#[test]
fn each_container_gets_its_own_by_a_file_without_a_name() {
    let values = Values::from([("/a", "1"), ("/b", "2"), ("/m", "blocking")].map(|(of, it)| (of.into(), it.into())));
    let task = task();
    assert_eq!(serde_json::to_string(&by_container(&task, &values, true)).unwrap(), r#"{"web":{"mode":"blocking"}}"#);
    let environments = by_container(&task, &values, false);
    let mut file = keep(&Secrets { environments, ..Secrets::default() }).unwrap();
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert!(text.contains(r#"{"side":{"A":"2"},"web":{"A":"1","B":"2"}}"#), "{text}");
}

#[test]
fn a_reference_is_of_one_service() {
    let of = |from: &str| PROVIDERS.iter().position(|provider| (provider.has)(from));
    for (from, place) in [
        ("arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf:key::", Some(0)),
        ("arn:aws:ssm:us-east-1:000000000000:parameter/a", Some(1)),
        ("/a/b", Some(1)),
        ("name", Some(1)),
    ] {
        assert_eq!(of(from), place, "{from}");
    }
}

#[tokio::test]
async fn a_task_without_secrets_asks_for_nothing_and_one_without_a_role_does_not_start() {
    let plane = ControlPlane::new("127.0.0.1:1", "us-east-1", "000000000000", AccessKey::default());
    let none = acs::Task { containers: vec![acs::Container::default()], ..acs::Task::default() };
    assert!(read(&plane, &Executor::nobody(), &none).await.unwrap().environments.is_empty());
    let failure = read(&plane, &Executor::nobody(), &task()).await.err().unwrap();
    assert_eq!(
        failure.reason,
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: the \
         execution role does not exist"
    );
}
