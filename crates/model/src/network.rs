//! The virtual network: VPCs, subnets and security groups. Network interfaces live inside their task's record.

use std::net::Ipv4Addr;

use longshore_wire::record;

use crate::ids::AccountId;

record! {
    pub struct Vpc {
        pub account: String = "account",
        pub id: String = "id",
        pub cidr: String = "cidr",
        pub is_default: bool = "isDefault",
        pub dhcp_options: String = "dhcpOptions",
    }
}

record! {
    pub struct Subnet {
        pub account: String = "account",
        pub id: String = "id",
        pub vpc: String = "vpc",
        pub cidr: String = "cidr",
        pub zone: String = "zone",
        pub zone_id: String = "zoneId",
        pub is_default: bool = "isDefault",
        pub map_public_ip: bool = "mapPublicIp",
    }
}

record! {
    pub struct SecurityGroup {
        pub account: String = "account",
        pub id: String = "id",
        pub vpc: String = "vpc",
        pub name: String = "name",
        pub description: String = "description",
    }
}

/// `ACCOUNT/ID`, for all three.
pub fn key(account: &AccountId, id: &str) -> String {
    format!("{account}/{id}")
}

/// The domain that private names of a region end in.
pub fn private_domain(region: &str) -> String {
    match region {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

/// The name EC2 gives a private address: `ip-172-31-0-4.ec2.internal`.
pub fn private_dns_name(region: &str, address: &str) -> String {
    format!("ip-{}.{}", address.replace('.', "-"), private_domain(region))
}

/// An IPv4 block, host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub base: u32,
    pub prefix: u8,
}

impl Block {
    /// `None` unless `text` is `A.B.C.D/N` with host bits zero.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let base = u32::from(address.parse::<Ipv4Addr>().ok()?);
        let prefix = prefix.parse::<u8>().ok().filter(|prefix| (1..=32).contains(prefix))?;
        let block = Self { base, prefix };
        (base & (block.size() - 1) as u32 == 0).then_some(block)
    }

    /// Number of addresses.
    pub fn size(&self) -> u64 {
        1 << (32 - self.prefix)
    }

    /// The address at `index`, if inside.
    pub fn address(&self, index: u64) -> Option<Ipv4Addr> {
        (index < self.size()).then(|| Ipv4Addr::from(self.base + index as u32))
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let distance = u64::from(u32::from(address).wrapping_sub(self.base));
        u32::from(address) >= self.base && distance < self.size()
    }
}

/// Addresses at the start of a subnet that AWS keeps for itself (network, router, DNS, future), and one at the end.
pub const RESERVED_HEAD: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_counts_and_contains() {
        let block = Block::parse("172.31.16.0/20").unwrap();
        assert_eq!(block.size(), 4096);
        assert_eq!(block.address(5), Some(Ipv4Addr::new(172, 31, 16, 5)));
        assert!(block.contains(Ipv4Addr::new(172, 31, 31, 255)));
        assert!(!block.contains(Ipv4Addr::new(172, 31, 32, 0)));
        assert!(!block.contains(Ipv4Addr::new(172, 31, 15, 255)));
    }

    #[test]
    fn private_names_are_those_of_their_region() {
        assert_eq!(private_dns_name("us-east-1", "172.31.0.4"), "ip-172-31-0-4.ec2.internal");
        assert_eq!(private_dns_name("eu-west-1", "10.0.0.1"), "ip-10-0-0-1.eu-west-1.compute.internal");
    }

    #[test]
    fn host_bits_and_nonsense_are_refused() {
        for text in ["172.31.16.1/20", "1.2.3.4", "1.2.3.0/33", "x/8", "1.2.3.0/0"] {
            assert_eq!(Block::parse(text), None, "{text}");
        }
    }
}
