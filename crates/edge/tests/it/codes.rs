//! What the balancer answers itself when there is no target, or none that can be reached. Other codes are tested where their
//! causes are.

use std::net::SocketAddr;

use longshore_link::edge::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::*;

/// An address that answers no attempt to connect: its queue is full. The connections keep it so.
async fn silent_address() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut queued = Vec::new();
    let moment = std::time::Duration::from_millis(200);
    while let Ok(stream) = tokio::time::timeout(moment, TcpStream::connect(address)).await {
        queued.push(stream.expect("a connection"));
    }
    (address, listener, queued)
}

#[tokio::test]
async fn a_target_that_does_not_accept_in_ten_seconds_is_a_time_out() {
    let (address, _listener, _queued) = silent_address().await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[address]);
    group(&mut configuration).health_check.interval_seconds = 300;
    let (_edge, to) = serve(&configuration).await;
    // From here on, time passes when nothing else happens.
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    assert_eq!(status(&get(to, "/").await), "504");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_target_that_resets_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let target = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).await;
            stream.set_zero_linger().expect("a reset");
        }
    });
    let (_edge, to) = balance(&[address]).await;
    assert_eq!(status(&get(to, "/").await), "502");
    target.abort();
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_counted() {
    let backend = Backend::start(|request| match request.contains("ELB-HealthChecker") {
        true => ok(""),
        false => "never".to_owned(),
    })
    .await;
    let configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    let (edge, to) = serve(&configuration).await;
    let mut client = TcpStream::connect(to).await.expect("a connection");
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    backend.asked().await;
    drop(client);
    let counted = async {
        let mut counted = std::collections::BTreeMap::<String, u64>::new();
        while !counted.contains_key("HTTPCode_ELB_4XX_Count") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let all = edge.take_metrics().await.series;
            let of_balancer = all.into_iter().filter(|series| series.target_group.is_none());
            counted.extend(of_balancer.flat_map(|series| series.values).filter(|(_, value)| *value > 0));
        }
        counted
    };
    let counted = tokio::time::timeout(PATIENCE, counted).await.expect("it is counted");
    assert_eq!(counted["HTTPCode_ELB_4XX_Count"], 1);
    assert!(!counted.keys().any(|name| name.contains("5")), "{counted:?}");
}

#[tokio::test]
async fn without_a_target_the_service_is_unavailable() {
    let backend = Backend::named("hello").await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    let (edge, to) = serve(&configuration).await;
    let none = WeightedGroup { target_group: "g".into(), weight: 0 };
    let action = |groups| Action::Forward { groups, stickiness_seconds: None };
    type Change<'c> = &'c dyn Fn(&mut EdgeConfiguration);
    let cases: [(Change<'_>, &str); 4] = [
        (&|it| it.balancers[0].listeners[0].default_action = action(vec![none.clone()]), "503"),
        (&|it| it.balancers[0].listeners[0].default_action = Action::forward("g"), "200"),
        (&|it| group(it).targets[0].draining_since = Some(millis()), "503"),
        (&|it| group(it).targets.clear(), "503"),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        configuration.generation += 1;
        change(&mut configuration);
        edge.apply(configuration.clone()).await.expect("a configuration");
        assert_eq!(status(&get(to, "/").await), expected, "case {number}");
    }
}
