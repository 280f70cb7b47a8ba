use std::collections::BTreeMap;

use longshore_link::edge::{
    Action, Address, Balancer, BalancerKind, GroupProtocol, Listener, ListenerProtocol, Target, TargetGroup,
};

use super::*;
use crate::dial::Dialer;
use crate::front::{Group, Means};
use crate::member::{Key, Member};
use crate::seal::Seal;

fn client(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

async fn entry(table: &mut Table) -> Entry {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
    let slot = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("a slot");
    let open = Arc::<Tally>::default().open(Count::ActiveFlowUdp);
    Entry::new(table.next_number(), socket, Arc::new(Flow::new()), (slot, open, Task(tokio::spawn(async {}))))
}

#[tokio::test]
async fn room_is_made_by_the_flow_that_was_quiet_the_longest() {
    let mut table = Table::default();
    for port in 1..=4 {
        let entry = entry(&mut table).await;
        table.insert(client(port), entry);
    }
    assert!(table.touch(client(1)).is_some() && table.touch(client(3)).is_some());
    for left in [[1, 3, 4].as_slice(), &[1, 3], &[3], &[]] {
        table.evict();
        let clients: Vec<u16> = table.clients().iter().map(SocketAddr::port).collect();
        let mut sorted = clients.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, left, "{clients:?}");
    }
    table.evict();
    assert!(table.touch(client(1)).is_none());
}

#[tokio::test]
async fn a_flow_is_not_ended_by_the_one_before_it() {
    let mut table = Table::default();
    let (old, new) = (entry(&mut table).await, entry(&mut table).await);
    table.insert(client(1), old);
    table.insert(client(1), new);
    table.remove(client(1), 1);
    assert_eq!(table.clients(), [client(1)]);
    table.remove(client(1), 2);
    assert_eq!(table.clients(), []);
}

fn front(target: SocketAddr) -> Front {
    let listener = Listener::new("l", 0, ListenerProtocol::Udp, Action::forward("g"));
    let address = Address { ip: target.ip(), zone: "a".into(), inside: false };
    let balancer = Balancer {
        addresses: vec![address.clone()],
        listeners: vec![listener.clone()],
        ..Balancer::new("b", BalancerKind::Network)
    };
    let targets = vec![Target::new(target)];
    let group = TargetGroup { protocol: GroupProtocol::Udp, targets, ..TargetGroup::default() };
    let key = Key::new("g", &group, &group.targets[0]);
    let members = vec![Arc::new(Member::new(key, Dialer::here(), Arc::default(), Arc::default(), true))];
    let group = Arc::new(Group::new("g", group, members, Arc::default(), Arc::default()));
    let groups = BTreeMap::from([("g".to_owned(), group)]);
    let means = Means { tls: None, seal: Arc::new(Seal::new(None)), tally: Arc::default(), log: None };
    Front::new(&balancer, &Arc::new(listener), &address, &groups, means)
}

/// A desk with room for so many flows, what ends it, and where its target and itself are.
async fn desk(slots: usize, idle: Duration) -> (Arc<Desk>, UdpSocket, SocketAddr) {
    let target = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let local = socket.local_addr().expect("an address");
    let fronts = Arc::new(ArcSwap::from_pointee(front(target.local_addr().expect("an address"))));
    let slots = Arc::new(Semaphore::new(slots));
    (Arc::new(Desk { socket, local, fronts, table: Mutex::default(), slots, idle }), target, local)
}

async fn hears(target: &UdpSocket) -> (String, SocketAddr) {
    let mut room = [0; 16];
    let (count, from) = target.recv_from(&mut room).await.expect("a datagram");
    (String::from_utf8_lossy(&room[..count]).into_owned(), from)
}

#[tokio::test]
async fn a_flow_that_is_quiet_ends_and_the_next_datagram_begins_another() {
    let (desk, target, local) = desk(4, Duration::from_millis(20)).await;
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(run(desk.clone(), stopped));
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    for datagram in ["one", "two"] {
        client.send_to(datagram.as_bytes(), local).await.expect("it is sent");
        assert_eq!(hears(&target).await.0, datagram);
        while desk.slots.available_permits() < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(desk.table.lock().clients(), []);
    }
    let (values, _) = desk.fronts.load().tally.take();
    assert_eq!((values.get("NewFlowCount_UDP"), values.get("ActiveFlowCount_UDP")), (Some(&2), None));
    stop.send_replace(true);
    served.await.expect("it ends");
}

#[tokio::test]
async fn a_listener_without_room_lets_its_quiet_flow_go_and_rejects_what_it_has_none_for() {
    let (desk, target, local) = desk(1, IDLE).await;
    let (_stop, stopped) = watch::channel(false);
    let _served = Task(tokio::spawn(run(desk.clone(), stopped)));
    let (one, other) = (
        UdpSocket::bind("127.0.0.1:0").await.expect("a socket"),
        UdpSocket::bind("127.0.0.1:0").await.expect("a socket"),
    );
    one.send_to(b"one", local).await.expect("it is sent");
    let (_, first) = hears(&target).await;
    other.send_to(b"other", local).await.expect("it is sent");
    let (heard, second) = hears(&target).await;
    assert_eq!((heard.as_str(), desk.table.lock().clients()), ("other", vec![other.local_addr().expect("an address")]));
    assert_ne!(first, second);
    // The listener's own flows are gone, and somebody else has the room.
    desk.table.lock().clear();
    let _taken = desk.slots.clone().acquire_owned().await.expect("a slot");
    one.send_to(b"again", local).await.expect("it is sent");
    while !desk.fronts.load().tally.take().0.contains_key("RejectedFlowCount") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
