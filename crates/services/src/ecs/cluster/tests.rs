//! Clusters by JSON.

use serde_json::{Value, json};

use crate::ecs::testing::{HERE, World, node, service, task};

fn describe(world: &mut World, names: Value, include: Value) -> Value {
    world.ok("DescribeClusters", json!({"clusters": names, "include": include}))
}

#[test]
fn a_cluster_is_made_described_and_listed() {
    let mut world = World::new();
    let made = world.ok("CreateCluster", json!({"clusterName": "prod", "tags": [{"key": "a", "value": "b"}]}));
    let wanted = json!({
        "clusterArn": format!("{HERE}cluster/prod"), "clusterName": "prod", "status": "ACTIVE",
        "registeredContainerInstancesCount": 0, "runningTasksCount": 0, "pendingTasksCount": 0, "activeServicesCount": 0,
        "statistics": [], "tags": [{"key": "a", "value": "b"}],
        "settings": [{"name": "containerInsights", "value": "disabled"}],
        "capacityProviders": [], "defaultCapacityProviderStrategy": [],
    });
    assert_eq!(made["cluster"], wanted);
    let found = describe(&mut world, json!(["prod", format!("{HERE}cluster/prod")]), json!(["TAGS", "SETTINGS"]));
    assert_eq!(found, json!({"clusters": [wanted], "failures": []}));
    let plain = describe(&mut world, json!(["prod"]), json!([]));
    assert_eq!((&plain["clusters"][0]["tags"], &plain["clusters"][0]["settings"]), (&json!([]), &json!([])));
    assert_eq!(world.ok("ListClusters", json!({}))["clusterArns"], json!([format!("{HERE}cluster/prod")]));
}

#[test]
fn making_a_cluster_again_changes_nothing() {
    let mut world = World::new();
    let first = world.ok("CreateCluster", json!({"clusterName": "prod", "tags": [{"key": "a", "value": "b"}]}));
    assert_eq!(world.ok("CreateCluster", json!({"clusterName": "prod"})), first);
    assert_eq!(world.ok("CreateCluster", json!({}))["cluster"]["clusterName"], "default");
}

#[test]
fn cluster_names_are_checked() {
    let mut world = World::new();
    let characters = "InvalidParameterException: Cluster name contains invalid characters.";
    let cases = [
        (json!("a".repeat(255)), None),
        (
            json!("a".repeat(256)),
            Some("InvalidParameterException: Cluster name should not be longer than 255 characters."),
        ),
        (json!("my cluster"), Some(characters)),
        (json!("<script>"), Some(characters)),
        (json!("../x"), Some(characters)),
        (json!("\u{202e}x"), Some(characters)),
        (json!(format!("{HERE}cluster/prod")), Some(characters)),
    ];
    for (name, wanted) in cases {
        let found = world.call("CreateCluster", json!({"clusterName": name})).err();
        assert_eq!(found.as_deref(), wanted, "{name}");
    }
}

#[test]
fn what_is_not_there_is_a_failure() {
    let mut world = World::new();
    let found = describe(&mut world, json!(["gone"]), json!([]));
    assert_eq!(
        found,
        json!({"clusters": [], "failures": [{"arn": format!("{HERE}cluster/gone"), "reason": "MISSING"}]})
    );
    let none = world.ok("DescribeClusters", json!({}));
    assert_eq!(none["failures"][0]["arn"], format!("{HERE}cluster/default"));
    let many: Vec<String> = (0..101).map(|number| format!("c{number}")).collect();
    assert_eq!(
        world.fault("DescribeClusters", json!({"clusters": many})),
        "InvalidParameterException: clusters can have at most 100 items."
    );
    for operation in ["DeleteCluster", "UpdateCluster"] {
        let fault = world.fault(operation, json!({"cluster": "gone"}));
        assert_eq!(fault, "ClusterNotFoundException: Cluster not found.");
    }
}

