//! Load balancers by their operations. After every call the laws of the state are checked.

mod attribute;
mod balancer;
mod certificate;
mod group;
mod listener;
mod rule;

use longshore_model::network::{Subnet, Vpc};
use longshore_wire::Fault;
use serde_json::{Value, json};

use crate::ec2;
use crate::logs::testing::Bench;

const HERE: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:";

/// An account with its default network of three zones.
struct World {
    bench: Bench,
    subnets: Vec<String>,
    vpc: String,
}

impl World {
    fn new() -> Self {
        let bench = Bench::new();
        let zones = ["us-east-1a", "us-east-1b", "us-east-1c"].map(str::to_owned);
        bench.apply(ec2::defaults(&bench.account, "us-east-1", &zones));
        let (subnets, vpc) = {
            let state = bench.store.read();
            let mut rows: Vec<_> = state.subnets.iter().map(|(_, row)| row.as_ref().clone()).collect();
            rows.sort_by(|one, other| one.zone.cmp(&other.zone));
            let vpc = rows[0].vpc.clone();
            (rows.into_iter().map(|row| row.id).collect(), vpc)
        };
        Self { bench, subnets, vpc }
    }

    fn call(&self, operation: &str, input: &Value) -> Result<Value, Fault> {
        let outcome = self.bench.of(&super::SERVICE, operation, input.clone());
        let violations = longshore_plan::check::state(&self.bench.store.read());
        assert!(violations.is_empty(), "{operation} {input}: {violations:?}");
        outcome
    }

    fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, &input).unwrap_or_else(|fault| panic!("{operation} {input}: {fault}"))
    }

    /// Code and message of a call that must fail.
    fn fault(&self, operation: &str, input: Value) -> String {
        match self.call(operation, &input) {
            Ok(output) => panic!("{operation} {input}: {output}"),
            Err(fault) => fault.to_string(),
        }
    }

    /// Each input must fail with what begins so.
    fn refuses(&self, operation: &str, rows: Vec<(Value, &str)>) {
        for (input, wanted) in rows {
            let told = self.fault(operation, input.clone());
            assert!(told.starts_with(wanted), "{operation} {input}: {told}");
        }
    }

    /// The ARN of an application balancer in two zones.
    fn balancer(&self, name: &str) -> String {
        let made = self.ok("CreateLoadBalancer", json!({"Name": name, "Subnets": &self.subnets[..2]}));
        text(&made["LoadBalancers"][0]["LoadBalancerArn"])
    }

    fn network(&self, name: &str) -> String {
        let input = json!({"Name": name, "Type": "network", "Subnets": &self.subnets[..1]});
        text(&self.ok("CreateLoadBalancer", input)["LoadBalancers"][0]["LoadBalancerArn"])
    }

    /// The ARN of a group of addresses.
    fn group(&self, name: &str, protocol: &str) -> String {
        let input = json!({"Name": name, "Protocol": protocol, "Port": 80, "VpcId": self.vpc, "TargetType": "ip"});
        text(&self.ok("CreateTargetGroup", input)["TargetGroups"][0]["TargetGroupArn"])
    }

    /// The ARN of a listener that forwards.
    fn listener(&self, balancer: &str, (protocol, port): (&str, i32), group: &str) -> String {
        let input = json!({"LoadBalancerArn": balancer, "Protocol": protocol, "Port": port,
            "DefaultActions": [forward(group)]});
        text(&self.ok("CreateListener", input)["Listeners"][0]["ListenerArn"])
    }

    /// The ARN of a rule that answers.
    fn rule(&self, listener: &str, priority: i32) -> String {
        let input = json!({"ListenerArn": listener, "Priority": priority, "Actions": [answer("200")],
            "Conditions": [{"Field": "path-pattern", "Values": [format!("/{priority}")]}]});
        text(&self.ok("CreateRule", input)["Rules"][0]["RuleArn"])
    }

    /// A second VPC with a subnet in the first zone.
    fn other_network(&self) -> (String, String) {
        let (account, id) = (self.bench.account.to_string(), "vpc-other".to_owned());
        let cidr = "10.9.0.0/16".to_owned();
        let vpc = Vpc {
            account: account.clone(),
            id: id.clone(),
            cidr: cidr.clone(),
            is_default: false,
            dhcp_options: id.clone(),
        };
        let subnet = Subnet {
            account,
            id: "subnet-other".to_owned(),
            vpc: id.clone(),
            cidr,
            zone: "us-east-1c".to_owned(),
            zone_id: "use1-az3".to_owned(),
            is_default: false,
            map_public_ip: false,
        };
        self.bench.apply(vec![vpc.into(), subnet.into()]);
        (id, "subnet-other".to_owned())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn forward(group: &str) -> Value {
    json!({"Type": "forward", "TargetGroupArn": group})
}

fn answer(code: &str) -> Value {
    json!({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": code}})
}

/// The texts under a key of each element.
fn each(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap_or_else(|| panic!("{list} is no list")).iter().map(|one| text(&one[key])).collect()
}
