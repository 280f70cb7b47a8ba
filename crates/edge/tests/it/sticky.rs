//! Clients that stay with their target or their group.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longshore_link::edge::*;

use crate::support::*;

fn sticky(stickiness: Stickiness, targets: &[SocketAddr]) -> EdgeConfiguration {
    let mut configuration = configuration(BalancerKind::Application, own_address(), targets);
    configuration.cookie_key = Some(CookieKey("a secret".into()));
    group(&mut configuration).stickiness = stickiness;
    group(&mut configuration).health_check.healthy_threshold = 2;
    configuration
}

const DAY: Stickiness = Stickiness::LbCookie { seconds: 86_400 };

async fn ask(to: SocketAddr, cookies: &str) -> String {
    raw(to, format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n").as_bytes()).await
}

/// What a browser sends back of an answer.
fn cookies(answer: &str) -> String {
    let lines = answer.lines().filter_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
    lines.filter(|cookie| !cookie.ends_with("=_remove_")).collect::<Vec<_>>().join("; ")
}

/// Who answers ten requests with these cookies.
async fn who(to: SocketAddr, cookies: &str) -> std::collections::BTreeSet<String> {
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..10 {
        names.insert(body(&ask(to, cookies).await).to_owned());
    }
    names
}

async fn all_healthy(edge: &longshore_edge::Edge, targets: &[&Backend]) {
    for target in targets {
        until(edge, target.address.port(), TargetState::Healthy).await;
    }
}

#[tokio::test]
async fn a_client_stays_with_its_target_by_the_balancers_cookie() {
    let (one, other) = (Backend::named("one").await, Backend::named("other").await);
    let targets = [one.address, other.address];
    let (edge, to) = serve(&sticky(DAY, &targets)).await;
    all_healthy(&edge, &[&one, &other]).await;
    let first = ask(to, "").await;
    assert_eq!(first.matches("set-cookie: ").count(), 2, "{first}");
    let mine = cookies(&first);
    let name = body(&first).to_owned();
    assert_eq!(who(to, &mine).await, [name.clone()].into());
    assert!(cookies(&ask(to, &mine).await).starts_with("AWSALB="), "each answer renews it");
    assert_eq!(who(to, "AWSALB=junk; AWSALBCORS=junk").await.len(), 2);
    // Another edge with the same key reads it, one with another key does not.
    let (next, to) = serve(&sticky(DAY, &targets)).await;
    all_healthy(&next, &[&one, &other]).await;
    assert_eq!(who(to, &mine).await, [name].into());
    let keyless = EdgeConfiguration { cookie_key: None, ..sticky(DAY, &targets) };
    let (stranger, to) = serve(&keyless).await;
    all_healthy(&stranger, &[&one, &other]).await;
    assert_eq!(who(to, &mine).await.len(), 2);
    assert_eq!(who(to, &cookies(&ask(to, "").await)).await.len(), 1);
}

#[tokio::test]
async fn a_client_moves_when_its_target_drains_or_is_unhealthy() {
    let ill = Arc::new(AtomicBool::new(false));
    let is_ill = ill.clone();
    let one =
        Backend::start(move |request| match request.contains("ELB-HealthChecker") && is_ill.load(Ordering::SeqCst) {
            true => "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned(),
            false => ok("one"),
        })
        .await;
    let (other, third) = (Backend::named("other").await, Backend::named("third").await);
    let mut configuration = sticky(DAY, &[one.address]);
    let (edge, to) = serve(&configuration).await;
    let mine = cookies(&ask(to, "").await);
    configuration.generation = 2;
    group(&mut configuration).targets.push(Target::new(other.address));
    edge.apply(configuration.clone()).await.expect("a configuration");
    all_healthy(&edge, &[&one, &other]).await;
    assert_eq!(who(to, &mine).await, ["one".to_owned()].into());
    ill.store(true, Ordering::SeqCst);
    until(&edge, one.address.port(), TargetState::Unhealthy).await;
    let moved = ask(to, &mine).await;
    assert_eq!(body(&moved), "other");
    ill.store(false, Ordering::SeqCst);
    until(&edge, one.address.port(), TargetState::Healthy).await;
    let mine = cookies(&moved);
    assert_eq!(who(to, &mine).await, ["other".to_owned()].into());
    configuration.generation = 3;
    group(&mut configuration).targets[1].draining_since = Some(millis());
    group(&mut configuration).targets[0] = Target::new(third.address);
    edge.apply(configuration).await.expect("a configuration");
    assert_eq!(who(to, &mine).await, ["third".to_owned()].into());
}

#[tokio::test]
async fn an_unhealthy_target_keeps_its_clients_where_all_are() {
    let answer = |name: &'static str| {
        move |request: &str| match request.contains("ELB-HealthChecker") {
            true => "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned(),
            false => ok(name),
        }
    };
    let (one, other) = (Backend::start(answer("one")).await, Backend::start(answer("other")).await);
    let (_edge, to) = serve(&sticky(DAY, &[one.address, other.address])).await;
    let first = ask(to, "").await;
    assert_eq!(who(to, &cookies(&first)).await, [body(&first).to_owned()].into());
}

