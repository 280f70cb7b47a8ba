//! What an instance calls its things on a host that it shares with other instances and with strangers.

use super::error::Error;

/// The bridge that is the VPC, inside the router namespace.
pub(super) const BRIDGE: &str = "vpc0";
/// The router's end of the transit link.
pub(super) const UPLINK: &str = "up0";
/// A task's interface, inside the task's namespace.
pub(super) const INTERFACE: &str = "eth0";
/// The index of [`INTERFACE`]: the first after `lo`.
pub(super) const INTERFACE_INDEX: u32 = 2;
/// What every instance's transit link begins with.
pub(super) const TRANSIT_PREFIX: &str = "lsh-";

/// The names of one instance: eight hexadecimal digits, taken from its data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) instance: String,
}

impl Names {
    pub(super) fn new(instance: &str) -> Result<Self, Error> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if instance.len() != 8 || !instance.bytes().all(hex) {
            return Err(Error::Refused(format!(
                "an instance is eight lower-case hexadecimal digits, not {instance:?}"
            )));
        }
        Ok(Names { instance: instance.into() })
    }

    /// The pin of the router namespace, and the nftables table on the host.
    pub(super) fn router(&self) -> String {
        format!("longshore-{}", self.instance)
    }

    /// The host's end of the transit link.
    pub(super) fn transit(&self) -> String {
        format!("{TRANSIT_PREFIX}{}", self.instance)
    }

    /// The hardware address of the router's bridge: fixed, so that it does not change as ports come and go.
    pub(super) fn bridge_mac(&self) -> [u8; 6] {
        let [a, b, c, d] = self.number().to_be_bytes();
        [0x02, 0x01, a, b, c, d]
    }

    /// The address slice to try first.
    pub(super) fn first_slice(&self) -> u8 {
        self.number().to_be_bytes()[0]
    }

    fn number(&self) -> u32 {
        u32::from_str_radix(&self.instance, 16).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel() {
        let names = Names::new("0a1b2c3d").unwrap();
        assert_eq!(names.transit(), "lsh-0a1b2c3d");
        assert!(names.transit().len() <= 15);
        assert_eq!(names.bridge_mac(), [0x02, 0x01, 0x0a, 0x1b, 0x2c, 0x3d]);
    }

    #[test]
    fn other_instances_are_refused() {
        for instance in ["", "0a1b2c3", "0A1B2C3D", "0a1b2c3d4", "../../ab", "0a1b2c3\n"] {
            assert!(Names::new(instance).is_err(), "{instance:?}");
        }
    }
}
