//! Restart, repair, teardown: what stays, what comes back, and that nothing is left.

use std::fs;
use std::net::Ipv4Addr;

use longshore_agent::network::{EniSpec, Network};

use crate::host::*;

#[test]
fn a_restart_takes_over_what_is_there() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let pool = network.public_pool();
        let tasks = [
            attach(&network, public_eni(&network, 0, 10)).await,
            attach(&network, eni(0, 11)).await,
            attach(&network, public_eni(&network, 1, 12)).await,
        ];
        tasks.iter().for_each(|task| tell_callers(&task.netns, 80));
        let public = tasks[0].eni.public_ip.unwrap();
        let before = everything();
        drop(network);
        call(&tasks[1].netns, tasks[2].eni.private_ip, 80).expect("tasks go on without an agent");
        call_from_host(public, 80).expect("public addresses go on without an agent");

        let network = start(INSTANCE).await;
        assert_eq!((network.public_pool(), everything()), (pool, before));
        call(&tasks[1].netns, tasks[2].eni.private_ip, 80).expect("tasks go on while an agent starts");
        let [first, second, third] = tasks;
        let wrong = EniSpec { private_ip: Ipv4Addr::new(172, 31, 0, 77), ..first.eni.clone() };
        network.adopt(first.netns.try_clone().unwrap(), wrong).await.expect_err("another address");
        let wrong = EniSpec { mac: [2; 6], ..first.eni.clone() };
        network.adopt(first.netns.try_clone().unwrap(), wrong).await.expect_err("another hardware address");
        network.adopt(host_netns(), first.eni.clone()).await.expect_err("no interface at all");
        let first = network.adopt(first.netns, first.eni).await.unwrap();
        let second = network.adopt(second.netns, second.eni).await.unwrap();
        network.attach(first.eni.clone()).await.expect_err("in use");
        network.settle().await.unwrap();
        call(&second.netns, first.eni.private_ip, 80).unwrap();
        call_from_host(public, 80).unwrap();
        call(&second.netns, third.eni.private_ip, 80).expect_err("what nobody adopted is cut off");
        call_from_host(third.eni.public_ip.unwrap(), 80).expect_err("what nobody adopted is cut off");
        network.release(&first.eni.id).await.unwrap();
        call(&second.netns, first.eni.private_ip, 80).expect_err("released");
        call_from_host(public, 80).expect_err("released");
    });
}

#[test]
fn what_others_removed_comes_back_with_a_start() {
    for damage in [
        "ip link delete lsh-0a1b2c3d",
        "ip link set lsh-0a1b2c3d down",
        "ip route delete 198.19.10.0/24",
        "nft flush ruleset",
        "sysctl -qw net.ipv4.ip_forward=0",
        "iptables -F FORWARD",
        "ip -n longshore-0a1b2c3d route delete default",
        "ip -n longshore-0a1b2c3d link delete up0",
    ] {
        check_recovery_from(damage);
    }
}

fn check_recovery_from(damage: &str) {
    on_a_host(|| async {
        let outside = outside();
        tell_callers(&outside, 80);
        command("iptables -P FORWARD DROP");
        let network = start(INSTANCE).await;
        let task = attach(&network, public_eni(&network, 0, 10)).await;
        tell_callers(&task.netns, 80);
        command(damage);
        drop(network);
        let _network = start(INSTANCE).await;
        call_from_host(task.eni.public_ip.unwrap(), 80).unwrap_or_else(|e| panic!("in after {damage}: {e}"));
        call(&task.netns, OUTSIDE, 80).unwrap_or_else(|e| panic!("out after {damage}: {e}"));
    });
}

#[test]
fn a_teardown_leaves_nothing() {
    on_a_host(|| async {
        let before = everything();
        assert!(before.ends_with("forwarding 0\n"), "{before}");
        let (one, two) = (start(INSTANCE).await, start(SECOND_INSTANCE).await);
        let task = attach(&one, public_eni(&one, 0, 10)).await;
        assert_ne!(everything(), before);
        drop((one, two));
        Network::teardown(SECOND_INSTANCE).await.unwrap();
        assert!(everything().ends_with("forwarding 1\n"));
        Network::teardown(INSTANCE).await.unwrap();
        assert_eq!(everything(), before);
        Network::teardown(INSTANCE).await.expect("a second teardown is fine");
        assert_eq!(everything(), before);
        eventually("the router is gone, and its end of the task's interface with it", || {
            inside(&task.netns, || !command("ip -o link").contains("eth0"))
        });
    });
}

#[test]
fn many_tasks_leave_nothing_behind() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let router = fs::File::open("/run/netns/longshore-0a1b2c3d").unwrap().into();
        let links = || inside(&router, || command("ip -o link").lines().count());
        let elements = || inside(&router, || command("nft list ruleset").matches("elements").count());
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        let warm = || network.ready() == 4;
        eventually("the pool is full", warm);
        let before = (links(), descriptors(), elements());
        for n in 0..200 {
            let task = attach(&network, public_eni(&network, 0, 10 + n)).await;
            network.release(&task.eni.id).await.unwrap();
        }
        eventually("all is as before", || warm() && (links(), descriptors(), elements()) == before);
    });
}
