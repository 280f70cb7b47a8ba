//! The task network on a real kernel: namespaces, links, nftables and sockets. Takes root, `ip`, `nft`, `iptables` and
//! `busybox`; each test has a host of its own (see `network/host.rs`) and no address outside of it is ever used.

#[path = "network/host.rs"]
mod host;
#[path = "network/lifetime.rs"]
mod lifetime;
#[path = "network/metadata.rs"]
mod metadata;
#[path = "network/preserve.rs"]
mod preserve;
#[path = "network/resolver.rs"]
mod resolver;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use host::*;
use longshore_agent::network::{EniSpec, Network, TaskNet};

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("end a process");
    }
}

/// Whether a datagram that one task sends from an address reaches another within a time.
fn arrives(to: &TaskNet, from: &TaskNet, source: Ipv4Addr, within: Duration) -> bool {
    let receiver = inside(&to.netns, || UdpSocket::bind("0.0.0.0:99").unwrap());
    receiver.set_read_timeout(Some(within)).unwrap();
    let target = SocketAddr::from((to.eni.private_ip, 99));
    inside(&from.netns, || UdpSocket::bind((source, 0)).unwrap().send_to(b"hello", target).unwrap());
    receiver.recv(&mut [0; 9]).is_ok()
}

#[test]
fn tasks_reach_each_other_by_their_private_addresses() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let tasks = [
            attach(&network, eni(0, 10)).await,
            attach(&network, eni(0, 11)).await,
            attach(&network, eni(1, 12)).await,
        ];
        for to in &tasks {
            tell_callers(&to.netns, 80);
        }
        for from in &tasks {
            for to in &tasks {
                let seen = call(&from.netns, to.eni.private_ip, 80).unwrap();
                assert_eq!(seen, from.eni.private_ip.to_string(), "to {}", to.eni.id);
            }
            assert_eq!(call(&from.netns, Ipv4Addr::LOCALHOST, 80).unwrap(), "127.0.0.1");
        }
    });
}

#[test]
fn a_task_has_the_interface_it_was_given() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let task = attach(&network, eni(1, 10)).await;
        let said = inside(&task.netns, || command("ip -o address") + &command("ip -o link") + &command("ip route"));
        for fact in [
            "eth0    inet 172.31.16.10/20 brd 172.31.31.255 scope global eth0",
            "lo    inet 127.0.0.1/8",
            "link/ether 02:00:00:00:01:0a",
            "default via 172.31.16.1 dev eth0",
        ] {
            assert!(said.contains(fact), "{fact} is not in {said}");
        }
        assert!(!said.contains("fe80") && !said.contains("169.254"), "{said}");
    });
}

#[test]
fn the_host_and_other_tasks_reach_a_public_address() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let server = attach(&network, public_eni(&network, 0, 10)).await;
        let public = server.eni.public_ip.unwrap();
        fs::create_dir("/run/www").unwrap();
        fs::write("/run/www/index.html", "Hello, World!").unwrap();
        let _httpd = Running(inside(&server.netns, || {
            let words = ["httpd", "-f", "-p", "80", "-h", "/run/www"];
            Command::new("busybox").args(words).spawn().unwrap()
        }));
        let fetch = || {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::from((public, 80)), Duration::from_secs(2))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut page = String::new();
            stream.read_to_string(&mut page).map(|_| page)
        };
        eventually("the server is up", || inside(&server.netns, || TcpStream::connect("127.0.0.1:80").is_ok()));
        assert!(fetch().unwrap().ends_with("Hello, World!"));
        let same_subnet = attach(&network, eni(0, 11)).await;
        let other_subnet = attach(&network, public_eni(&network, 1, 12)).await;
        for from in [&same_subnet, &other_subnet, &server] {
            assert!(inside(&from.netns, fetch).unwrap().ends_with("Hello, World!"), "from {}", from.eni.id);
        }
        tell_callers(&server.netns, 81);
        let seen = call(&other_subnet.netns, public, 81).unwrap();
        assert_eq!(seen, other_subnet.eni.public_ip.unwrap().to_string());
    });
}

#[test]
fn a_public_address_that_is_nobodys_is_unreachable() {
    on_a_host(|| async {
        let _outside = outside();
        command("ip route add default via 203.0.113.2");
        let network = start(INSTANCE).await;
        let task = attach(&network, public_eni(&network, 0, 10)).await;
        let public = task.eni.public_ip.unwrap();
        tell_callers(&task.netns, 80);
        call_from_host(public, 80).unwrap();
        let nobody = Ipv4Addr::from(u32::from(public) + 1);
        for refused in [call_from_host(nobody, 80), call(&task.netns, nobody, 80)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::HostUnreachable);
        }
        let other_pool = Ipv4Addr::new(198, 19, 77, 1);
        let refused = call(&task.netns, other_pool, 80).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::HostUnreachable);
        network.release(&task.eni.id).await.unwrap();
        assert_eq!(call_from_host(public, 80).unwrap_err().kind(), ErrorKind::HostUnreachable);
    });
}

