//! Configurations, targets and their health, while requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longshore_link::edge::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test]
async fn an_older_configuration_is_refused_and_the_last_one_stays() {
    let backend = Backend::named("hello").await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    configuration.generation = 5;
    let (edge, to) = serve(&configuration).await;
    let older = EdgeConfiguration { generation: 4, ..EdgeConfiguration::default() };
    assert_eq!(edge.apply(older).await, Err(Refusal::Older { had: 5, came: 4 }));
    let mut broken = configuration.clone();
    broken.generation = 6;
    broken.target_groups.clear();
    assert!(matches!(edge.apply(broken).await, Err(Refusal::NoGroup { .. })));
    assert_eq!(status(&get(to, "/").await), "200");
    assert_eq!(edge.whole_report().await.generation, 5);
}

#[tokio::test]
async fn listeners_open_and_close_with_the_configuration() {
    let backend = Backend::named("hello").await;
    let first = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    let (edge, to) = serve(&first).await;
    assert_eq!(status(&get(to, "/").await), "200");
    let mut second = first.clone();
    second.generation = 2;
    second.balancers[0].listeners[0].port = PORT + 1;
    edge.apply(second).await.expect("a configuration");
    assert_eq!(status(&get((to.ip(), PORT + 1).into(), "/").await), "200");
    let closed = async {
        while TcpStream::connect(to).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the old listener closes");
}

#[tokio::test]
async fn what_cannot_be_served_is_reported() {
    let taken = tokio::net::TcpListener::bind((own_address(), PORT)).await.expect("a port");
    let ip = taken.local_addr().expect("an address").ip();
    let edge = longshore_edge::Edge::new();
    let mut wanted = configuration(BalancerKind::Application, ip, &[]);
    edge.apply(wanted.clone()).await.expect("a configuration");
    let problems = edge.report().await.problems;
    assert!(problems[0].problem.contains("cannot be listened on"), "{problems:?}");
    drop(taken);
    wanted.generation = 2;
    edge.apply(wanted.clone()).await.expect("a configuration");
    assert_eq!(edge.report().await.problems, []);
    wanted.generation = 3;
    group(&mut wanted).health_check.protocol = GroupProtocol::Udp;
    edge.apply(wanted.clone()).await.expect("a configuration");
    assert_eq!(edge.report().await.problems[0].problem, "health checks of protocol Udp are not served");
    wanted.generation = 4;
    wanted.balancers[0].kind = BalancerKind::Network;
    wanted.balancers[0].listeners[0].protocol = ListenerProtocol::Udp;
    edge.apply(wanted).await.expect("a configuration");
    let report = edge.report().await;
    assert_eq!(report.problems[0].problem, "target groups of protocol Http are not served here");
    assert_eq!(edge.whole_report().await.problems, report.problems);
}

#[tokio::test]
async fn a_socket_that_is_free_at_last_is_listened_on_without_another_configuration() {
    let taken = tokio::net::TcpListener::bind((own_address(), PORT)).await.expect("a port");
    let to = taken.local_addr().expect("an address");
    let edge = longshore_edge::Edge::new();
    let mut wanted = configuration(BalancerKind::Application, to.ip(), &[]);
    wanted.door = Some(own_address());
    let door = std::net::SocketAddr::new(wanted.door.expect("a door"), PORT);
    edge.apply(wanted).await.expect("a configuration");
    assert_eq!(edge.report().await.problems.len(), 1);
    // From here on, time passes when nothing else happens.
    tokio::time::pause();
    drop(taken);
    let solved = async { while !edge.report().await.problems.is_empty() {} };
    tokio::time::timeout(PATIENCE, solved).await.expect("a report without problems");
    assert_eq!(edge.whole_report().await.problems, []);
    tokio::time::resume();
    for way in [to, door] {
        assert_eq!(status(&get(way, "/").await), "503");
    }
}

/// A target that answers `/slow` only when it is told to.
async fn slow_target() -> (Backend, Arc<AtomicBool>) {
    let release = Arc::new(AtomicBool::new(false));
    let released = release.clone();
    let backend = Backend::start(move |request| match request.contains("/slow") && !released.load(Ordering::SeqCst) {
        true => "later".to_owned(),
        false => ok("slow"),
    });
    (backend.await, release)
}

/// A request that its target is busy with.
async fn in_flight(to: std::net::SocketAddr, backend: &Backend) -> TcpStream {
    let mut client = TcpStream::connect(to).await.expect("a connection");
    let request = b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.expect("the edge reads");
    backend.asked().await;
    client
}

#[tokio::test]
async fn a_draining_target_gets_nothing_new_and_ends_what_it_has() {
    let (slow, release) = slow_target().await;
    let other = Backend::named("other").await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[slow.address]);
    let (edge, to) = serve(&configuration).await;
    let mut client = in_flight(to, &slow).await;
    configuration.generation = 2;
    group(&mut configuration).targets[0].draining_since = Some(millis());
    edge.apply(configuration.clone()).await.expect("a configuration");
    assert_eq!(status(&get(to, "/").await), "503");
    configuration.generation = 3;
    group(&mut configuration).targets.push(Target::new(other.address));
    edge.apply(configuration).await.expect("a configuration");
    for _ in 0..20 {
        assert_eq!(body(&get(to, "/").await), "other");
    }
    release.store(true, Ordering::SeqCst);
    assert_eq!(body(&rest(&mut client).await), "slow");
    assert_eq!(slow.count(), 1);
}

