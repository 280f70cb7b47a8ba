//! Account settings by JSON.

use serde_json::{Value, json};

use crate::ecs::testing::World;

const ROOT: &str = "arn:aws:iam::123456789012:root";
const USER: &str = "arn:aws:iam::123456789012:user/anna";

fn value(world: &mut World, name: &str, principal: &str) -> Value {
    let asked = json!({"effectiveSettings": true, "name": name, "principalArn": principal});
    world.ok("ListAccountSettings", asked)["settings"][0]["value"].clone()
}

#[test]
fn every_setting_has_its_default() {
    let mut world = World::new();
    let first = world.ok("ListAccountSettings", json!({"effectiveSettings": true}));
    let rest = world.ok("ListAccountSettings", json!({"effectiveSettings": true, "nextToken": first["nextToken"]}));
    let pages = [&first, &rest].map(|page| page["settings"].as_array().unwrap().clone()).concat();
    let found: Vec<(&str, &str, &str)> = pages
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["value"].as_str().unwrap(), it["type"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("awsvpcTrunking", "disabled", "user"),
        ("containerInsights", "disabled", "user"),
        ("containerInstanceLongArnFormat", "enabled", "user"),
        ("defaultLogDriverMode", "non-blocking", "user"),
        ("fargateEventWindows", "disabled", "user"),
        ("fargateFIPSMode", "disabled", "user"),
        ("fargateTaskRetirementWaitPeriod", "7", "user"),
        ("guardDutyActivate", "off", "aws_managed"),
        ("serviceLongArnFormat", "enabled", "user"),
        ("tagResourceAuthorization", "on", "user"),
        ("taskLongArnFormat", "enabled", "user"),
    ];
    assert_eq!(found, wanted);
    assert_eq!(rest.get("nextToken"), None);
    assert_eq!(world.ok("ListAccountSettings", json!({}))["settings"], json!([]));
}

#[test]
fn a_principals_own_setting_goes_before_the_accounts() {
    let mut world = World::new();
    let name = "containerInsights";
    let put = world.ok("PutAccountSettingDefault", json!({"name": name, "value": "enabled"}));
    assert_eq!(put["setting"], json!({"name": name, "value": "enabled", "principalArn": ROOT, "type": "user"}));
    assert_eq!(value(&mut world, name, USER), "enabled");
    world.ok("PutAccountSetting", json!({"name": name, "value": "enhanced", "principalArn": USER}));
    assert_eq!((value(&mut world, name, USER), value(&mut world, name, ROOT)), (json!("enhanced"), json!("enabled")));
    let own = world.ok("ListAccountSettings", json!({"principalArn": USER}));
    assert_eq!(own["settings"], json!([{"name": name, "value": "enhanced", "principalArn": USER, "type": "user"}]));

    world.principal = Some(USER.to_owned());
    assert_eq!(world.ok("CreateCluster", json!({"clusterName": "a"}))["cluster"]["settings"][0]["value"], "enhanced");
    let deleted = world.ok("DeleteAccountSetting", json!({"name": name}));
    assert_eq!(deleted["setting"]["value"], "enabled");
    assert_eq!(world.ok("CreateCluster", json!({"clusterName": "b"}))["cluster"]["settings"][0]["value"], "enabled");
}

#[test]
fn the_root_users_settings_are_the_accounts() {
    let mut world = World::new();
    world.ok("PutAccountSetting", json!({"name": "awsvpcTrunking", "value": "enabled"}));
    assert_eq!(value(&mut world, "awsvpcTrunking", USER), "enabled");
    world.ok("DeleteAccountSetting", json!({"name": "awsvpcTrunking"}));
    assert_eq!(value(&mut world, "awsvpcTrunking", USER), "disabled");
}

#[test]
fn names_values_and_principals_are_checked() {
    let mut world = World::new();
    let cases = [
        ("PutAccountSetting", json!({"name": "nothing", "value": "enabled"})),
        ("PutAccountSetting", json!({"name": "containerInsights", "value": "on"})),
        ("PutAccountSetting", json!({"name": "containerInsights", "value": ""})),
        ("PutAccountSetting", json!({"name": "fargateTaskRetirementWaitPeriod", "value": "8"})),
        ("PutAccountSetting", json!({"name": "guardDutyActivate", "value": "on"})),
        ("PutAccountSetting", json!({"name": "awsvpcTrunking", "value": "enabled", "principalArn": "anna"})),
        (
            "PutAccountSetting",
            json!({"name": "awsvpcTrunking", "value": "enabled", "principalArn": "arn:aws:iam::999999999999:user/anna"}),
        ),
        (
            "PutAccountSetting",
            json!({"name": "awsvpcTrunking", "value": "enabled", "principalArn": "arn:aws:s3:::anna"}),
        ),
        ("ListAccountSettings", json!({"value": "enabled"})),
        ("ListAccountSettings", json!({"maxResults": 11})),
        ("ListAccountSettings", json!({"maxResults": 0})),
    ];
    for (operation, input) in cases {
        let fault = world.fault(operation, input.clone());
        assert!(fault.starts_with("InvalidParameterException: "), "{input}: {fault}");
    }
    for (name, value) in [
        ("fargateTaskRetirementWaitPeriod", "14"),
        ("defaultLogDriverMode", "blocking"),
        ("tagResourceAuthorization", "off"),
    ] {
        world.ok("PutAccountSetting", json!({"name": name, "value": value}));
    }
}
