//! What the network is told: its own configuration, and the ENI of each task; both are checked before anything is done.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;

use super::error::Error;

/// Where DNS is answered besides the VPC's base address plus two, as in every VPC of AWS.
pub(super) const LINK_LOCAL_RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// Where a task finds its metadata: an address of the router, which tasks reach by their default route.
pub(crate) const TASK_METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
pub(super) const METADATA_PORT: u16 = 80;
/// Where a task reaches the API of the control plane, whatever port that listens on itself.
pub(crate) const API_PORT: u16 = 4566;
/// Where load balancers answer: addresses of the router, which tasks reach by their default route.
pub(super) fn balancers() -> Ipv4Net {
    let block = longshore_link::edge::INSIDE;
    Ipv4Net::new_assert(Ipv4Addr::from(block.base), block.prefix)
}

/// Addresses AWS keeps at the start of a subnet: network, router, resolver, one more; and the last one.
const RESERVED_HEAD: u32 = 4;

/// The configuration of a [`super::Network`].
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Eight lower-case hexadecimal digits that no other instance on this host has; derived from the data directory.
    pub instance: String,
    /// The address block of the VPC, /16 to /28.
    pub vpc_cidr: Ipv4Net,
    /// The subnets of the VPC; the first address after the network's own is the gateway of each.
    pub subnets: Vec<Ipv4Net>,
    /// A directory that outlives the machine's restarts; keeps which addresses the instance had.
    pub state_dir: PathBuf,
    /// Where the host names its nameservers: `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// How many namespaces are kept ready.
    pub warm: usize,
}

/// The elastic network interface of one task. Addresses are chosen by the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniSpec {
    /// `eni-…`; the key of everything about it.
    pub id: String,
    /// Its address, out of a subnet of the VPC.
    pub private_ip: Ipv4Addr,
    /// The prefix length of that subnet.
    pub prefix_len: u8,
    /// The gateway of that subnet.
    pub gateway: Ipv4Addr,
    /// Its hardware address; unicast, and unique within the VPC.
    pub mac: [u8; 6],
    /// Its public address, out of [`super::Network::public_pool`], if it has one.
    pub public_ip: Option<Ipv4Addr>,
}

impl NetworkConfig {
    /// A configuration with the usual settings: the host's `/etc/resolv.conf`, eight namespaces ready.
    pub fn new(instance: &str, vpc_cidr: Ipv4Net, subnets: Vec<Ipv4Net>, state_dir: PathBuf) -> Self {
        let resolv_conf = PathBuf::from("/etc/resolv.conf");
        NetworkConfig { instance: instance.into(), vpc_cidr, subnets, state_dir, resolv_conf, warm: 8 }
    }

    /// The addresses that answer DNS; the first is the one tasks are told.
    pub(super) fn resolvers(&self) -> [Ipv4Addr; 2] {
        [offset(self.vpc_cidr, 2), LINK_LOCAL_RESOLVER]
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_block("VPC", self.vpc_cidr)?;
        for reserved in ["127.0.0.0/8", "169.254.0.0/16", "198.18.0.0/15", "224.0.0.0/3"] {
            if reserved.parse().is_ok_and(|reserved: Ipv4Net| overlap(reserved, self.vpc_cidr)) {
                return refuse(format!("VPC {} overlaps {reserved}, which is not for VPCs", self.vpc_cidr));
            }
        }
        for (place, subnet) in self.subnets.iter().enumerate() {
            check_block("subnet", *subnet)?;
            if !self.vpc_cidr.contains(subnet) {
                return refuse(format!("subnet {subnet} is not within VPC {}", self.vpc_cidr));
            }
            if let Some(other) = self.subnets[..place].iter().find(|other| overlap(**other, *subnet)) {
                return refuse(format!("subnets {other} and {subnet} overlap"));
            }
        }
        Ok(())
    }
}

impl EniSpec {
    /// Its address together with the prefix length of its subnet.
    pub(super) fn address(&self) -> Result<Ipv4Net, Error> {
        Ipv4Net::new(self.private_ip, self.prefix_len)
            .map_err(|_| Error::Refused(format!("{}: /{} is no prefix length", self.id, self.prefix_len)))
    }

