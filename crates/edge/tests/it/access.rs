//! Access logs.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use longshore_edge::Edge;
use longshore_link::edge::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::*;

const ARN: &str = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/web/50dc6c495c0c9188";

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("edge-access-{name}-{}", std::process::id())))
    }

    /// The lines of all files that are whole.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for path in files(&self.0).iter().filter(|path| !path.to_string_lossy().ends_with(".log.gz.part")) {
            assert!(path.to_string_lossy().ends_with(".log.gz"), "{}", path.display());
            let mut text = String::new();
            let file = fs::File::open(path).expect("a file");
            flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("text");
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn logged(targets: &[SocketAddr]) -> EdgeConfiguration {
    let mut configuration = configuration(BalancerKind::Application, own_address(), targets);
    configuration.balancers[0].arn = ARN.into();
    let logs = AccessLogs { bucket: "logs".into(), prefix: "a/b".into() };
    configuration.balancers[0].attributes.access_logs = Some(logs);
    configuration
}

async fn serve_logged(directory: &Directory, configuration: &EdgeConfiguration) -> (Edge, SocketAddr) {
    let edge = Edge::new().logging(directory.0.clone()).expect("a writer");
    edge.apply(configuration.clone()).await.expect("a configuration");
    assert_eq!(edge.report().await.problems, []);
    (edge, SocketAddr::new(configuration.balancers[0].addresses[0].ip, PORT))
}

/// The fields of a line; what is between quotation marks is one.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("an end"),
            None => rest.split_once(' ').map_or((rest, ""), |(field, _)| (field, &rest[field.len()..])),
        };
        fields.push(field.to_owned());
        rest = after.trim_start_matches(' ');
    }
    fields
}

/// Waits until so many lines are in files.
async fn lines(edge: &Edge, directory: &Directory, count: usize) -> Vec<Vec<String>> {
    let written = async {
        loop {
            edge.finish_logs().await;
            let lines = directory.lines();
            if lines.len() >= count {
                return lines;
            }
        }
    };
    let lines = tokio::time::timeout(PATIENCE, written).await.expect("lines");
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines.iter().map(|line| fields(line)).collect()
}

#[tokio::test]
async fn each_request_has_a_line_with_awss_fields() {
    let directory = Directory::new("fields");
    let backend = Backend::start(|_| "HTTP/1.1 201 x\r\nContent-Length: 5\r\n\r\nhello".into()).await;
    let (edge, to) = serve_logged(&directory, &logged(&[backend.address])).await;
    let request = "POST /a?b=c HTTP/1.1\r\nHost: web.test:28080\r\nUser-Agent: one \"two\"\r\nContent-Length: 3\r\n\
                   X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\nConnection: close\r\n\r\nabc";
    let answer = raw(to, request.as_bytes()).await;
    assert_eq!(status(&answer), "201");
    let all = lines(&edge, &directory, 1).await;
    let [line] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(line.len(), 30, "{line:#?}");
    let (is_time, seconds) = (|text: &str| text.len() == 27 && text.ends_with('Z'), |text: &str| text.parse::<f64>());
    assert!(line[0] == "http" && is_time(&line[1]) && is_time(&line[21]) && line[21] <= line[1], "{line:?}");
    assert!(line[5..8].iter().all(|time| seconds(time).is_ok_and(|time| (0.0..20.0).contains(&time))), "{line:?}");
    assert!(line[3].starts_with("127.0.0.1:") && line[29].starts_with("TID_"), "{line:?}");
    let (received, sent): (usize, usize) = (line[10].parse().expect("a number"), line[11].parse().expect("a number"));
    assert!(
        received.abs_diff(request.len()) < 40 && sent.abs_diff(answer.len()) < 100 && sent > 20,
        "{line:?} {answer}"
    );
    let target = backend.address.to_string();
    let expected = [
        (2, "app/web/50dc6c495c0c9188"),
        (4, &target),
        (8, "201"),
        (9, "201"),
        (12, "POST http://web.test:28080/a?b=c HTTP/1.1"),
        (13, "one \\x22two\\x22"),
        (14, "-"),
        (15, "-"),
        (16, "g"),
        (18, "-"),
        (19, "-"),
        (20, "0"),
        (22, "forward"),
        (23, "-"),
        (24, "-"),
        (25, &target),
        (26, "201"),
        (27, "-"),
        (28, "-"),
    ];
    for (place, expected) in expected {
        assert_eq!(line[place], expected, "field {place}");
    }
    assert!(line[17].ends_with(";Root=1-67891233-abcdef012345678912345678"), "{}", line[17]);
    let path = files(&directory.0).remove(0);
    let path = path.strip_prefix(&directory.0).expect("below it").to_string_lossy().into_owned();
    let begin = "logs/a/b/AWSLogs/111122223333/elasticloadbalancing/us-east-1/20";
    let name = "/111122223333_elasticloadbalancing_us-east-1_app.web.50dc6c495c0c9188_20";
    assert!(path.starts_with(begin) && path.contains(name) && path.contains(&format!("Z_{}_", to.ip())), "{path}");
}