#[tokio::test]
async fn what_is_in_flight_past_the_delay_is_a_bad_gateway() {
    let (slow, _release) = slow_target().await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[slow.address]);
    group(&mut configuration).deregistration_delay_seconds = 1;
    let (edge, to) = serve(&configuration).await;
    let mut client = in_flight(to, &slow).await;
    configuration.generation = 2;
    group(&mut configuration).targets[0].draining_since = Some(millis());
    edge.apply(configuration).await.expect("a configuration");
    assert_eq!(status(&rest(&mut client).await), "502");
}

#[tokio::test]
async fn a_target_that_is_registered_again_serves_again() {
    let backend = Backend::named("hello").await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    let (edge, to) = serve(&configuration).await;
    for (generation, draining_since, expected) in [(2, Some(millis() - 3_600_000), "503"), (3, None, "200")] {
        configuration.generation = generation;
        group(&mut configuration).targets[0].draining_since = draining_since;
        edge.apply(configuration.clone()).await.expect("a configuration");
        assert_eq!(status(&get(to, "/").await), expected);
    }
}

/// Two hundred changes of targets and rules while four clients ask: each request has its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_configuration_loses_no_request() {
    let (one, other) = (Backend::named("one").await, Backend::named("other").await);
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[one.address]);
    let (edge, to) = serve(&configuration).await;
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(ask_until(to, done.clone()))).collect();
    for generation in 2..202 {
        configuration.generation = generation;
        let now = if generation % 2 == 0 { other.address } else { one.address };
        group(&mut configuration).targets = vec![Target::new(now)];
        edge.apply(configuration.clone()).await.expect("a configuration");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    done.store(true, Ordering::SeqCst);
    let mut asked = 0;
    for client in clients {
        asked += client.await.expect("every request has its answer");
    }
    assert_eq!(one.count() + other.count(), asked);
    assert!(one.count() > 0 && other.count() > 0);
}

/// Asks on one connection again and again; how often.
async fn ask_until(to: std::net::SocketAddr, done: Arc<AtomicBool>) -> usize {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    let (mut came, mut asked) = (Vec::new(), 0);
    while !done.load(Ordering::SeqCst) {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
        let answer = message(&mut stream, &mut came).await.expect("an answer");
        assert_eq!(status(&answer), "200", "{answer}");
        asked += 1;
    }
    asked
}

#[tokio::test]
async fn requests_go_to_healthy_targets_unless_there_are_none() {
    let ill = Backend::start(|request| match request.contains("ELB-HealthChecker/2.0") {
        true => "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned(),
        false => ok("ill"),
    })
    .await;
    let well = Backend::named("well").await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[ill.address, well.address]);
    let (edge, to) = serve(&configuration).await;
    let health = until(&edge, ill.address.port(), TargetState::Unhealthy).await;
    assert_eq!(health.reason, Some(Reason::ResponseCodeMismatch));
    assert_eq!(health.description.as_deref(), Some("Health checks failed with these codes: [500]"));
    until(&edge, well.address.port(), TargetState::Healthy).await;
    for _ in 0..10 {
        assert_eq!(body(&get(to, "/").await), "well");
    }
    configuration.generation = 2;
    group(&mut configuration).targets.pop();
    edge.apply(configuration).await.expect("a configuration");
    assert_eq!(body(&get(to, "/").await), "ill");
}

#[tokio::test]
async fn a_check_tells_why_it_failed() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let silent = Backend::start(|_| "never".to_owned()).await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[nobody, silent.address]);
    group(&mut configuration).health_check.timeout_seconds = 1;
    let (edge, _) = serve(&configuration).await;
    let refused = until(&edge, nobody.port(), TargetState::Unhealthy).await;
    assert_eq!(refused.reason, Some(Reason::FailedHealthChecks));
    let late = until(&edge, silent.address.port(), TargetState::Unhealthy).await;
    assert_eq!((late.reason, late.description.as_deref()), (Some(Reason::Timeout), Some("Request timed out")));
}