    pub(super) fn check(&self, subnets: &[Ipv4Net], pool: Ipv4Net) -> Result<(), Error> {
        let address = self.address()?;
        let Some(subnet) = subnets.iter().find(|subnet| **subnet == address.trunc()) else {
            return refuse(format!("{}: {address} is of no subnet of this VPC", self.id));
        };
        let place = u32::from(self.private_ip) - u32::from(subnet.network());
        if place < RESERVED_HEAD || self.private_ip == subnet.broadcast() {
            return refuse(format!("{}: {} is reserved in {subnet}", self.id, self.private_ip));
        }
        if self.gateway != gateway(*subnet) {
            return refuse(format!("{}: the gateway of {subnet} is not {}", self.id, self.gateway));
        }
        if self.mac[0] & 1 == 1 || self.mac == [0; 6] {
            return refuse(format!("{}: {:02x?} is no hardware address of an interface", self.id, self.mac));
        }
        let usable = |ip: Ipv4Addr| pool.contains(&ip) && ip != pool.network() && ip != pool.broadcast();
        match self.public_ip.filter(|ip| !usable(*ip)) {
            Some(ip) => refuse(format!("{}: {ip} is not of the public pool {pool}", self.id)),
            None => Ok(()),
        }
    }
}

/// The gateway of a subnet: its first address.
pub(super) fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    offset(subnet, 1)
}

fn offset(block: Ipv4Net, places: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(block.network()) + places)
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

fn check_block(what: &str, block: Ipv4Net) -> Result<(), Error> {
    if block != block.trunc() {
        return refuse(format!("{what} {block} has host bits set"));
    }
    if !(16..=28).contains(&block.prefix_len()) {
        return refuse(format!("{what} {block} is not between /16 and /28"));
    }
    Ok(())
}

fn refuse<T>(why: String) -> Result<T, Error> {
    Err(Error::Refused(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vpc: &str, subnets: &[&str]) -> NetworkConfig {
        let subnets = subnets.iter().map(|subnet| subnet.parse().unwrap()).collect();
        NetworkConfig::new("0a1b2c3d", vpc.parse().unwrap(), subnets, PathBuf::new())
    }

    #[test]
    fn the_default_vpc_is_fine_and_has_its_resolvers() {
        let config = config("172.31.0.0/16", &["172.31.0.0/20", "172.31.16.0/20"]);
        config.check().unwrap();
        assert_eq!(config.resolvers(), [Ipv4Addr::new(172, 31, 0, 2), LINK_LOCAL_RESOLVER]);
    }

    #[test]
    fn contradicting_configurations_are_refused() {
        for (vpc, subnets, why) in [
            ("172.31.0.1/16", vec![], "host bits"),
            ("10.0.0.0/8", vec![], "between /16 and /28"),
            ("198.19.0.0/16", vec![], "not for VPCs"),
            ("169.254.0.0/16", vec![], "not for VPCs"),
            ("172.31.0.0/16", vec!["10.0.0.0/20"], "not within"),
            ("172.31.0.0/16", vec!["172.31.0.0/20", "172.31.8.0/24"], "overlap"),
            ("172.31.0.0/16", vec!["172.31.0.0/30"], "between /16 and /28"),
        ] {
            let said = config(vpc, &subnets).check().unwrap_err().to_string();
            assert!(said.contains(why), "{vpc} {subnets:?}: {said}");
        }
    }

    #[test]
    fn an_eni_keeps_to_its_subnet_and_pool() {
        let good = EniSpec {
            id: "eni-1".into(),
            private_ip: Ipv4Addr::new(172, 31, 16, 9),
            prefix_len: 20,
            gateway: Ipv4Addr::new(172, 31, 16, 1),
            mac: [2, 0, 0, 0, 0, 9],
            public_ip: Some(Ipv4Addr::new(198, 19, 7, 9)),
        };
        let check = |spec: &EniSpec| {
            spec.check(&["172.31.16.0/20".parse().unwrap()], "198.19.7.0/24".parse().unwrap())
                .map_err(|error| error.to_string())
        };
        check(&good).unwrap();
        let ip = |last| Ipv4Addr::new(172, 31, 16, last);
        for (bad, why) in [
            (EniSpec { private_ip: ip(3), ..good.clone() }, "reserved"),
            (EniSpec { private_ip: Ipv4Addr::new(172, 31, 31, 255), ..good.clone() }, "reserved"),
            (EniSpec { private_ip: Ipv4Addr::new(172, 31, 0, 9), ..good.clone() }, "no subnet"),
            (EniSpec { prefix_len: 24, ..good.clone() }, "no subnet"),
            (EniSpec { prefix_len: 40, ..good.clone() }, "no prefix length"),
            (EniSpec { gateway: ip(2), ..good.clone() }, "gateway"),
            (EniSpec { mac: [1, 0, 0, 0, 0, 9], ..good.clone() }, "hardware address"),
            (EniSpec { mac: [0; 6], ..good.clone() }, "hardware address"),
            (EniSpec { public_ip: Some(Ipv4Addr::new(198, 19, 8, 9)), ..good.clone() }, "public pool"),
            (EniSpec { public_ip: Some(Ipv4Addr::new(198, 19, 7, 255)), ..good.clone() }, "public pool"),
        ] {
            let said = check(&bad).unwrap_err();
            assert!(said.contains(why), "{bad:?}: {said}");
        }
    }
}
