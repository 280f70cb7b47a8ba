//! The nftables rules of an instance: four tables, each replaced as a whole by one transaction of `nft`.
//!
//! * `inet longshore-<instance>` on the host: tasks do not reach the host's own services; what leaves by other links than
//!   transit links is masqueraded.
//! * `inet router` in the router namespace: public addresses one to one (maps), forwarding, the resolver, load balancers, and
//!   the metadata endpoint with the way to the API, which only tasks reach; no task opens connections to it faster than [`ASKING`], so
//!   that none keeps it from the others.
//! * `inet preserve` in the router namespace: what answers a client whose address a target was shown (see `preserve`).
//! * `bridge guard` in the router namespace: a port sends frames only from the hardware address and the IPv4 address of its
//!   own ENI (a set); all else, IPv6 and VLAN tags included, is dropped.
//!
//! The rules do not grow with the number of tasks: a task is an element of the set and, with a public address, of both maps
//! (see `elements`). Replacing the rules keeps the elements, so that a restarted agent disturbs nobody.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::error::{Doing, Error};
use super::names::{BRIDGE, Names, TRANSIT_PREFIX, UPLINK};
use super::slice::Slice;
use super::spec::{API_PORT, METADATA_PORT, TASK_METADATA, balancers};

/// The table of anti-spoofing in the router namespace, and its set.
pub(super) const GUARD: &str = "guard";
pub(super) const GUARD_SET: &str = "eni";
/// The table of the router, and its maps: public to private address and back.
pub(super) const ROUTER: &str = "router";
pub(super) const PUBLIC_IN: &str = "public_in";
pub(super) const PUBLIC_OUT: &str = "public_out";
/// The table of connections that carry a client's address to a target.
const PRESERVE: &str = "preserve";
/// Connections that one task may open to the metadata endpoint and the API; well above the requests that it is granted by
/// the endpoint, which counts them itself.
const ASKING: &str = "200/second burst 400 packets";

/// The rules on the host.
pub(super) fn host(names: &Names, slice: Slice) -> String {
    let (table, transit) = (names.router(), names.transit());
    let (router, public) = (slice.router(), slice.public());
    format!(
        r#"add table inet {table}
add chain inet {table} entering {{ type filter hook input priority -10; policy accept; }}
add chain inet {table} passing {{ type filter hook forward priority -10; policy accept; }}
add chain inet {table} leaving {{ type nat hook postrouting priority 100; policy accept; }}
flush table inet {table}
add rule inet {table} entering iifname "{transit}" ct state established,related accept
add rule inet {table} entering iifname "{transit}" reject with icmpx type admin-prohibited
add rule inet {table} passing iifname "{transit}" ip daddr {{ 127.0.0.0/8, 169.254.0.0/16 }} drop
add rule inet {table} passing iifname "{transit}" ip daddr 198.18.0.0/15 oifname != "{TRANSIT_PREFIX}*" reject with icmpx type host-unreachable
add rule inet {table} leaving ip saddr {{ {router}, {public} }} oifname != "{TRANSIT_PREFIX}*" masquerade
"#
    )
}

