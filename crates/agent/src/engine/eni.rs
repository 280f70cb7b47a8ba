//! The network interface of an order, as the node's network takes it.

use std::net::Ipv4Addr;

use longshore_link::acs;

use crate::network::EniSpec;
use crate::translate::{Failure, interface, primary_address};

/// # Errors
/// When the order names no interface, or one that does not read.
pub(super) fn eni(task: &acs::Task) -> Result<EniSpec, Failure> {
    let fail = |what: &str| Failure::resource(format!("the network interface of the order has no readable {what}"));
    let interface = interface(task).ok_or_else(|| fail("form"))?;
    let (gateway, prefix) = gateway(&interface.subnet_gateway_ipv4_address).ok_or_else(|| fail("gateway"))?;
    Ok(EniSpec {
        id: interface.ec2_id.clone(),
        private_ip: primary_address(interface).ok_or_else(|| fail("private address"))?,
        prefix_len: prefix,
        gateway,
        mac: mac(&interface.mac_address).ok_or_else(|| fail("hardware address"))?,
        public_ip: public(interface.public_ipv4_address.as_deref()).map_err(|()| fail("public address"))?,
    })
}

/// Reads `172.31.0.1/20`.
fn gateway(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok()?))
}

/// Reads `0a:1b:2c:3d:4e:5f`.
fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

fn public(text: Option<&str>) -> Result<Option<Ipv4Addr>, ()> {
    text.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(drop)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_read_or_refused() {
        let good = acs::ElasticNetworkInterface {
            ec2_id: "eni-1".to_owned(),
            mac_address: "0a:1b:2c:3d:4e:5f".to_owned(),
            ipv4_addresses: vec![acs::Ipv4Address { primary: true, private_address: "172.31.0.9".to_owned() }],
            subnet_gateway_ipv4_address: "172.31.0.1/20".to_owned(),
            public_ipv4_address: Some("198.19.0.9".to_owned()),
            ..acs::ElasticNetworkInterface::default()
        };
        let read = |change: fn(&mut acs::ElasticNetworkInterface)| {
            let mut interface = good.clone();
            change(&mut interface);
            eni(&acs::Task { elastic_network_interfaces: vec![interface], ..acs::Task::default() })
        };
        let spec = read(|_| {}).unwrap();
        assert_eq!((spec.prefix_len, spec.mac), (20, [0x0a, 0x1b, 0x2c, 0x3d, 0x4e, 0x5f]));
        assert_eq!(spec.public_ip, Some(Ipv4Addr::new(198, 19, 0, 9)));
        assert_eq!(read(|eni| eni.public_ipv4_address = Some(String::new())).unwrap().public_ip, None);
        type Change = fn(&mut acs::ElasticNetworkInterface);
        let bad: [(Change, &str); 5] = [
            (|eni| eni.mac_address = "0a:1b".to_owned(), "hardware address"),
            (|eni| eni.subnet_gateway_ipv4_address = "172.31.0.1".to_owned(), "gateway"),
            (|eni| eni.ipv4_addresses.clear(), "private address"),
            (|eni| eni.ipv4_addresses[0].private_address = "::1".to_owned(), "private address"),
            (|eni| eni.public_ipv4_address = Some("x".to_owned()), "public address"),
        ];
        for (change, what) in bad {
            assert!(read(change).unwrap_err().reason.contains(what), "{what}");
        }
    }
}
