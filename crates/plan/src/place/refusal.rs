//! Why no node takes a task, in the words of service events and failures.

/// Why no node takes a task; the variants stand in the order in which the search advances, so the greatest is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    NoNode,
    Disconnected,
    Zone { zones: Vec<String> },
    Architecture { wanted: String },
    Cpu { wanted: i32, most_free: i64 },
    Memory { wanted_mib: i32, most_free_mib: i64 },
    SubnetFull { subnets: Vec<String> },
    NoPublicAddress { node: String },
}

impl Refusal {
    /// What ECS says of Fargate, whatever the cause.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SubnetFull { .. } => "RESOURCE:ENI",
            _ => "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        }
    }

    /// The cause, in ECS's terms for container instances and then in words.
    pub fn detail(&self) -> String {
        match self {
            Self::NoNode => "AGENT: no Fargate node is registered".into(),
            Self::Disconnected => "AGENT: no Fargate node is connected".into(),
            Self::Zone { zones } => format!("AGENT: no Fargate node is connected in {}", zones.join(", ")),
            Self::Architecture { wanted } => {
                format!("ATTRIBUTE: no connected Fargate node offers {wanted}")
            }
            Self::Cpu { wanted, most_free } => {
                format!("RESOURCE:CPU: {wanted} CPU units are wanted, at most {most_free} are free on one node")
            }
            Self::Memory { wanted_mib, most_free_mib } => {
                format!(
                    "RESOURCE:MEMORY: {wanted_mib} MiB are wanted, at most {most_free_mib} MiB are free on one node"
                )
            }
            Self::SubnetFull { subnets } => {
                format!("RESOURCE:ENI: no address is free in {}", subnets.join(", "))
            }
            Self::NoPublicAddress { node } => {
                format!("RESOURCE:ENI: no public address is free on node {node}")
            }
        }
    }
}