/// W8: another account's cluster looks the same whether it is there or not.
#[test]
fn another_accounts_cluster_does_not_show() {
    let mut world = World::new();
    world.ok("CreateCluster", json!({"clusterName": "prod"}));
    world.account = longshore_model::AccountId::parse("999999999999").unwrap();
    let arn = |name: &str| json!({"clusters": [format!("{HERE}cluster/{name}")]});
    let there = world.fault("DescribeClusters", arn("prod"));
    assert_eq!(there, world.fault("DescribeClusters", arn("gone")));
    assert!(there.starts_with("InvalidParameterException: "), "{there}");
    assert_eq!(world.ok("ListClusters", json!({}))["clusterArns"], json!([]));
}

#[test]
fn a_deleted_cluster_stays_describable_and_can_be_made_again() {
    let mut world = World::new();
    world.ok("CreateCluster", json!({"clusterName": "prod", "tags": [{"key": "a", "value": "b"}]}));
    let deleted = world.ok("DeleteCluster", json!({"cluster": "prod"}));
    assert_eq!(deleted["cluster"]["status"], "INACTIVE");
    assert_eq!(describe(&mut world, json!(["prod"]), json!([]))["clusters"][0]["status"], "INACTIVE");
    assert_eq!(world.ok("ListClusters", json!({}))["clusterArns"], json!([]));
    assert_eq!(
        world.fault("UpdateCluster", json!({"cluster": "prod"})),
        "ClusterNotFoundException: The referenced cluster was inactive."
    );
    let again = world.ok("CreateCluster", json!({"clusterName": "prod"}));
    assert_eq!((&again["cluster"]["status"], &again["cluster"]["tags"]), (&json!("ACTIVE"), &json!([])));
}

#[test]
fn a_cluster_in_use_is_not_deleted() {
    let refused =
        |code: &str, what: &str| format!("ClusterContains{code}Exception: The Cluster cannot be deleted while {what}.");
    let instances = "Container Instances are active or draining";
    let cases = [
        (node(json!({})), refused("ContainerInstances", instances), node(json!({"status": "INACTIVE"}))),
        (service(json!({})), refused("Services", "Services are active"), service(json!({"status": "INACTIVE"}))),
        (
            service(json!({"status": "DRAINING"})),
            refused("Services", "Services are active"),
            service(json!({"status": "INACTIVE"})),
        ),
        (task(json!({})), refused("Tasks", "Tasks are active"), task(json!({"last": "STOPPED", "stoppedAt": 2}))),
        (
            task(json!({"last": "PENDING"})),
            refused("Tasks", "Tasks are active"),
            task(json!({"last": "STOPPED", "stoppedAt": 2})),
        ),
    ];
    let mut world = World::new();
    for (used, wanted, unused) in cases {
        world.ok("CreateCluster", json!({"clusterName": "prod"}));
        world.put([used]);
        assert_eq!(world.fault("DeleteCluster", json!({"cluster": "prod"})), wanted);
        world.put([unused]);
        world.ok("DeleteCluster", json!({"cluster": "prod"}));
    }
}

#[test]
fn counts_come_from_what_is_there() {
    let mut world = World::new();
    world.ok("CreateCluster", json!({"clusterName": "prod"}));
    world.put([
        node(json!({})),
        service(json!({})),
        service(json!({"name": "old", "status": "INACTIVE"})),
        service(json!({"name": "going", "status": "DRAINING"})),
        task(json!({"id": "a"})),
        task(json!({"id": "b", "last": "PROVISIONING"})),
        task(json!({"id": "c", "last": "STOPPED", "stoppedAt": 2})),
        task(json!({"id": "d", "cluster": "prod2"})),
    ]);
    let shown = describe(&mut world, json!(["prod"]), json!(["STATISTICS"]));
    let cluster = &shown["clusters"][0];
    let counts = ["registeredContainerInstancesCount", "runningTasksCount", "pendingTasksCount", "activeServicesCount"];
    assert_eq!(counts.map(|name| cluster[name].as_i64().unwrap()), [1, 1, 1, 1]);
    let statistic = |name: &str| {
        let pairs = cluster["statistics"].as_array().unwrap();
        let found = pairs.iter().find(|pair| pair["name"] == name);
        found.map(|pair| pair["value"].as_str().unwrap().to_owned())
    };
    for (name, wanted) in [
        ("runningFargateTasksCount", "1"),
        ("pendingFargateTasksCount", "1"),
        ("activeFargateServiceCount", "1"),
        ("drainingFargateServiceCount", "1"),
        ("runningEC2TasksCount", "0"),
        ("pendingExternalTasksCount", "0"),
    ] {
        assert_eq!(statistic(name).as_deref(), Some(wanted), "{name}");
    }
}

