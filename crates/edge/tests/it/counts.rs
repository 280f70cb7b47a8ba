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