#[test]
fn tasks_reach_the_outside_by_the_hosts_address() {
    on_a_host(|| async {
        let outside = outside();
        tell_callers(&outside, 80);
        let network = start(INSTANCE).await;
        for spec in [eni(0, 10), public_eni(&network, 1, 11)] {
            let task = attach(&network, spec).await;
            assert_eq!(call(&task.netns, OUTSIDE, 80).unwrap(), HOST.to_string(), "{}", task.eni.id);
        }
    });
}

#[test]
fn a_task_sends_from_its_own_addresses_only() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let victim = attach(&network, eni(0, 10)).await;
        let attacker = attach(&network, eni(0, 11)).await;
        let other = attach(&network, eni(1, 12)).await;
        let own = attacker.eni.private_ip;
        let stolen = Ipv4Addr::new(172, 31, 0, 99);
        let hears = |to, from| arrives(to, &attacker, from, Duration::from_secs(30));
        let misses = |to, from| !arrives(to, &attacker, from, Duration::from_millis(300));
        assert!(hears(&victim, own) && hears(&other, own));
        inside(&attacker.netns, || command("ip address add 172.31.0.99/20 dev eth0"));
        assert!(misses(&victim, stolen), "from a stolen address, over the bridge");
        assert!(misses(&other, stolen), "from a stolen address, over the router");
        assert!(hears(&victim, own));
        let set_mac = |mac| command(&format!("ip link set eth0 address {mac}"));
        inside(&attacker.netns, || set_mac("02:00:00:00:00:0a"));
        assert!(misses(&victim, own), "from a stolen hardware address");
        inside(&attacker.netns, || set_mac("02:00:00:00:00:0b"));
        assert!(hears(&victim, own));
    });
}

#[test]
fn the_instance_metadata_address_is_unreachable() {
    on_a_host(|| async {
        let outside = outside();
        inside(&outside, || command("ip address add 169.254.169.254/32 dev lo"));
        command("ip route add 169.254.169.254/32 via 203.0.113.2");
        tell_callers(&outside, 80);
        let metadata = Ipv4Addr::new(169, 254, 169, 254);
        call_from_host(metadata, 80).expect("the host reaches its metadata");
        let network = start(INSTANCE).await;
        let task = attach(&network, public_eni(&network, 0, 10)).await;
        call(&task.netns, OUTSIDE, 80).expect("the task reaches the outside");
        let refused = call(&task.netns, metadata, 80).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::HostUnreachable);
    });
}

