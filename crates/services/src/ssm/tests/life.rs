//! Parameters from their making to their end.

use super::*;

const ARN: &str = "arn:aws:ssm:us-east-1:123456789012:parameter";

#[test]
fn a_parameter_is_made_read_and_overwritten() {
    let bench = Bench::new();
    let made = ok(&bench, "PutParameter", json!({"Name": "/app/db/host", "Type": "String", "Value": "a"}));
    assert_eq!(made, json!({"Version": 1, "Tier": "Standard"}));
    assert_eq!(put(&bench, "/app/db/host", "String", "b"), 2);
    assert_eq!(
        get(&bench, "/app/db/host"),
        json!({
            "Name": "/app/db/host", "Type": "String", "Value": "b", "Version": 2, "DataType": "text",
            "LastModifiedDate": bench.now / 1000, "ARN": format!("{ARN}/app/db/host"),
        })
    );
    put(&bench, "word", "StringList", "a,b");
    assert_eq!(get(&bench, "word")["ARN"], format!("{ARN}/word"));
}

#[test]
fn a_reference_is_a_name_or_an_arn_with_a_version_or_a_label() {
    let bench = Bench::new();
    for value in ["1", "2", "3"] {
        put(&bench, "/a/b", "String", value);
        put(&bench, "w", "String", value);
        put(&bench, "/slashed", "String", value);
    }
    ok(&bench, "LabelParameterVersion", json!({"Name": "/a/b", "ParameterVersion": 2, "Labels": ["live"]}));
    let rows = [
        ("/a/b", "3", Value::Null),
        ("/a/b:1", "1", json!(":1")),
        ("/a/b:live", "2", json!(":live")),
        (&format!("{ARN}/a/b"), "3", Value::Null),
        (&format!("{ARN}/a/b:live"), "2", json!(":live")),
        (&format!("{ARN}/w:1"), "1", json!(":1")),
        (&format!("{ARN}/slashed"), "3", Value::Null),
    ];
    for (name, value, selector) in rows {
        let found = get(&bench, name);
        assert_eq!((&found["Value"], &found["Selector"]), (&json!(value), &selector), "{name}");
    }
}

#[test]
fn several_are_read_at_once_and_what_is_not_there_is_listed() {
    let bench = Bench::new();
    put(&bench, "a", "String", "1");
    put(&bench, "/b/c", "String", "2");
    let foreign = "arn:aws:ssm:us-east-1:999999999999:parameter/a";
    let answer =
        ok(&bench, "GetParameters", json!({"Names": ["/b/c", "a", "a:9", "a:x", "none", "b/c", "a", foreign]}));
    assert_eq!(names(&answer["Parameters"]), ["/b/c", "a"]);
    assert_eq!(answer["InvalidParameters"], json!(["a:9", "a:x", "none", "b/c", foreign]));
}

