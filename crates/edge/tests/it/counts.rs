//! What an application load balancer counts.

use std::collections::BTreeMap;

use longshore_link::edge::*;

use crate::support::*;

fn series<'m>(metrics: &'m Metrics, group: Option<&str>) -> &'m Series {
    metrics.series.iter().find(|series| series.target_group.as_deref() == group).expect("a series")
}

fn rule(path: &str, action: Action) -> Rule {
    let conditions = vec![Condition::PathPattern { values: vec![path.into()] }];
    Rule { arn: path.into(), priority: 1, conditions, action }
}

#[tokio::test]
async fn requests_and_answers_are_counted_by_balancer_and_group() {
    let backend = Backend::start(|request| match request.split(' ').nth(1) {
        Some("/gone") => "HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n".into(),
        Some("/broken") => String::new(),
        _ => ok("hello"),
    })
    .await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    let fixed = Action::FixedResponse { status: 503, content_type: None, body: None };
    let redirect = Action::Redirect(Redirect { path: "/x".into(), ..Redirect::default() });
    configuration.balancers[0].listeners[0].rules = vec![rule("/fixed", fixed), rule("/redirect", redirect)];
    let (edge, to) = serve(&configuration).await;
    until(&edge, backend.address.port(), TargetState::Healthy).await;
    let mut answers = 0;
    for path in ["/", "/", "/", "/gone", "/broken", "/fixed", "/redirect"] {
        answers += get(to, path).await.len();
    }
    let malformed = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n";
    answers += raw(to, malformed.as_bytes()).await.len();
    let metrics = edge.take_metrics().await;
    let group = series(&metrics, Some("g"));
    let expected = [
        ("HTTPCode_Target_2XX_Count", 3),
        ("HTTPCode_Target_4XX_Count", 1),
        ("HealthyHostCount", 1),
        ("RequestCount", 5),
        ("UnHealthyHostCount", 0),
    ];
    let named = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(group.values, BTreeMap::from(named));
    let times = group.response_times.as_ref().expect("times");
    assert!(times.count == 4 && times.percentile(0.5) <= times.max_micros && times.sum_micros >= times.max_micros);
    let balancer = series(&metrics, None);
    assert_eq!(balancer.response_times, group.response_times);
    for (name, expected) in [
        ("RequestCount", 5),
        ("NewConnectionCount", 8),
        ("HTTPCode_Target_2XX_Count", 3),
        ("HTTPCode_ELB_3XX_Count", 1),
        ("HTTPCode_ELB_4XX_Count", 1),
        ("HTTPCode_ELB_502_Count", 1),
        ("HTTPCode_ELB_503_Count", 1),
        ("HTTPCode_ELB_5XX_Count", 2),
        ("HTTP_Fixed_Response_Count", 1),
        ("HTTP_Redirect_Count", 1),
    ] {
        assert_eq!(balancer.values.get(name), Some(&expected), "{name}");
    }
    // Each way counts, and requests were read to their end.
    assert!(balancer.values["ProcessedBytes"] > answers as u64 + malformed.len() as u64);
    assert!(balancer.values["ProcessedBytes"] < 2 * answers as u64 + 1000);
}

#[tokio::test]
async fn what_was_taken_is_not_counted_again_and_what_is_open_is() {
    let backend = Backend::named("hello").await;
    let (edge, to) = balance(&[backend.address]).await;
    let mut stream = tokio::net::TcpStream::connect(to).await.expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("the edge reads");
    message(&mut stream, &mut Vec::new()).await.expect("an answer");
    let first = edge.take_metrics().await;
    assert_eq!(series(&first, None).values["ActiveConnectionCount"], 1);
    assert_eq!(series(&first, None).values["RequestCount"], 1);
    let second = edge.take_metrics().await;
    assert_eq!(series(&second, None).values, BTreeMap::from([("ActiveConnectionCount".to_owned(), 1)]));
    assert_eq!(series(&second, Some("g")).response_times, None);
    assert!(first.at % 60_000 == 0 && (millis() - first.at).abs() < 3_600_000);
}

#[tokio::test]
async fn a_target_that_is_not_there_is_counted_as_an_error() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let (edge, to) = balance(&[nobody]).await;
    assert_eq!(status(&get(to, "/").await), "502");
    let metrics = edge.take_metrics().await;
    let group = series(&metrics, Some("g"));
    assert_eq!((group.values["TargetConnectionErrorCount"], group.values["RequestCount"]), (1, 1));
    assert_eq!(series(&metrics, None).values["HTTPCode_ELB_502_Count"], 1);
}

#[tokio::test]
async fn requests_that_are_not_compliant_are_counted_in_every_mode_and_whether_or_not_they_are_refused() {
    let backend = Backend::named("hello").await;
    for (mode, expected) in [
        (DesyncMode::Monitor, ["200", "200", "200", "400", "400"]),
        (DesyncMode::Defensive, ["200", "200", "200", "400", "400"]),
        (DesyncMode::Strictest, ["200", "400", "400", "400", "400"]),
    ] {
        let mut configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
        configuration.balancers[0].attributes.desync_mode = mode;
        let (edge, to) = serve(&configuration).await;
        let heads = [
            "",
            // Acceptable, Ambiguous, Severe.
            "Content-Length: 0\r\n",
            "Transfer_Encoding: chunked\r\n",
            "Content-Length: x\r\n",
            // Compliant for the classifier.
            "Host: b\r\n",
        ];
        for (head, expected) in heads.into_iter().zip(expected) {
            let asked = format!("GET / HTTP/1.1\r\nHost: a\r\n{head}Connection: close\r\n\r\n");
            assert_eq!(status(&raw(to, asked.as_bytes()).await), expected, "{mode:?} {head}");
        }
        let metrics = edge.take_metrics().await;
        let counted = series(&metrics, None).values.get("DesyncMitigationMode_NonCompliant_Request_Count");
        assert_eq!(counted, Some(&3), "{mode:?}");
    }
}

/// A client that asks, and stays if it is answered.
async fn stay(to: std::net::SocketAddr) -> Option<tokio::net::TcpStream> {
    let mut stream = tokio::net::TcpStream::connect(to).await.expect("a connection");
    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    message(&mut stream, &mut Vec::new()).await.map(|_| stream)
}

#[tokio::test]
async fn a_flooded_listener_leaves_room_for_others_and_counts_whom_it_rejects() {
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[]);
    let mut other = configuration.balancers[0].clone();
    (other.arn, other.addresses[0].ip) = ("other".into(), own_address());
    other.listeners[0].arn = "listener of other".into();
    configuration.balancers.push(other);
    let edge = longshore_edge::Edge::new().holding(40);
    edge.apply(configuration.clone()).await.expect("a configuration");
    let to = |place: usize| std::net::SocketAddr::new(configuration.balancers[place].addresses[0].ip, PORT);
    let mut flood = Vec::new();
    for _ in 0..50 {
        flood.extend(stay(to(0)).await);
    }
    assert_eq!(flood.len(), 30);
    assert_eq!(status(&get(to(1), "/").await), "503");
    let metrics = edge.take_metrics().await;
    let of = |arn: &str| metrics.series.iter().find(|series| series.balancer == arn).expect("a series").values.clone();
    let (flooded, free) = (of("balancer"), of("other"));
    assert_eq!((flooded["RejectedConnectionCount"], flooded["NewConnectionCount"]), (20, 30));
    assert_eq!((free.get("RejectedConnectionCount"), free["NewConnectionCount"]), (None, 1));
    // What was held is free again.
    drop(flood);
    let again = async {
        while stay(to(0)).await.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("it is served again");
}
