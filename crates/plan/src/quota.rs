//! How often an account may call: one token bucket an account and category, as AWS publishes them for ECS.
//!
//! A category's operations share a bucket. What is called costs one token of its operation's category; launches on Fargate
//! cost one a task besides. Who lacks one of the tokens takes none. Operations without a category are not throttled.

use std::collections::HashMap;

use longshore_wire::Timestamp;

use crate::rate::{Bucket, Limit};

/// A category, by its place in [`CATEGORIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Category(u8);

/// A category: its name, limit and operations.
struct Row {
    name: &'static str,
    limit: Limit,
    operations: &'static [&'static str],
}

const fn row(name: &'static str, burst: u32, refill: u32, operations: &'static [&'static str]) -> Row {
    Row { name, limit: Limit { burst, refill }, operations }
}

const LAUNCHES: &str = "fargate-launch";
const SPOT_LAUNCHES: &str = "fargate-spot-launch";
const FARGATE_CALLS: &str = "fargate-run-task";

static CATEGORIES: &[Row] = &[
    row(
        "cluster-modify",
        20,
        1,
        &["CreateCluster", "DeleteCluster", "UpdateCluster", "UpdateClusterSettings", "PutClusterCapacityProviders"],
    ),
    row("cluster-read", 50, 20, &["DescribeClusters", "ListClusters"]),
    row("task-definition-modify", 20, 1, &["RegisterTaskDefinition", "DeregisterTaskDefinition"]),
    row(
        "task-definition-read",
        50,
        20,
        &["DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies"],
    ),
    row("task-definition-delete", 5, 1, &["DeleteTaskDefinitions"]),
    row(
        "capacity-provider-modify",
        10,
        1,
        &["CreateCapacityProvider", "UpdateCapacityProvider", "DeleteCapacityProvider"],
    ),
    row("capacity-provider-read", 50, 20, &["DescribeCapacityProviders"]),
    row("tag-modify", 20, 10, &["TagResource", "UntagResource"]),
    row("tag-read", 50, 20, &["ListTagsForResource"]),
    row("account-setting-modify", 10, 1, &["PutAccountSetting", "PutAccountSettingDefault", "DeleteAccountSetting"]),
    row("account-setting-read", 50, 20, &["ListAccountSettings"]),
    row(
        "cluster-resource-modify",
        100,
        40,
        &[
            "RunTask",
            "StartTask",
            "StopTask",
            "ExecuteCommand",
            "DeregisterContainerInstance",
            "PutAttributes",
            "DeleteAttributes",
            "UpdateContainerAgent",
            "UpdateContainerInstancesState",
        ],
    ),
    row(
        "cluster-resource-read",
        100,
        20,
        &["DescribeTasks", "ListTasks", "DescribeContainerInstances", "ListContainerInstances", "ListAttributes"],
    ),
    row(
        "agent-modify",
        200,
        120,
        &[
            "RegisterContainerInstance",
            "SubmitAttachmentStateChanges",
            "SubmitContainerStateChange",
            "SubmitTaskStateChange",
        ],
    ),
    row("service-modify", 50, 5, &["CreateService", "DeleteService", "UpdateService"]),
    row("service-read", 100, 20, &["DescribeServices", "ListServices"]),
    row("service-deployment-read", 50, 20, &["DescribeServiceDeployments", "ListServiceDeployments"]),
    row("service-revision-read", 50, 20, &["DescribeServiceRevisions"]),
    row("task-protection", 200, 80, &["UpdateTaskProtection", "GetTaskProtection"]),
    row("service-by-namespace", 10, 1, &["ListServicesByNamespace"]),
    row(LAUNCHES, 100, 20, &[]),
    row(SPOT_LAUNCHES, 100, 20, &[]),
    row(FARGATE_CALLS, 20, 20, &[]),
];

/// Buckets that are kept; those that are full again are forgotten first.
const MOST: usize = 65_536;

/// What a call costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost(Vec<(Category, u32)>);

impl Cost {
    /// Of an operation of ECS.
    pub fn of(operation: &str) -> Self {
        let at = CATEGORIES.iter().position(|row| row.operations.contains(&operation));
        Self(at.map(|at| (Category(at as u8), 1)).into_iter().collect())
    }

    /// Of RunTask on Fargate, with so many tasks.
    pub fn of_fargate(tasks: u32, spot: bool) -> Self {
        let mut cost = Self::of("RunTask");
        let launches = if spot { SPOT_LAUNCHES } else { LAUNCHES };
        for (name, tokens) in [(FARGATE_CALLS, 1), (launches, tasks)] {
            let at = CATEGORIES.iter().position(|row| row.name == name);
            cost.0.extend(at.map(|at| (Category(at as u8), tokens)));
        }
        cost
    }

    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }
}

