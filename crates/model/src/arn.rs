//! Amazon Resource Names: how they are written and read.

use crate::ids::AccountId;

/// Where this installation lives: the partition is always `aws`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub region: String,
    pub account: AccountId,
}

impl Place {
    pub fn new(region: &str, account: &AccountId) -> Self {
        Self { region: region.to_owned(), account: account.clone() }
    }

    /// `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`
    pub fn arn(&self, service: &str, resource: &str) -> String {
        ["arn:aws", service, &self.region, self.account.as_str(), resource].join(":")
    }

    pub fn cluster(&self, name: &str) -> String {
        self.arn("ecs", &["cluster", name].join("/"))
    }

    pub fn task_definition(&self, family: &str, revision: i32) -> String {
        self.arn("ecs", &format!("task-definition/{family}:{revision}"))
    }

    pub fn task(&self, cluster: &str, id: &str) -> String {
        self.arn("ecs", &["task", cluster, id].join("/"))
    }

    pub fn container(&self, cluster: &str, task: &str, id: &str) -> String {
        self.arn("ecs", &format!("container/{cluster}/{task}/{id}"))
    }

    pub fn service(&self, cluster: &str, name: &str) -> String {
        self.arn("ecs", &format!("service/{cluster}/{name}"))
    }

    /// A service's deployment; `id` is the number in `ecs-svc/NUMBER`.
    pub fn service_deployment(&self, cluster: &str, service: &str, id: &str) -> String {
        self.arn("ecs", &format!("service-deployment/{cluster}/{service}/{id}"))
    }

    /// What a service's deployment rolls out; `id` as of [`service_deployment`](Self::service_deployment).
    pub fn service_revision(&self, cluster: &str, service: &str, id: &str) -> String {
        self.arn("ecs", &format!("service-revision/{cluster}/{service}/{id}"))
    }

    pub fn container_instance(&self, cluster: &str, id: &str) -> String {
        self.arn("ecs", &format!("container-instance/{cluster}/{id}"))
    }

    pub fn log_group(&self, name: &str) -> String {
        self.arn("logs", &format!("log-group:{name}"))
    }
}

/// A parsed ARN, borrowing from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    pub partition: &'a str,
    pub service: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// `None` unless `text` has six colon-separated parts, starts with `arn:aws:` and names a resource. Nothing here has an ARN of
    /// another partition, and policies that speak of what is here do not match one: whoever looks for something by an ARN
    /// takes none for it.
    pub fn parse(text: &'a str) -> Option<Self> {
        Self::parse_any(text).filter(|arn| arn.partition == "aws")
    }

    /// As [`parse`](Self::parse), of any partition: for what is not looked for here, and to say what is wrong.
    pub fn parse_any(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let head = parts.next()?;
        let arn = Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        };
        (head == "arn" && !arn.resource.is_empty()).then_some(arn)
    }

    /// The resource's parts when this ARN is `service`'s, in this place, and its resource begins with `kind/`.
    pub fn local(text: &'a str, place: &Place, service: &str, kind: &str) -> Option<Vec<&'a str>> {
        let arn = Self::parse(text)?;
        let here = arn.service == service && arn.region == place.region && arn.account == place.account.as_str();
        let mut parts = arn.resource.split('/');
        (here && parts.next() == Some(kind)).then(|| parts.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::new("us-east-1", &AccountId::parse("123456789012").unwrap())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let arn = place().task("prod", "abc");
        assert_eq!(arn, "arn:aws:ecs:us-east-1:123456789012:task/prod/abc");
        assert_eq!(Arn::local(&arn, &place(), "ecs", "task"), Some(vec!["prod", "abc"]));
    }

    #[test]
    fn an_arn_of_another_partition_leads_nowhere() {
        let at = |partition: &str| format!("arn:{partition}:ecr:us-east-1:123456789012:repository/web");
        assert!(Arn::parse(&at("aws")).is_some());
        for partition in ["zz", "", "AWS", "aws-cn", "*"] {
            assert_eq!(Arn::parse(&at(partition)), None, "{partition}");
            assert_eq!(Arn::parse_any(&at(partition)).map(|arn| arn.partition), Some(partition));
        }
    }

    #[test]
    fn a_foreign_arn_is_not_local() {
        for arn in [
            "arn:aws:ecs:eu-west-1:123456789012:task/prod/abc",
            "arn:aws:ecs:us-east-1:999999999999:task/prod/abc",
            "arn:aws-cn:ecs:us-east-1:123456789012:task/prod/abc",
            "arn:aws:ecs:us-east-1:123456789012:service/prod/abc",
            "arn:aws:ecs:us-east-1:123456789012:",
            "prod",
        ] {
            assert_eq!(Arn::local(arn, &place(), "ecs", "task"), None, "{arn}");
        }
    }
}
