//! Amazon EC2: descriptions are on no resource.

use super::{Access, NONE, Need, Table};

macro_rules! describe {
    ($($name:literal)*) => {
        &[$(Access::new($name, &[Need::new(concat!("ec2:", $name), &NONE, &[])]),)*]
    };
}

pub(super) static TABLE: Table = Table {
    service: "ec2",
    operations: describe! {
        "DescribeAvailabilityZones"
        "DescribeNetworkInterfaces"
        "DescribeRegions"
        "DescribeSecurityGroups"
        "DescribeSubnets"
        "DescribeVpcs"
    },
};
