use std::io::{Read as _, Seek as _};

use super::*;

fn task() -> acs::Task {
    let secret = |name: &str, from: &str| acs::Secret { name: name.to_owned(), value_from: from.to_owned() };
    let container =
        |name: &str, secrets| acs::Container { name: name.to_owned(), secrets, ..acs::Container::default() };
    let containers =
        vec![container("web", vec![secret("A", "/a"), secret("B", "/b")]), container("side", vec![secret("A", "/b")])];
    acs::Task { containers, ..acs::Task::default() }
}

#[test]
fn each_container_gets_its_own_by_a_file_without_a_name() {
    let values = Values::from([("/a".to_owned(), "1".to_owned()), ("/b".to_owned(), "2".to_owned())]);
    let task = task();
    let mut file = keep(&environments(&task, &values)).unwrap();
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, r#"{"side":{"A":"2"},"web":{"A":"1","B":"2"}}"#);
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
    let plane = ControlPlane::new("127.0.0.1:1", "us-east-1", "000000000000", crate::config::AccessKey::default());
    let wallet = Wallet::default();
    let none = acs::Task { containers: vec![acs::Container::default()], ..acs::Task::default() };
    assert!(read(&plane, &wallet, &none).await.unwrap().is_none());
    let failure = read(&plane, &wallet, &task()).await.unwrap_err();
    assert_eq!(
        failure.reason,
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: the \
         execution role does not exist"
    );
}