#[test]
fn a_secure_string_is_sealed_and_opened_on_demand() {
    let bench = Bench::new();
    put(&bench, "/app/password", "SecureString", "planted-secret");
    let sealed = ok(&bench, "GetParameter", json!({"Name": "/app/password"}))["Parameter"]["Value"].clone();
    assert!(!sealed.as_str().unwrap().contains("planted"));
    assert_eq!(get(&bench, "/app/password")["Value"], "planted-secret");
    let state = bench.store.read();
    for record in state.records() {
        let bytes = record.to_bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains("planted-secret"), "{record:?}");
        assert!(!format!("{record:?}").contains("planted-secret"));
    }
    drop(state);
    let described = ok(&bench, "DescribeParameters", json!({}));
    assert_eq!(described["Parameters"][0]["KeyId"], "alias/aws/ssm");
    assert!(!described.to_string().contains(sealed.as_str().unwrap()));
    put(&bench, "/app/password", "SecureString", "planted-secret");
    let again = ok(&bench, "GetParameter", json!({"Name": "/app/password"}))["Parameter"]["Value"].clone();
    assert_ne!(sealed, again);
    let history = ok(&bench, "GetParameterHistory", json!({"Name": "/app/password", "WithDecryption": true}));
    assert_eq!(history["Parameters"][0]["Value"], "planted-secret");
    let key = bench.of(&crate::kms::SERVICE, "CreateKey", json!({})).unwrap()["KeyMetadata"]["KeyId"].clone();
    let alias = json!({"AliasName": "alias/mine", "TargetKeyId": key});
    bench.of(&crate::kms::SERVICE, "CreateAlias", alias).unwrap();
    let under =
        |name: &str| json!({"Name": "k", "Type": "SecureString", "Value": "v", "KeyId": name, "Overwrite": true});
    ok(&bench, "PutParameter", under("alias/mine"));
    assert_eq!(fault(&bench, "PutParameter", under("alias/none")), "InvalidKeyId: Invalid keyId alias/none");
    bench.of(&crate::kms::SERVICE, "DisableKey", json!({"KeyId": key})).unwrap();
    let read = json!({"Name": "k", "WithDecryption": true});
    assert_eq!(fault(&bench, "GetParameter", read), "InvalidKeyId: Invalid keyId alias/mine");
    assert_ne!(ok(&bench, "GetParameter", json!({"Name": "k"}))["Parameter"]["Value"], "v");
    let filter = json!({"ParameterFilters": [{"Key": "KeyId", "Values": ["alias/mine"]}]});
    assert_eq!(names(&ok(&bench, "DescribeParameters", filter)["Parameters"]), ["k"]);
}

#[test]
fn what_a_new_version_does_not_say_stays() {
    let bench = Bench::new();
    let first = json!({"Name": "a", "Type": "String", "Value": "12", "Description": "d", "AllowedPattern": "[0-9]+",
                       "Tags": [{"Key": "team", "Value": "web"}]});
    ok(&bench, "PutParameter", first);
    ok(&bench, "PutParameter", json!({"Name": "a", "Value": "34", "Overwrite": true}));
    let row = ok(&bench, "DescribeParameters", json!({}))["Parameters"][0].clone();
    assert_eq!((&row["Description"], &row["AllowedPattern"]), (&json!("d"), &json!("[0-9]+")));
    assert_eq!(row["LastModifiedUser"], "arn:aws:iam::123456789012:root");
    let mismatch = fault(&bench, "PutParameter", json!({"Name": "a", "Value": "x1", "Overwrite": true}));
    assert_eq!(
        mismatch,
        "ParameterPatternMismatchException: Parameter value, cannot be validated against allowedPattern: [0-9]+"
    );
    ok(
        &bench,
        "PutParameter",
        json!({"Name": "a", "Value": "x", "AllowedPattern": "", "Description": "", "Overwrite": true}),
    );
    let row = ok(&bench, "DescribeParameters", json!({}))["Parameters"][0].clone();
    assert!(row.get("Description").is_none() && row.get("AllowedPattern").is_none());
    let tags = ok(&bench, "ListTagsForResource", json!({"ResourceType": "Parameter", "ResourceId": "a"}));
    assert_eq!(tags, json!({"TagList": [{"Key": "team", "Value": "web"}]}));
}