#[tokio::test]
async fn a_client_stays_with_its_target_by_the_applications_cookie() {
    let log_in = |name: &'static str| {
        move |request: &str| match request.contains("sid=") {
            true => ok(name),
            false => {
                format!("HTTP/1.1 200 OK\r\nset-cookie: sid=1; Path=/\r\ncontent-length: {}\r\n\r\n{name}", name.len())
            }
        }
    };
    let (one, other) = (Backend::start(log_in("one")).await, Backend::start(log_in("other")).await);
    let kind = Stickiness::AppCookie(AppCookie { name: "sid".into(), seconds: 60 });
    let (edge, to) = serve(&sticky(kind, &[one.address, other.address])).await;
    all_healthy(&edge, &[&one, &other]).await;
    let first = ask(to, "").await;
    let mine = cookies(&first);
    assert!(mine.starts_with("sid=1; AWSALBAPP-0="), "{first}");
    assert_eq!(who(to, &mine).await, [body(&first).to_owned()].into());
    assert_eq!(who(to, "sid=1").await.len(), 2);
    assert_eq!(who(to, mine.strip_prefix("sid=1; ").expect("the balancer's")).await.len(), 2);
    let none = ask(to, "sid=1").await;
    assert_eq!(none.matches("=_remove_; Expires=").count(), 4, "{none}");
}

#[tokio::test]
async fn a_client_stays_with_its_group_also_when_the_group_gets_no_others() {
    let (blue, green) = (Backend::named("blue").await, Backend::named("green").await);
    let mut configuration = sticky(Stickiness::None, &[blue.address]);
    let other = TargetGroup { targets: vec![Target::new(green.address)], ..group(&mut configuration).clone() };
    configuration.target_groups.insert("green".into(), other);
    let mut weigh = |old: u32, new: u32| {
        let named = |name: &str, weight| WeightedGroup { target_group: name.to_owned(), weight };
        let action =
            Action::Forward { groups: vec![named("g", old), named("green", new)], stickiness_seconds: Some(60) };
        configuration.generation += 1;
        configuration.balancers[0].listeners[0].default_action = action;
        configuration.clone()
    };
    let (edge, to) = serve(&weigh(1, 0)).await;
    let mine = cookies(&ask(to, "").await);
    assert!(mine.starts_with("AWSALBTG=") && mine.contains("; AWSALBTGCORS="), "{mine}");
    edge.apply(weigh(0, 1)).await.expect("a configuration");
    assert_eq!(who(to, &mine).await, ["blue".to_owned()].into());
    assert_eq!(who(to, "AWSALBTG=junk").await, ["green".to_owned()].into());
}

#[tokio::test]
async fn what_the_balancer_answers_itself_binds_nobody() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let (_edge, to) = serve(&sticky(DAY, &[nobody])).await;
    let answer = ask(to, "").await;
    assert!(status(&answer) == "502" && !answer.contains("set-cookie"), "{answer}");
}
