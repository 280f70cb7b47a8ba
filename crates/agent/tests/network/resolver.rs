//! The VPC's resolver, against nameservers on loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::host::*;

/// A nameserver on loopback that answers every query with itself, marked as an answer, over UDP and TCP.
fn echo_nameserver(ip: &str) {
    let (udp, tcp) = (UdpSocket::bind((ip, 53)).unwrap(), TcpListener::bind((ip, 53)).unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = udp.recv_from(&mut buffer) {
            buffer[2] |= 0x80;
            udp.send_to(&buffer[..length], client).unwrap();
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let mut message = [0; 2 + QUERY.len()];
            stream.read_exact(&mut message).unwrap();
            message[4] |= 0x80;
            stream.write_all(&message).unwrap();
        }
    });
}

/// A query for the address of `ab.test`, id 0x1234.
const QUERY: [u8; 25] = *b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02ab\x04test\x00\x00\x01\x00\x01";

/// The response code a resolver answers with.
fn resolve_udp(netns: &OwnedFd, resolver: &str) -> u8 {
    inside(netns, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.send_to(&QUERY, (resolver, 53)).unwrap();
        let mut answer = [0; 512];
        let (length, from) = socket.recv_from(&mut answer).expect("an answer over UDP");
        assert_eq!((from.ip().to_string().as_str(), &answer[..2], length), (resolver, &QUERY[..2], QUERY.len()));
        assert_eq!(answer[2] & 0x80, 0x80);
        answer[3] & 0x0f
    })
}

fn resolve_tcp(netns: &OwnedFd, resolver: &str) -> u8 {
    inside(netns, || {
        let mut stream = TcpStream::connect((resolver, 53)).expect("the resolver over TCP");
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(&[&[0, QUERY.len() as u8], &QUERY[..]].concat()).unwrap();
        let mut answer = [0; 2 + QUERY.len()];
        stream.read_exact(&mut answer).expect("an answer over TCP");
        assert_eq!((answer[2..4].to_vec(), answer[4] & 0x80), (QUERY[..2].to_vec(), 0x80));
        answer[5] & 0x0f
    })
}

#[test]
fn the_resolver_forwards_to_the_hosts_nameservers() {
    const SERVFAIL: u8 = 2;
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let tasks = [attach(&network, eni(0, 10)).await, attach(&network, eni(1, 11)).await];
        let check = |expected: u8| {
            for task in &tasks {
                for resolver in ["172.31.0.2", "169.254.169.253"] {
                    assert_eq!(resolve_udp(&task.netns, resolver), expected, "UDP {resolver}");
                    assert_eq!(resolve_tcp(&task.netns, resolver), expected, "TCP {resolver}");
                }
            }
        };
        check(SERVFAIL);
        fs::write("/run/resolv.conf", "nameserver 127.53.0.7\n").unwrap();
        check(SERVFAIL);
        echo_nameserver("127.53.0.7");
        check(0);
        fs::write("/run/resolv.conf", "nameserver 127.53.0.8\nnameserver 127.53.0.7\n").unwrap();
        check(0);
        fs::remove_file("/run/resolv.conf").unwrap();
        check(SERVFAIL);
    });
}