#[test]
fn a_hundred_versions_are_kept_and_a_labelled_one_does_not_go() {
    let bench = Bench::new();
    for number in 1..=101 {
        assert_eq!(put(&bench, "/a/b", "String", "x"), number);
    }
    let history = || {
        let first = ok(&bench, "GetParameterHistory", json!({"Name": "/a/b"}));
        let second = ok(&bench, "GetParameterHistory", json!({"Name": "/a/b", "NextToken": first["NextToken"]}));
        assert!(second.get("NextToken").is_none());
        let both = [first, second];
        let rows = both.iter().flat_map(|page| page["Parameters"].as_array().unwrap());
        rows.map(|row| row["Version"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(history(), (2..=101).collect::<Vec<_>>());
    assert_eq!(
        fault(&bench, "GetParameter", json!({"Name": "/a/b:1"})),
        "ParameterVersionNotFound: Systems Manager could not find version 1 of /a/b. Verify the version and try again."
    );
    ok(&bench, "LabelParameterVersion", json!({"Name": "/a/b", "ParameterVersion": 2, "Labels": ["keep"]}));
    let again = json!({"Name": "/a/b", "Value": "y", "Overwrite": true});
    let refused = fault(&bench, "PutParameter", again.clone());
    assert!(
        refused.starts_with("ParameterMaxVersionLimitExceeded: You attempted to create a new version of /a/b"),
        "{refused}"
    );
    ok(&bench, "LabelParameterVersion", json!({"Name": "/a/b", "Labels": ["keep"]}));
    assert_eq!(ok(&bench, "PutParameter", again)["Version"], 102);
    assert_eq!(get(&bench, "/a/b:keep")["Version"], 101);
    ok(&bench, "DeleteParameter", json!({"Name": "/a/b"}));
    assert!(bench.store.read().parameter_versions.is_empty() && bench.store.read().parameters.is_empty());
    assert_eq!(put(&bench, "/a/b", "String", "x"), 1);
}

#[test]
fn labels_move_are_refused_and_come_off() {
    let bench = Bench::new();
    put(&bench, "a", "String", "1");
    put(&bench, "a", "String", "2");
    let odd = ["ok", "1st", "awsome", "SSM", "a b", "ok"];
    let answer = ok(&bench, "LabelParameterVersion", json!({"Name": "a", "ParameterVersion": 1, "Labels": odd}));
    assert_eq!(answer, json!({"InvalidLabels": ["1st", "awsome", "SSM", "a b"], "ParameterVersion": 1}));
    ok(&bench, "LabelParameterVersion", json!({"Name": "a", "Labels": ["ok"]}));
    assert_eq!(get(&bench, "a:ok")["Version"], 2);
    let many: Vec<_> = (0..10).map(|number| format!("l{number}")).collect();
    let refused = fault(&bench, "LabelParameterVersion", json!({"Name": "a", "Labels": many}));
    assert!(refused.starts_with("ParameterVersionLabelLimitExceeded: A parameter version can have maximum 10 labels"));
    let off = json!({"Name": "a", "ParameterVersion": 2, "Labels": ["ok", "no"]});
    assert_eq!(ok(&bench, "UnlabelParameterVersion", off), json!({"RemovedLabels": ["ok"], "InvalidLabels": ["no"]}));
    assert_eq!(
        fault(&bench, "GetParameter", json!({"Name": "a:ok"})),
        "ParameterVersionNotFound: Systems Manager could not find label ok for parameter a. Verify the label and try again."
    );
}

#[test]
fn a_parameter_that_expires_is_gone_for_all_and_its_records_go() {
    let mut bench = Bench::new();
    let policies = r#"[{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2024-05-01T01:00:00.000Z"}},
        {"Type":"ExpirationNotification","Version":"1.0","Attributes":{"Before":"15","Unit":"Days"}},
        {"Type":"NoChangeNotification","Version":"1.0","Attributes":{"After":"20","Unit":"Hours"}}]"#;
    let made = json!({"Name": "/t/a", "Type": "SecureString", "Value": "v", "Tier": "Advanced", "Policies": policies});
    assert_eq!(ok(&bench, "PutParameter", made)["Tier"], "Advanced");
    put(&bench, "/t/a", "SecureString", "w");
    put(&bench, "/t/b", "String", "stays");
    let row = ok(&bench, "DescribeParameters", json!({}))["Parameters"][0].clone();
    let kinds: Vec<_> =
        row["Policies"].as_array().unwrap().iter().map(|one| one["PolicyType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Expiration", "ExpirationNotification", "NoChangeNotification"]);
    assert_eq!(row["Policies"][0]["PolicyStatus"], "Pending");
    bench.now += 3600 * 1000 - 1;
    assert_eq!(get(&bench, "/t/a")["Value"], "w");
    let now = longshore_wire::Timestamp::from_millis(bench.now);
    let plan = longshore_plan::expire::turn(&bench.store.read(), now);
    assert!(plan.changes.is_empty() && plan.not_before.is_some_and(|at| at.millis() == bench.now + 1));
    bench.now += 1;
    let named = json!({"Name": "/t/a"});
    for operation in ["GetParameter", "GetParameterHistory", "DeleteParameter"] {
        assert_eq!(fault(&bench, operation, named.clone()), "ParameterNotFound: ", "{operation}");
    }
    let below = ok(&bench, "GetParametersByPath", json!({"Path": "/t"}));
    assert_eq!(names(&below["Parameters"]), ["/t/b"]);
    assert_eq!(names(&ok(&bench, "DescribeParameters", json!({}))["Parameters"]), ["/t/b"]);
    assert_eq!(ok(&bench, "GetParameters", json!({"Names": ["/t/a"]}))["InvalidParameters"], json!(["/t/a"]));
    assert_eq!(put(&bench, "/t/a", "String", "anew"), 1);
    assert_eq!(bench.store.read().parameter_versions.len(), 2);
    let soon =
        json!({"Name": "/t/c", "Type": "String", "Value": "v", "Tier": "Intelligent-Tiering", "Policies": policies});
    assert_eq!(ok(&bench, "PutParameter", soon)["Tier"], "Advanced");
    let plan = longshore_plan::expire::turn(&bench.store.read(), longshore_wire::Timestamp::from_millis(bench.now));
    bench.apply(plan.changes);
    assert_eq!((bench.store.read().parameters.len(), bench.store.read().parameter_versions.len()), (2, 2));
}

#[test]
fn policies_stay_until_they_are_taken_away() {
    let bench = Bench::new();
    let policy = r#"{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2030-01-01T00:00:00Z"}}"#;
    let list = format!("[{policy}]");
    ok(
        &bench,
        "PutParameter",
        json!({"Name": "a", "Type": "String", "Value": "v", "Tier": "Advanced", "Policies": list}),
    );
    let texts = || {
        let row = ok(&bench, "DescribeParameters", json!({}))["Parameters"][0].clone();
        row["Policies"].as_array().unwrap().len()
    };
    put(&bench, "a", "String", "w");
    assert_eq!(texts(), 1);
    ok(&bench, "PutParameter", json!({"Name": "a", "Value": "x", "Overwrite": true, "Policies": "[{}]"}));
    assert_eq!(texts(), 0);
    assert!(bench.store.read().index.ages.expiring_parameters().next().is_none());
}

#[test]
fn tiers_go_up_and_never_down() {
    let bench = Bench::new();
    let long = "x".repeat(4097);
    let put = |more: Value| {
        let mut input = json!({"Name": "a", "Type": "String", "Value": long, "Overwrite": true});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(&bench, "PutParameter", &input).map(|answer| answer["Tier"].as_str().unwrap().to_owned())
    };
    let refused = put(json!({})).unwrap_err().to_string();
    assert!(
        refused.starts_with("ValidationException: Standard tier parameters support a maximum parameter value of 4096")
    );
    assert_eq!(put(json!({"Value": "short", "Tier": "Intelligent-Tiering"})).unwrap(), "Standard");
    assert_eq!(put(json!({"Tier": "Intelligent-Tiering"})).unwrap(), "Advanced");
    assert_eq!(put(json!({})).unwrap(), "Advanced");
    let down = put(json!({"Value": "short", "Tier": "Standard"})).unwrap_err().to_string();
    assert!(down.starts_with("ValidationException: This parameter uses the advanced-parameter tier."), "{down}");
    assert!(put(json!({"Value": "x".repeat(8192)})).is_ok());
    let longer = put(json!({"Value": "x".repeat(8193)})).unwrap_err().to_string();
    assert!(longer.starts_with("ValidationException: Advanced tier") && !longer.contains("xxx"), "{longer}");
}

#[test]
fn several_are_deleted_each_on_its_own() {
    let bench = Bench::new();
    put(&bench, "a", "String", "1");
    put(&bench, "/b/c", "String", "1");
    let answer = ok(&bench, "DeleteParameters", json!({"Names": ["a", "none", "/b/c", "a", "x/y"]}));
    assert_eq!(answer, json!({"DeletedParameters": ["a", "/b/c"], "InvalidParameters": ["none", "x/y"]}));
    assert_eq!(fault(&bench, "DeleteParameter", json!({"Name": "a"})), "ParameterNotFound: ");
}
