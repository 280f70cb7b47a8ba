//! Zones of a balancer: what comes in by their addresses, by the door that all share, and where tasks are told to go.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::support::*;
use longshore_edge::Edge;
use longshore_link::edge::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A balancer in zones `a` and `b`, each with a target of its own, and in `c` without any.
struct Site {
    edge: Edge,
    configuration: EdgeConfiguration,
    a: Backend,
    b: Backend,
}

impl Site {
    async fn new(kind: BalancerKind) -> Self {
        let closing =
            |name: &'static str| Backend::start(move |_| ok(name).replacen("\r\n", "\r\nconnection: close\r\n", 1));
        let (a, b) = (closing("a").await, closing("b").await);
        let mut configuration = configuration(kind, own_address(), &[a.address, b.address]);
        group(&mut configuration).cross_zone = Some(false);
        for (target, zone) in group(&mut configuration).targets.iter_mut().zip(["a", "b"]) {
            target.zone = Some(zone.into());
        }
        let address = |(zone, inside): (&str, bool)| Address { ip: own_address(), zone: zone.into(), inside };
        let places = [("a", false), ("a", true), ("b", false), ("b", true), ("c", false), ("c", true)];
        configuration.balancers[0].addresses = places.map(address).to_vec();
        configuration.door = Some(own_address());
        let edge = Edge::new();
        edge.apply(configuration.clone()).await.expect("a configuration");
        assert_eq!(edge.report().await.problems, []);
        for target in [&a, &b] {
            until(&edge, target.address.port(), TargetState::Healthy).await;
        }
        Self { edge, configuration, a, b }
    }

    fn door(&self) -> SocketAddr {
        SocketAddr::new(self.configuration.door.expect("a door"), PORT)
    }

    fn address(&self, zone: &str) -> SocketAddr {
        let here = |address: &&Address| address.zone == zone && !address.inside;
        let found = self.configuration.balancers[0].addresses.iter().find(here);
        SocketAddr::new(found.expect("the zone's address").ip, PORT)
    }

    /// The addresses in the network of tasks.
    fn inside(&self, zones: &[&str]) -> Vec<Ipv4Addr> {
        let addresses = self.configuration.balancers[0].addresses.iter();
        let inside = addresses.filter(|address| address.inside && zones.contains(&address.zone.as_str()));
        inside
            .map(|address| if let IpAddr::V4(ip) = address.ip { ip } else { unreachable!("an IPv4 address") })
            .collect()
    }

    /// Who answers so many clients.
    async fn answers(&self, to: SocketAddr, clients: usize) -> String {
        let mut names: Vec<String> = Vec::new();
        for _ in 0..clients {
            names.push(body(&get(to, "/").await).to_owned());
        }
        names.sort_unstable();
        names.concat()
    }

    async fn lose_a(self) -> (Edge, EdgeConfiguration, Backend) {
        let port = self.a.address.port();
        drop(self.a);
        until(&self.edge, port, TargetState::Unhealthy).await;
        (self.edge, self.configuration, self.b)
    }
}

#[tokio::test]
async fn an_address_leads_to_its_zone_alone_and_to_nobody_where_no_target_is() {
    for kind in [BalancerKind::Application, BalancerKind::Network] {
        let site = Site::new(kind).await;
        assert_eq!(site.answers(site.address("a"), 4).await, "aaaa");
        assert_eq!(site.answers(site.address("b"), 4).await, "bbbb");
    }
    let site = Site::new(BalancerKind::Application).await;
    assert_eq!(status(&get(site.address("c"), "/").await), "503");
    let site = Site::new(BalancerKind::Network).await;
    let mut stream = TcpStream::connect(site.address("c")).await.expect("a connection");
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("an end");
    assert_eq!(read.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn at_the_door_zones_take_turns_as_long_as_they_have_a_healthy_target() {
    for kind in [BalancerKind::Application, BalancerKind::Network] {
        let site = Site::new(kind).await;
        let door = site.door();
        assert_eq!(site.answers(door, 6).await, "aaabbb");
        let (_edge, _, _b) = site.lose_a().await;
        for _ in 0..4 {
            assert_eq!(body(&get(door, "/").await), "b", "{kind:?}");
        }
    }
}

#[tokio::test]
async fn at_the_door_a_client_stays_in_its_zone_where_it_stays_with_its_target() {
    let site = Site::new(BalancerKind::Network).await;
    let mut sticky = site.configuration.clone();
    sticky.generation = 2;
    group(&mut sticky).stickiness = Stickiness::SourceIp;
    site.edge.apply(sticky).await.expect("a configuration");
    let mut reached = std::collections::BTreeSet::new();
    for last in 2..18 {
        let from = SocketAddr::from(([127, 0, 0, last], 0));
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind(from).expect("an address");
            let mut stream = socket.connect(site.door()).await.expect("a connection");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
            names.insert(body(&rest(&mut stream).await).to_owned());
        }
        assert_eq!(names.len(), 1, "{from}: {names:?}");
        reached.extend(names);
    }
    assert_eq!(reached.into_iter().collect::<String>(), "ab");
}

#[tokio::test]
async fn across_zones_every_address_leads_to_every_target() {
    let site = Site::new(BalancerKind::Application).await;
    let mut across = site.configuration.clone();
    across.generation = 2;
    group(&mut across).cross_zone = None;
    site.edge.apply(across).await.expect("a configuration");
    for to in [site.address("a"), site.address("b"), site.address("c"), site.door()] {
        assert_eq!(site.answers(to, 4).await, "aabb", "{to}");
    }
    assert_eq!(site.edge.places().of("web.test"), Some(site.inside(&["a", "b", "c"])));
}

#[tokio::test]
async fn tasks_are_told_of_zones_with_a_healthy_target_and_of_all_if_none_has_one() {
    let site = Site::new(BalancerKind::Network).await;
    let places = site.edge.places();
    let (of_both, of_b) = (site.inside(&["a", "b"]), site.inside(&["b"]));
    let all = site.inside(&["a", "b", "c"]);
    assert_eq!((places.of("web.test"), places.of("other.test")), (Some(of_both), None));
    let (edge, mut configuration, b) = site.lose_a().await;
    assert_eq!(places.of("web.test"), Some(of_b));
    let port = b.address.port();
    drop(b);
    until(&edge, port, TargetState::Unhealthy).await;
    assert_eq!(places.of("web.test"), Some(all));
    // A zone that the balancer leaves takes its address along.
    configuration.generation = 2;
    configuration.balancers[0].addresses.retain(|address| address.zone == "b");
    edge.apply(configuration.clone()).await.expect("a configuration");
    let left: Vec<IpAddr> = places.of("web.test").expect("a place").into_iter().map(IpAddr::V4).collect();
    assert_eq!(left, [configuration.balancers[0].addresses[1].ip]);
}