/// The rules in the router namespace; `resolvers` are the addresses that answer DNS.
pub(super) fn router(resolvers: &[Ipv4Addr]) -> String {
    let resolvers = resolvers.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
    let balancers = balancers();
    format!(
        r#"add table bridge {GUARD}
add set bridge {GUARD} {GUARD_SET} {{ typeof meta iif . ether saddr . ip saddr ; }}
add chain bridge {GUARD} frames {{ type filter hook prerouting priority -300; policy drop; }}
flush chain bridge {GUARD} frames
add rule bridge {GUARD} frames meta iif . ether saddr . ip saddr @{GUARD_SET} accept
add rule bridge {GUARD} frames meta iif . ether saddr . arp saddr ip @{GUARD_SET} meta iif . arp saddr ether . arp saddr ip @{GUARD_SET} accept
add table inet {ROUTER}
add map inet {ROUTER} {PUBLIC_IN} {{ type ipv4_addr : ipv4_addr ; }}
add map inet {ROUTER} {PUBLIC_OUT} {{ type ipv4_addr : ipv4_addr ; }}
add set inet {ROUTER} asking {{ type ipv4_addr ; flags dynamic,timeout ; timeout 10s ; size 65535 ; }}
add chain inet {ROUTER} arriving {{ type nat hook prerouting priority -100; policy accept; }}
add chain inet {ROUTER} leaving {{ type nat hook postrouting priority 100; policy accept; }}
add chain inet {ROUTER} entering {{ type filter hook input priority 0; policy drop; }}
add chain inet {ROUTER} passing {{ type filter hook forward priority 0; policy drop; }}
flush table inet {ROUTER}
add rule inet {ROUTER} arriving dnat ip to ip daddr map @{PUBLIC_IN}
add rule inet {ROUTER} leaving oifname "{UPLINK}" snat ip to ip saddr map @{PUBLIC_OUT}
add rule inet {ROUTER} leaving oifname "{UPLINK}" masquerade
add rule inet {ROUTER} leaving iifname "{BRIDGE}" oifname "{BRIDGE}" ct status dnat snat ip to ip saddr map @{PUBLIC_OUT}
add rule inet {ROUTER} leaving iifname "{BRIDGE}" oifname "{BRIDGE}" ct status dnat masquerade
add rule inet {ROUTER} entering iifname != "{BRIDGE}" ip daddr {TASK_METADATA} drop
add rule inet {ROUTER} entering iif lo accept
add rule inet {ROUTER} entering ct state established,related accept
add rule inet {ROUTER} entering iifname "{BRIDGE}" ip daddr {{ {resolvers} }} meta l4proto {{ tcp, udp }} th dport 53 accept
add rule inet {ROUTER} entering iifname "{BRIDGE}" ip daddr {TASK_METADATA} tcp dport {{ {METADATA_PORT}, {API_PORT} }} update @asking {{ ip saddr limit rate over {ASKING} }} drop
add rule inet {ROUTER} entering iifname "{BRIDGE}" ip daddr {TASK_METADATA} tcp dport {{ {METADATA_PORT}, {API_PORT} }} accept
add rule inet {ROUTER} entering iifname "{BRIDGE}" ip daddr {balancers} meta l4proto {{ tcp, udp }} accept
add rule inet {ROUTER} entering iifname "{BRIDGE}" icmp type echo-request accept
add rule inet {ROUTER} entering iifname "{BRIDGE}" reject with icmpx type port-unreachable
add rule inet {ROUTER} passing ct state established,related accept
add rule inet {ROUTER} passing ip daddr 169.254.0.0/16 reject with icmpx type host-unreachable
add rule inet {ROUTER} passing iifname "{BRIDGE}" oifname {{ "{BRIDGE}", "{UPLINK}" }} accept
add rule inet {ROUTER} passing iifname "{UPLINK}" oifname "{BRIDGE}" ct status dnat accept
"#
    )
}

/// The rules in the router namespace by which what answers a client's address comes back here: a connection that begins with
/// the mark has it, and its answers get it.
pub(super) fn preserving(mark: u32) -> String {
    format!(
        r#"add table inet {PRESERVE}
add chain inet {PRESERVE} asking {{ type filter hook output priority -150; policy accept; }}
add chain inet {PRESERVE} answering {{ type filter hook prerouting priority -150; policy accept; }}
flush table inet {PRESERVE}
add rule inet {PRESERVE} asking meta mark {mark} ct mark set {mark}
add rule inet {PRESERVE} answering iifname "{BRIDGE}" ct direction reply ct mark {mark} meta mark set {mark}
"#
    )
}

/// Hands a script to `nft`, in the calling thread's namespace: all of it takes effect, or nothing.
pub(super) fn apply(script: &str) -> Result<(), Error> {
    let doing = || "run nft".to_owned();
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().doing(doing)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes()).doing(doing)?;
    }
    let output = child.wait_with_output().doing(doing)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Command { command: "nft".into(), said: String::from_utf8_lossy(&output.stderr).trim().into() })
}

/// Removes the table on the host. Fine if it is not there.
pub(super) fn remove_host(names: &Names) -> Result<(), Error> {
    let table = names.router();
    apply(&format!("add table inet {table}\ndelete table inet {table}\n"))
}