/// The buckets of all accounts.
#[derive(Debug, Default)]
pub struct Quotas {
    buckets: HashMap<(String, Category), Bucket>,
}

impl Quotas {
    /// Takes what a call costs, if it is all there.
    pub fn take(&mut self, account: &str, cost: &Cost, now: Timestamp) -> bool {
        let mut taken = Vec::with_capacity(cost.0.len());
        for (category, tokens) in &cost.0 {
            let limit = limit(*category);
            let key = (account.to_owned(), *category);
            let mut bucket = self.buckets.get(&key).copied().unwrap_or_else(|| Bucket::full(limit, now));
            if !bucket.take(limit, now, *tokens) {
                return false;
            }
            taken.push((key, bucket));
        }
        self.make_room(now);
        self.buckets.extend(taken);
        true
    }

    /// Keeps the number of buckets in bounds: a full one says no more than none.
    fn make_room(&mut self, now: Timestamp) {
        if self.buckets.len() < MOST {
            return;
        }
        self.buckets.retain(|(_, category), bucket| !bucket.is_full(limit(*category), now));
        if self.buckets.len() >= MOST {
            self.buckets.clear();
        }
    }
}

fn limit(category: Category) -> Limit {
    CATEGORIES[usize::from(category.0)].limit
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// How many of a thousand calls at one moment are let through.
    fn through(quotas: &mut Quotas, account: &str, cost: &Cost, now: i64) -> usize {
        (0..1000).filter(|_| quotas.take(account, cost, at(now))).count()
    }

    #[test]
    fn each_operation_is_in_one_category_and_exists() {
        let mut seen = BTreeSet::new();
        for operation in CATEGORIES.iter().flat_map(|row| row.operations) {
            assert!(longshore_api::ecs::SERVICE.operation(operation).is_some(), "{operation}");
            assert!(seen.insert(operation), "{operation} stands twice");
        }
        let names: BTreeSet<&str> = CATEGORIES.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), CATEGORIES.len());
    }

    #[test]
    fn a_categorys_operations_share_a_bucket_and_accounts_do_not() {
        let mut quotas = Quotas::default();
        let (create, delete, list) = (Cost::of("CreateCluster"), Cost::of("DeleteCluster"), Cost::of("ListClusters"));
        assert_eq!(through(&mut quotas, "1", &create, 0), 20);
        assert_eq!(through(&mut quotas, "1", &delete, 999), 0);
        assert_eq!(through(&mut quotas, "1", &list, 999), 50);
        assert_eq!(through(&mut quotas, "2", &delete, 999), 20);
        assert_eq!(through(&mut quotas, "1", &delete, 3000), 3);
        assert_eq!(through(&mut quotas, "1", &Cost::of("DiscoverPollEndpoint"), 0), 1000);
    }

    #[test]
    fn launches_on_fargate_cost_a_token_a_task_and_what_is_refused_costs_nothing() {
        let mut quotas = Quotas::default();
        assert_eq!(through(&mut quotas, "1", &Cost::of_fargate(1, false), 0), 20);
        assert_eq!(through(&mut quotas, "1", &Cost::of("StopTask"), 0), 80);
        let mut quotas = Quotas::default();
        assert_eq!(through(&mut quotas, "1", &Cost::of_fargate(10, false), 0), 10);
        assert_eq!(through(&mut quotas, "1", &Cost::of_fargate(10, true), 0), 10);
        assert_eq!(through(&mut quotas, "1", &Cost::of("StopTask"), 0), 80);
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let mut quotas = Quotas::default();
        for account in 0..MOST + 100 {
            assert!(quotas.take(&account.to_string(), &Cost::of("CreateCluster"), at(0)));
        }
        assert!(quotas.buckets.len() <= MOST);
        let spent = through(&mut quotas, "spent", &Cost::of("CreateCluster"), 0);
        assert_eq!(spent, 20);
        for account in 0..MOST {
            quotas.take(&account.to_string(), &Cost::of("ListClusters"), at(1000));
        }
        assert!(quotas.buckets.len() <= MOST);
    }
}