#[tokio::test]
async fn what_the_balancer_answers_itself_has_a_line_too() {
    let directory = Directory::new("own");
    let backend = Backend::start(|_| "never".into()).await;
    let mut configuration = logged(&[backend.address]);
    let redirect = Action::Redirect(Redirect { path: "/x".into(), ..Redirect::default() });
    let conditions = vec![Condition::PathPattern { values: vec!["/redirect".into()] }];
    configuration.balancers[0].listeners[0].rules =
        vec![Rule { arn: "r".into(), priority: 7, conditions, action: redirect }];
    let (edge, to) = serve_logged(&directory, &configuration).await;
    get(to, "/redirect").await;
    raw(to, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n").await;
    let mut gone = TcpStream::connect(to).await.expect("a connection");
    gone.write_all(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    backend.asked().await;
    drop(gone);
    let all = lines(&edge, &directory, 3).await;
    let by = |status: &str| all.iter().find(|line| line[8] == status).unwrap_or_else(|| panic!("{status}: {all:#?}"));
    let redirected = by("302");
    assert_eq!((redirected[20].as_str(), redirected[22].as_str(), redirected[4].as_str()), ("7", "redirect", "-"));
    assert!(redirected[23].ends_with("/x") && redirected[5..8] == ["-1", "-1", "-1"], "{redirected:?}");
    let malformed = by("400");
    assert_eq!((malformed[12].as_str(), malformed[20].as_str()), ("- http://-:28080- -", "-"));
    let gone = by("460");
    assert_eq!(
        (gone[4].as_str(), gone[9].as_str(), gone[22].as_str()),
        (&*backend.address.to_string(), "-", "forward")
    );
}

#[tokio::test]
async fn a_balancer_that_keeps_no_log_has_none() {
    let directory = Directory::new("none");
    let backend = Backend::named("hello").await;
    let mut configuration = logged(&[backend.address]);
    configuration.balancers[0].attributes.access_logs = None;
    let (edge, to) = serve_logged(&directory, &configuration).await;
    assert_eq!(body(&get(to, "/").await), "hello");
    configuration.generation = 2;
    // No name of a bucket leads elsewhere.
    let logs = AccessLogs { bucket: "..".into(), prefix: String::new() };
    configuration.balancers[0].attributes.access_logs = Some(logs);
    edge.apply(configuration).await.expect("a configuration");
    assert_eq!(body(&get(to, "/").await), "hello");
    edge.finish_logs().await;
    assert_eq!(directory.lines(), [""; 0]);
}

/// By AWS's names; what is compliant has none.
#[tokio::test]
async fn each_line_says_how_its_request_is_classified_and_why() {
    let directory = Directory::new("classes");
    let backend = Backend::named("hello").await;
    let (edge, to) = serve_logged(&directory, &logged(&[backend.address])).await;
    let cases = [
        ("GET / HTTP/1.1", "", "200", "-", "-"),
        ("GET / HTTP/1.1", "Content-Length: 0", "200", "Acceptable", "GetHeadZeroContentLength"),
        ("GET / HTTP/1.1", "Content-Length: 3\r\n\r\nabc", "200", "Ambiguous", "UndefinedContentLengthSemantics"),
        ("POST / HTTP/1.1", "Content-Length: 0\r\nContent-Length: 0", "200", "Ambiguous", "DuplicateContentLength"),
        (
            "POST / HTTP/1.1",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0",
            "200",
            "Ambiguous",
            "BothTeClPresent",
        ),
        ("GET / HTTP/1.1", "Transfer_Encoding: chunked", "200", "Ambiguous", "SuspiciousHeader"),
        ("POST / HTTP/1.1", "Content-Length: 0\r\nContent-Length: 1", "400", "Severe", "MultipleContentLength"),
        ("POST / HTTP/1.1", "Content-Length: x", "400", "Severe", "BadContentLength"),
        ("POST / HTTP/1.1", "Transfer-Encoding: x", "501", "Severe", "BadTransferEncoding"),
        ("GET / HTTP/1.1", "A: b\0c", "400", "Severe", "BadHeader"),
        ("GET /\0 HTTP/1.1", "", "400", "Severe", "BadUri"),
        ("G(T / HTTP/1.1", "", "400", "Severe", "BadMethod"),
        ("GET / HTTP/1.10", "", "400", "Severe", "BadVersion"),
        ("GET /a b HTTP/1.1", "", "400", "Acceptable", "SpaceInUri"),
        ("GET / HTTP/1.1", "Host: b", "400", "-", "-"),
    ];
    for (line, header, expected, ..) in &cases {
        let lines: Vec<&str> =
            [*line, "Host: a", "Connection: close", *header].into_iter().filter(|it| !it.is_empty()).collect();
        let answer = raw(to, format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await;
        assert_eq!(status(&answer), *expected, "{line} {header}");
    }
    let mut all: Vec<_> = lines(&edge, &directory, cases.len()).await;
    all.sort_by(|one, other| one[21].cmp(&other[21]));
    for (line, (asked, header, status, class, reason)) in all.iter().zip(cases) {
        assert_eq!((&*line[8], &*line[27], &*line[28]), (status, class, reason), "{asked} {header}");
    }
}

#[tokio::test]
async fn an_edge_that_ends_leaves_whole_files_and_begins_no_other() {
    let directory = Directory::new("ends");
    let backend = Backend::start(|request| if request.contains("/never") { "never".into() } else { ok("hello") }).await;
    let (edge, to) = serve_logged(&directory, &logged(&[backend.address])).await;
    let mut waits = TcpStream::connect(to).await.expect("a connection");
    waits.write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    assert_eq!(body(&get(to, "/").await), "hello");
    let parts = || files(&directory.0).iter().filter(|path| path.to_string_lossy().ends_with(".part")).count();
    let written = async {
        while parts() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("a file");
    edge.end().await;
    assert_eq!((parts(), directory.lines().len()), (0, 1));
    assert!(TcpStream::connect(to).await.is_err());
    // The line of what is broken off now comes too late.
    drop(waits);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(files(&directory.0).len(), 1);
}