#[test]
fn the_hosts_own_services_are_unreachable_from_tasks() {
    on_a_host(|| async {
        let outside = outside();
        tell_callers(&outside, 80);
        tell_callers(&host_netns(), 4566);
        let network = start(INSTANCE).await;
        let task = attach(&network, public_eni(&network, 0, 10)).await;
        tell_callers(&task.netns, 80);
        call(&outside, HOST, 4566).unwrap();
        call(&task.netns, OUTSIDE, 80).unwrap();
        let transit: Ipv4Addr = call_from_host(task.eni.public_ip.unwrap(), 80).unwrap().parse().unwrap();
        assert!(transit.octets().starts_with(&[198, 18]), "the host is seen as {transit}");
        for ip in [HOST, transit, Ipv4Addr::new(172, 31, 0, 1), Ipv4Addr::new(172, 31, 0, 2)] {
            call(&task.netns, ip, 4566).expect_err(&format!("{ip} is reachable"));
        }
        let direct = call(&task.netns, Ipv4Addr::LOCALHOST, 4566);
        assert_eq!(direct.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn two_instances_with_the_same_addresses_live_side_by_side() {
    on_a_host(|| async {
        let outside = outside();
        tell_callers(&outside, 80);
        let (one, two) = (start(INSTANCE).await, start(SECOND_INSTANCE).await);
        assert_ne!(one.public_pool(), two.public_pool());
        let tasks = [attach(&one, public_eni(&one, 0, 10)).await, attach(&two, public_eni(&two, 0, 10)).await];
        for (task, port) in tasks.iter().zip([81, 82]) {
            tell_callers(&task.netns, port);
            assert_eq!(call(&task.netns, OUTSIDE, 80).unwrap(), HOST.to_string());
        }
        let [first, second] = tasks.each_ref().map(|task| task.eni.public_ip.unwrap());
        for (ip, port, open) in [(first, 81, true), (first, 82, false), (second, 82, true), (second, 81, false)] {
            assert_eq!(call_from_host(ip, port).is_ok(), open, "{ip}:{port}");
        }
        assert_eq!(call(&tasks[0].netns, second, 82).unwrap(), first.to_string());
        drop(one);
        Network::teardown(INSTANCE).await.unwrap();
        call_from_host(second, 82).unwrap();
        assert_eq!(call(&tasks[1].netns, OUTSIDE, 80).unwrap(), HOST.to_string());
    });
}

#[test]
fn forwarding_works_where_docker_drops_it() {
    check_beside(&["iptables -P FORWARD DROP", "iptables -N DOCKER-USER", "iptables -A FORWARD -j DOCKER-USER"]);
}

#[test]
fn forwarding_works_where_a_firewall_drops_it() {
    check_beside(&["iptables -P FORWARD DROP"]);
    check_beside(&["iptables -A FORWARD -j REJECT"]);
    check_beside(&["iptables-legacy -P FORWARD DROP"]);
}

fn check_beside(firewall: &[&str]) {
    on_a_host(|| async {
        let outside = outside();
        tell_callers(&outside, 80);
        fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "1").unwrap();
        for line in firewall {
            command(line);
        }
        let list = || command("iptables -S") + &command("iptables-legacy -S");
        let before = list();
        let network = start(INSTANCE).await;
        let tasks = [attach(&network, public_eni(&network, 0, 10)).await, attach(&network, eni(0, 11)).await];
        tell_callers(&tasks[0].netns, 80);
        call(&tasks[1].netns, tasks[0].eni.private_ip, 80).unwrap();
        for task in &tasks {
            assert_eq!(call(&task.netns, OUTSIDE, 80).unwrap(), HOST.to_string());
        }
        call_from_host(tasks[0].eni.public_ip.unwrap(), 80).unwrap();
        let with_rules = list();
        drop(network);
        drop(start(INSTANCE).await);
        assert_eq!(list(), with_rules, "a second start adds nothing");
        Network::teardown(INSTANCE).await.unwrap();
        assert_eq!(list(), before);
    });
}

#[test]
fn what_cannot_be_attached_is_refused_and_leaves_nothing() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let task = attach(&network, public_eni(&network, 0, 10)).await;
        let other = public_eni(&network, 0, 11);
        for clash in [
            EniSpec { id: task.eni.id.clone(), ..other.clone() },
            EniSpec { private_ip: task.eni.private_ip, ..other.clone() },
            EniSpec { mac: task.eni.mac, ..other.clone() },
            EniSpec { public_ip: task.eni.public_ip, ..other.clone() },
            EniSpec { public_ip: Some(Ipv4Addr::new(203, 0, 113, 9)), ..other.clone() },
            EniSpec { gateway: Ipv4Addr::new(172, 31, 16, 1), ..other.clone() },
        ] {
            let said = network.attach(clash.clone()).await.expect_err("a clash").to_string();
            assert!(said.starts_with(&clash.id), "{said}");
        }
        network.release("eni-unknown").await.unwrap();
        attach(&network, other).await;
    });
}

#[test]
fn a_slice_that_the_host_routes_elsewhere_is_passed_over() {
    on_a_host(|| async {
        let _outside = outside();
        command("ip route add 198.19.10.0/24 via 203.0.113.2");
        command("ip route add 198.18.11.0/28 via 203.0.113.2");
        let network = start(INSTANCE).await;
        assert_eq!(network.public_pool().to_string(), "198.19.12.0/24");
    });
}

/// The aim is 5 ms at the median while namespaces are ready, on a machine that does nothing else. Without any ready it may
/// take as long as making one; that is printed only.
#[test]
fn attaching_is_fast() {
    on_a_host(|| async {
        let mut cold_config = config(INSTANCE);
        cold_config.warm = 0;
        let network = Network::start(cold_config).await.unwrap();
        let cold = attach_times(&network, false).await;
        drop(network);
        let network = start(INSTANCE).await;
        let warm = attach_times(&network, true).await;
        println!("attach cold: p50 {:?}, p95 {:?}; warm: p50 {:?}, p95 {:?}", cold[20], cold[38], warm[20], warm[38]);
        let start = Instant::now();
        let burst: Vec<_> = (100..130).map(|n| network.attach(public_eni(&network, 0, n))).collect();
        for attached in futures_util::future::join_all(burst).await {
            attached.unwrap();
        }
        println!("30 attaches at once: {:?}", start.elapsed());
        assert!(warm[20] <= Duration::from_millis(100), "{warm:?}");
    });
}

/// Forty attaches, sorted by time; with `ready`, each waits for a full pool first.
async fn attach_times(network: &Network, ready: bool) -> Vec<Duration> {
    let mut times = Vec::new();
    for n in 10..50 {
        if ready {
            eventually("the pool is full", || network.ready() == 4);
        }
        let start = Instant::now();
        let task = attach(network, public_eni(network, 0, n)).await;
        times.push(start.elapsed());
        network.release(&task.eni.id).await.unwrap();
    }
    times.sort();
    times
}

#[test]
fn the_commands_these_tests_need_are_there() {
    for command in ["ip", "nft", "iptables", "iptables-legacy", "busybox"] {
        let found = Command::new("which").arg(command).stdout(Stdio::null()).status().unwrap();
        assert!(found.success(), "{command} is not installed");
    }
}
