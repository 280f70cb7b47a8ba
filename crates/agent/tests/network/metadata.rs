//! 169.254.170.2: one listener in the router, for its own tasks and nobody else.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::host::*;

const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);

fn router() -> OwnedFd {
    File::open(format!("/run/netns/longshore-{INSTANCE}")).unwrap().into()
}

#[test]
fn one_listener_sees_every_task_by_its_own_address() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        answer_callers(network.metadata_listener().await.unwrap());
        answer_callers(network.api_listener().await.unwrap());
        let tasks = [
            attach(&network, eni(0, 10)).await,
            attach(&network, eni(1, 11)).await,
            attach(&network, public_eni(&network, 0, 12)).await,
        ];
        for task in &tasks {
            // Programs of the task may have port 80 of every address.
            tell_callers(&task.netns, 80);
            for port in [80, 4566] {
                assert_eq!(call(&task.netns, METADATA, port).unwrap(), task.eni.private_ip.to_string());
            }
            assert_eq!(call(&task.netns, Ipv4Addr::LOCALHOST, 80).unwrap(), "127.0.0.1");
        }
        call(&tasks[0].netns, METADATA, 81).expect_err("no other port is open");
        call_from_host(METADATA, 4566).expect_err("the host has the API itself");
        call(&tasks[0].netns, Ipv4Addr::new(172, 31, 0, 1), 4566).expect_err("the gateway is no way to it");
    });
}

#[test]
fn a_task_asks_for_its_metadata_from_its_own_address_only() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        answer_callers(network.metadata_listener().await.unwrap());
        let victim = attach(&network, eni(0, 10)).await;
        let attacker = attach(&network, eni(0, 11)).await;
        let ask = || call(&attacker.netns, METADATA, 80);
        assert_eq!(ask().unwrap(), "172.31.0.11");
        let set = |line: &str| inside(&attacker.netns, || command(line));
        for source in [victim.eni.private_ip, Ipv4Addr::new(172, 31, 0, 99)] {
            set(&format!("ip address add {source}/32 dev lo"));
            set(&format!("ip route replace default via 172.31.0.1 src {source}"));
            ask().expect_err(&format!("from {source}"));
        }
        set("ip route replace default via 172.31.0.1 src 172.31.0.11");
        set("ip link set eth0 address 02:00:00:00:00:0a");
        ask().expect_err("from a stolen hardware address");
        set("ip link set eth0 address 02:00:00:00:00:0b");
        assert_eq!(ask().unwrap(), "172.31.0.11");
        assert_eq!(call(&victim.netns, METADATA, 80).unwrap(), "172.31.0.10");
    });
}

#[test]
fn only_tasks_of_the_instance_reach_its_endpoint() {
    on_a_host(|| async {
        let outside = outside();
        let (one, two) = (start(INSTANCE).await, start(SECOND_INSTANCE).await);
        answer_callers(one.metadata_listener().await.unwrap());
        let tasks = [attach(&one, public_eni(&one, 0, 10)).await, attach(&two, public_eni(&two, 0, 11)).await];
        call(&tasks[1].netns, METADATA, 80).expect_err("a task of another instance");
        answer_callers(two.metadata_listener().await.unwrap());
        for task in &tasks {
            assert_eq!(call(&task.netns, METADATA, 80).unwrap(), task.eni.private_ip.to_string());
        }
        call_from_host(METADATA, 80).expect_err("the host");
        command(&format!("ip route add 169.254.170.2/32 via {} dev lsh-{INSTANCE}", router_end()));
        call_from_host(METADATA, 80).expect_err("the host, by the transit link");
        inside(&outside, || command("ip route add 169.254.170.2/32 via 203.0.113.1"));
        call(&outside, METADATA, 80).expect_err("a machine outside, by the host");
        call(&router(), METADATA, 80).expect_err("the router itself");
        assert_eq!(call(&tasks[0].netns, METADATA, 80).unwrap(), "172.31.0.10");
    });
}

/// The router's address on the transit link.
fn router_end() -> String {
    let said = inside(&router(), || command("ip -o -4 address show dev up0"));
    let address = said.split_whitespace().nth(3).unwrap();
    address.split('/').next().unwrap().to_owned()
}

#[test]
fn the_next_agent_listens_again() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let task = attach(&network, eni(0, 10)).await;
        let listener = network.metadata_listener().await.unwrap();
        network.metadata_listener().await.expect_err("one listener at a time");
        let connect = || inside(&task.netns, || TcpStream::connect((METADATA, 80)));
        let left_open = connect().unwrap();
        drop((network, listener));
        assert_eq!(connect().unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let network = start(INSTANCE).await;
        let early = network.metadata_listener().await.unwrap();
        let waiting = connect().expect("who asks before tasks are adopted waits");
        let task = network.adopt(task.netns, task.eni).await.unwrap();
        network.settle().await.unwrap();
        answer_callers(early);
        assert_eq!(call(&task.netns, METADATA, 80).unwrap(), "172.31.0.10");
        drop((left_open, waiting));
    });
}

/// A task that opens connections without end is held up before it reaches the listener, and nobody else is.
#[test]
fn a_flood_from_one_task_does_not_hold_up_another() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        answer_callers(network.metadata_listener().await.unwrap());
        let (greedy, modest) = (attach(&network, eni(0, 10)).await, attach(&network, eni(0, 11)).await);
        let flood = || {
            let open = || TcpStream::connect_timeout(&SocketAddr::from((METADATA, 80)), Duration::from_millis(500));
            let begun = Instant::now();
            ((0..20_000).take_while(|_| open().is_ok()).count(), begun.elapsed())
        };
        let (opened, took) = inside(&greedy.netns, flood);
        println!("{opened} connections were opened in {took:?} before one was dropped");
        // As many come in a second; a machine that is slower than that drops none.
        let most = 400 + (took.as_secs_f64() * 200.0) as usize;
        assert!((400..=most + 1).contains(&opened), "{opened} in {took:?}");
        assert_eq!(call(&modest.netns, METADATA, 80).unwrap(), "172.31.0.11");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(call(&greedy.netns, METADATA, 80).unwrap(), "172.31.0.10");
    });
}
