//! Against registries that speak as a test lets them.

use std::sync::Arc;

use parking_lot::Mutex as Lock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What it was asked: the request line, and what was shown.
type Asked = Arc<Lock<Vec<(String, Option<String>)>>>;

/// A registry on a loopback address that answers each request as it is told to, given the path, what is shown, and where
/// it is.
async fn registry(speak: impl Fn(&str, Option<&str>, &str) -> String + Send + Sync + 'static) -> (Url, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let (base, asked) = (Url::parse(&at).unwrap(), Asked::default());
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let head = String::from_utf8(head).unwrap();
            let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
            let shown = head.lines().find_map(|line| line.strip_prefix("authorization: ")).map(str::to_owned);
            let path = line.split_once(' ').map(|(_, path)| path.to_owned()).unwrap_or_default();
            let answer = speak(&path, shown.as_deref(), &at);
            seen.lock().push((line, shown));
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (base, asked)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn known() -> Credentials {
    Credentials::Basic { user: "u".to_owned(), password: "p".to_owned() }
}

#[tokio::test]
async fn a_password_is_shown_once_it_is_asked_for() {
    let (base, asked) = registry(|_, shown, _| match shown {
        Some("Basic dTpw") => answer("200 OK", "", "{}"),
        _ => answer("401 No", "www-authenticate: Basic realm=\"x\"\r\n", ""),
    })
    .await;
    let remote = Remote::new(base.clone(), known());
    remote.check().await.unwrap();
    remote.check().await.unwrap();
    assert_eq!(asked.lock().iter().filter(|(_, shown)| shown.is_none()).count(), 1);
    let nobody = Remote::new(base, Credentials::Anonymous).check().await.unwrap_err();
    assert!(matches!(nobody, Error::Denied { .. }) && !nobody.passes(), "{nobody}");
}

#[tokio::test]
async fn a_token_is_fetched_for_the_scope_that_is_asked_for() {
    let (base, asked) = registry(|path, shown, at| match (path, shown) {
        (_, Some("Bearer t")) => answer("200 OK", "", "{}"),
        (path, shown) if path.starts_with("/token?") => {
            assert_eq!(shown, Some("Basic dTpw"));
            answer("200 OK", "", r#"{"token":"t"}"#)
        }
        _ => {
            let challenge = format!("www-authenticate: Bearer realm=\"{at}/token\",service=\"s\"\r\n");
            answer("401 No", &challenge, "")
        }
    })
    .await;
    let remote = Remote::new(base, known());
    assert_eq!(remote.manifest("a/b", "v1").await.unwrap().bytes, "{}");
    let lines: Vec<String> = asked.lock().iter().map(|(line, _)| line.clone()).collect();
    assert_eq!(lines[1], "GET /token?scope=repository%3Aa%2Fb%3Apull&service=s");
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_refused() {
    let (base, _) = registry(|path, _, _| match path {
        "/v2/a/manifests/lie" => {
            let other = format!("docker-content-digest: sha256:{}\r\n", "0".repeat(64));
            answer("200 OK", &other, "{}")
        }
        _ => answer("200 OK", "content-type: text/x; charset=y\r\n", "{}"),
    })
    .await;
    let remote = Remote::new(base, Credentials::Anonymous);
    let honest = digest_of(Algorithm::Sha512, b"{}");
    let served = remote.manifest("a", honest.as_str()).await.unwrap();
    assert_eq!((served.digest, served.media_type.as_deref()), (honest, Some("text/x")));
    for reference in ["lie".to_owned(), format!("sha256:{}", "0".repeat(64))] {
        let error = remote.manifest("a", &reference).await.unwrap_err();
        assert!(matches!(error, Error::Wrong { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_manifest_without_end_is_cut_off() {
    let (base, _) = registry(|_, _, _| {
        let body = "x".repeat(LARGEST_MANIFEST + 1);
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}")
    })
    .await;
    let error = Remote::new(base, Credentials::Anonymous).manifest("a", "v1").await.unwrap_err();
    assert!(error.to_string().contains("too much"), "{error}");
}

#[tokio::test]
async fn a_redirect_leads_nowhere_but_to_itself_or_over_tls() {
    let (other, asked) = registry(|_, _, _| answer("200 OK", "", "secret")).await;
    let elsewhere = other.to_string();
    let (base, _) = registry(move |path, _, _| match path {
        "/v2/a/manifests/here" => answer("307 There", "location: /v2/a/manifests/v1\r\n", ""),
        "/v2/a/manifests/there" => answer("307 There", &format!("location: {elsewhere}\r\n"), ""),
        "/v2/a/manifests/round" => answer("307 There", "location: /v2/a/manifests/round\r\n", ""),
        _ => answer("200 OK", "", "{}"),
    })
    .await;
    let remote = Remote::new(base, known());
    assert_eq!(remote.manifest("a", "here").await.unwrap().bytes, "{}");
    for tag in ["there", "round"] {
        let error = remote.manifest("a", tag).await.unwrap_err();
        assert!(matches!(error, Error::Wrong { .. }), "{error}");
    }
    assert!(asked.lock().is_empty());
    for path in ["https://elsewhere/v2/", "//elsewhere/v2/", "http://127.0.0.1:1/"] {
        assert!(remote.url(path).is_err(), "{path}");
    }
}

#[tokio::test]
async fn refusals_say_what_they_are() {
    let (base, _) = registry(|path, _, _| match path.rsplit('/').next().unwrap_or_default() {
        "none" => answer("404 No", "", ""),
        "often" => answer("429 No", "retry-after: 7\r\n", r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#),
        _ => answer("500 No", "", ""),
    })
    .await;
    let remote = Remote::new(base, Credentials::Anonymous);
    let error = remote.manifest("a", "none").await.unwrap_err();
    assert!(matches!(&error, Error::NotFound { what, .. } if what == "a:none") && !error.passes(), "{error}");
    let error = remote.manifest("a", "often").await.unwrap_err();
    assert!(matches!(&error, Error::TooMany { wait: Some(wait), .. } if wait.as_secs() == 7), "{error}");
    let error = remote.manifest("a", "broken").await.unwrap_err();
    assert!(matches!(error, Error::Status { .. }) && error.passes(), "{error}");
    let away = Remote::new(Url::parse("http://127.0.0.1:1").unwrap(), Credentials::Anonymous);
    let error = away.check().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.passes(), "{error}");
}