#[test]
fn a_provider_in_use_is_not_taken_away() {
    let mut world = World::new();
    world.ok("CreateCluster", json!({"clusterName": "prod", "capacityProviders": ["FARGATE", "FARGATE_SPOT"]}));
    let none = json!({"cluster": "prod", "capacityProviders": [], "defaultCapacityProviderStrategy": []});
    let strategy = json!({"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]});
    let cases = [
        (task(json!({"capacityProvider": "FARGATE"})), "FARGATE", task(json!({"last": "STOPPED", "stoppedAt": 2}))),
        (
            service(json!({"api": strategy})),
            "FARGATE_SPOT",
            service(json!({"api": strategy, "status": "INACTIVE", "inactiveAt": 2})),
        ),
    ];
    for (used, provider, unused) in cases {
        world.put([used]);
        assert_eq!(
            world.fault("PutClusterCapacityProviders", none.clone()),
            format!(
                "ResourceInUseException: The specified capacity provider {provider} is in use and cannot be removed."
            )
        );
        world.put([unused]);
    }
    world.ok("PutClusterCapacityProviders", none);
}

#[test]
fn settings_and_configuration_are_updated_in_part() {
    let mut world = World::new();
    world.ok("CreateCluster", json!({"clusterName": "prod"}));
    let exec = json!({"executeCommandConfiguration": {"logging": "DEFAULT"}});
    let update = json!({"cluster": "prod", "configuration": exec, "serviceConnectDefaults": {"namespace": "corp"}});
    world.ok("UpdateCluster", update);
    let insights = json!([{"name": "containerInsights", "value": "enhanced"}]);
    world.ok("UpdateClusterSettings", json!({"cluster": "prod", "settings": insights}));
    let shown = describe(&mut world, json!(["prod"]), json!(["SETTINGS", "CONFIGURATIONS"]));
    let cluster = &shown["clusters"][0];
    assert_eq!(cluster["configuration"], exec);
    assert_eq!(cluster["settings"], insights);
    assert_eq!(cluster["serviceConnectDefaults"], json!({"namespace": "corp"}));
    let cleared = world.ok("UpdateCluster", json!({"cluster": "prod", "serviceConnectDefaults": {"namespace": ""}}));
    assert_eq!(cleared["cluster"].get("serviceConnectDefaults"), None);
    let cases = [
        (
            json!({"settings": [{"name": "containerInsights", "value": "on"}]}),
            "InvalidParameterException: Invalid value 'on'",
        ),
        (
            json!({"configuration": {"executeCommandConfiguration": {"logging": "OVERRIDE"}}}),
            "InvalidParameterException: logConfiguration must be specified when logging is OVERRIDE.",
        ),
        (
            json!({"serviceConnectDefaults": {"namespace": "arn:aws:servicediscovery:us-east-1:1:namespace/ns-1"}}),
            "NamespaceNotFoundException: ",
        ),
    ];
    for (mut input, wanted) in cases {
        input["cluster"] = json!("prod");
        let found = world.fault("UpdateCluster", input);
        assert!(found.starts_with(wanted), "{found}");
    }
}

#[test]
fn capacity_providers_are_put_as_a_whole() {
    let mut world = World::new();
    world.ok("CreateCluster", json!({"clusterName": "prod"}));
    let put = |providers: Value, strategy: Value| json!({"cluster": "prod", "capacityProviders": providers, "defaultCapacityProviderStrategy": strategy});
    let both = put(
        json!(["FARGATE", "FARGATE_SPOT"]),
        json!([{"capacityProvider": "FARGATE", "base": 1, "weight": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 3}]),
    );
    let answer = world.ok("PutClusterCapacityProviders", both);
    assert_eq!(answer["cluster"]["capacityProviders"], json!(["FARGATE", "FARGATE_SPOT"]));
    assert_eq!(
        answer["cluster"]["defaultCapacityProviderStrategy"][1],
        json!({"capacityProvider": "FARGATE_SPOT", "weight": 3, "base": 0})
    );
    let fault = world.fault("PutClusterCapacityProviders", put(json!(["mine"]), json!([])));
    assert!(
        fault.starts_with("InvalidParameterException: The specified capacity provider 'mine' was not found."),
        "{fault}"
    );
    let fault = world.fault(
        "PutClusterCapacityProviders",
        put(json!(["FARGATE"]), json!([{"capacityProvider": "FARGATE_SPOT", "weight": 1}])),
    );
    assert!(fault.contains("not associated with the cluster"), "{fault}");
    let answer = world.ok("PutClusterCapacityProviders", put(json!([]), json!([])));
    assert_eq!(answer["cluster"]["capacityProviders"], json!([]));
}

#[test]
fn the_providers_of_aws_are_described() {
    let mut world = World::new();
    let all = world.ok("DescribeCapacityProviders", json!({}));
    assert_eq!(
        all["capacityProviders"][1],
        json!({"capacityProviderArn": format!("{HERE}capacity-provider/FARGATE_SPOT"), "name": "FARGATE_SPOT",
            "status": "ACTIVE", "tags": [], "type": "FARGATE_SPOT"})
    );
    let page = world.ok("DescribeCapacityProviders", json!({"maxResults": 1}));
    let rest = world.ok("DescribeCapacityProviders", json!({"maxResults": 1, "nextToken": page["nextToken"]}));
    assert_eq!(
        (&page["capacityProviders"][0]["name"], &rest["capacityProviders"][0]["name"]),
        (&json!("FARGATE"), &json!("FARGATE_SPOT"))
    );
    assert_eq!(rest.get("nextToken"), None);
    let some = world.ok("DescribeCapacityProviders", json!({"capacityProviders": ["FARGATE", "gone"]}));
    assert_eq!(some["capacityProviders"].as_array().unwrap().len(), 1);
    assert_eq!(some["failures"], json!([{"arn": format!("{HERE}capacity-provider/gone"), "reason": "MISSING"}]));
}

#[test]
fn statistics_name_every_kind() {
    let mut world = World::new();
    world.ok("CreateCluster", json!({}));
    let shown = describe(&mut world, json!(["default"]), json!(["STATISTICS", "ATTACHMENTS"]));
    let pairs = shown["clusters"][0]["statistics"].as_array().unwrap();
    let names: Vec<&str> = pairs.iter().map(|pair| pair["name"].as_str().unwrap()).collect();
    for name in [
        "runningEC2TasksCount",
        "pendingFargateTasksCount",
        "activeExternalServiceCount",
        "drainingFargateServiceCount",
    ] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
    assert_eq!((pairs.len(), &shown["clusters"][0]["attachments"]), (12, &json!([])));
}

/// W10
#[test]
fn pages_have_bounds_and_tokens_are_ours() {
    let mut world = World::new();
    for number in 0..5 {
        world.ok("CreateCluster", json!({"clusterName": format!("c{number}")}));
    }
    for size in [0, -1, 101, 1_000_000_000] {
        assert_eq!(
            world.fault("ListClusters", json!({"maxResults": size})),
            "InvalidParameterException: maxResults must be between 1 and 100."
        );
    }
    let page = world.ok("ListClusters", json!({"maxResults": 2}));
    let token = page["nextToken"].as_str().unwrap().to_owned();
    let next = world.ok("ListClusters", json!({"nextToken": token}));
    assert_eq!(next["clusterArns"].as_array().unwrap().len(), 3);
    assert_eq!(next.get("nextToken"), None);
    let bad = ["x".to_owned(), token[1..].to_owned(), format!("{token}A"), token.to_lowercase()];
    for token in bad {
        assert_eq!(
            world.fault("ListClusters", json!({"nextToken": token})),
            "InvalidParameterException: Invalid token."
        );
    }
    assert_eq!(
        world.fault("ListTaskDefinitionFamilies", json!({"nextToken": token})),
        "InvalidParameterException: Invalid token."
    );
    world.account = longshore_model::AccountId::parse("999999999999").unwrap();
    assert_eq!(world.fault("ListClusters", json!({"nextToken": token})), "InvalidParameterException: Invalid token.");
}