#[tokio::test]
async fn targets_of_other_zones_are_left_alone_without_balancing_across_zones() {
    let (here, there) = (Backend::named("here").await, Backend::named("there").await);
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[here.address, there.address]);
    let group = group(&mut configuration);
    group.cross_zone = Some(false);
    group.targets[0].zone = Some("a".into());
    group.targets[1].zone = Some("b".into());
    let (_edge, to) = serve(&configuration).await;
    for _ in 0..10 {
        assert_eq!(body(&get(to, "/").await), "here");
    }
}

#[tokio::test]
async fn a_target_starts_slowly_unless_slow_start_comes_after_it() {
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    for seconds in [0, 900] {
        let mut configuration = configuration(BalancerKind::Application, own_address(), &[old.address]);
        group(&mut configuration).slow_start_seconds = seconds;
        let (edge, to) = serve(&configuration).await;
        until(&edge, old.address.port(), TargetState::Healthy).await;
        configuration.generation = 2;
        group(&mut configuration).targets.push(Target::new(new.address));
        edge.apply(configuration.clone()).await.expect("a configuration");
        until(&edge, new.address.port(), TargetState::Healthy).await;
        configuration.generation = 3;
        group(&mut configuration).slow_start_seconds = 900;
        edge.apply(configuration).await.expect("a configuration");
        let before = new.count();
        for _ in 0..20 {
            assert_eq!(status(&get(to, "/").await), "200");
        }
        let count = new.count() - before;
        assert!(if seconds == 0 { count == 10 } else { count < 10 }, "{count} with {seconds} seconds at first");
    }
}

#[tokio::test]
async fn errors_of_a_target_count_against_it_where_the_group_says_so() {
    let ill = Backend::start(|request| match request.contains("ELB-HealthChecker") {
        true => ok(""),
        false => "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned(),
    })
    .await;
    let (one, other) = (Backend::named("one").await, Backend::named("other").await);
    let targets = [ill.address, one.address, other.address];
    let mut configuration = configuration(BalancerKind::Application, own_address(), &targets);
    let group = group(&mut configuration);
    (group.algorithm, group.anomaly_mitigation) = (Algorithm::WeightedRandom, true);
    let (edge, to) = serve(&configuration).await;
    for address in targets {
        until(&edge, address.port(), TargetState::Healthy).await;
    }
    // From here on, time passes when nothing else happens, or when it is told to.
    tokio::time::pause();
    for _ in 0..6 {
        for _ in 0..300 {
            get(to, "/").await;
        }
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let before = ill.count();
    for _ in 0..300 {
        get(to, "/").await;
    }
    assert!(ill.count() - before < 50, "{} of 300", ill.count() - before);
}

/// Waits until a report has the target in this state.
async fn reported(edge: &longshore_edge::Edge, port: u16, state: TargetState) {
    let found = async {
        while !edge.report().await.health.iter().any(|health| health.port == port && health.state == state) {}
    };
    tokio::time::timeout(PATIENCE, found).await.expect("a report");
}

#[tokio::test]
async fn the_health_of_a_target_that_is_registered_again_is_reported_again() {
    let held = Arc::new(AtomicBool::new(false));
    let holds = held.clone();
    let one = Backend::start(move |request| match request.contains("ELB-HealthChecker") {
        true if holds.load(Ordering::SeqCst) => "later".to_owned(),
        _ => ok("one"),
    })
    .await;
    let other = Backend::named("other").await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[one.address, other.address]);
    let (edge, to) = serve(&configuration).await;
    until(&edge, other.address.port(), TargetState::Healthy).await;
    reported(&edge, one.address.port(), TargetState::Healthy).await;
    for (generation, draining_since, registered_at) in [(2, Some(millis()), 0), (3, None, 7)] {
        held.store(true, Ordering::SeqCst);
        configuration.generation = generation;
        let again = &mut group(&mut configuration).targets[0];
        (again.draining_since, again.registered_at) = (draining_since, registered_at);
        edge.apply(configuration.clone()).await.expect("a configuration");
    }
    reported(&edge, one.address.port(), TargetState::Initial).await;
    for _ in 0..10 {
        assert_eq!(body(&get(to, "/").await), "other");
    }
    // Alone, it is better than nothing.
    configuration.generation = 4;
    group(&mut configuration).targets.pop();
    edge.apply(configuration.clone()).await.expect("a configuration");
    assert_eq!(body(&get(to, "/").await), "one");
    until(&edge, one.address.port(), TargetState::Initial).await;
    held.store(false, Ordering::SeqCst);
    reported(&edge, one.address.port(), TargetState::Healthy).await;
}
