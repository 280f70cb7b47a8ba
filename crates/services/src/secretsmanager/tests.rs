//! The operations of Secrets Manager: JSON in, JSON or a fault out.

use std::collections::BTreeSet;

use longshore_model::secret::MOST_VERSIONS;
use serde_json::{Value, json};

use crate::logs::testing::Bench;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

fn call(bench: &Bench, operation: &str, input: Value) -> Result<Value, String> {
    bench.of(&super::SERVICE, operation, input).map_err(|fault| fault.to_string())
}

fn ok(bench: &Bench, operation: &str, input: Value) -> Value {
    let shown = input.to_string();
    let answer = call(bench, operation, input).unwrap_or_else(|fault| panic!("{operation} {shown}: {fault}"));
    assert_eq!(longshore_plan::check::state(&bench.store.read()), [], "{operation} {shown}");
    answer
}

fn fault(bench: &Bench, operation: &str, input: Value) -> String {
    call(bench, operation, input).expect_err(operation)
}

fn token(number: usize) -> String {
    format!("{number:032}")
}

fn create(bench: &Bench, name: &str, value: &str) -> Value {
    ok(bench, "CreateSecret", json!({"Name": name, "SecretString": value, "ClientRequestToken": token(0)}))
}

fn put(bench: &Bench, name: &str, number: usize, value: &str) -> Value {
    let asked = json!({"SecretId": name, "SecretString": value, "ClientRequestToken": token(number)});
    ok(bench, "PutSecretValue", asked)
}

fn value(bench: &Bench, asked: Value) -> String {
    ok(bench, "GetSecretValue", asked)["SecretString"].as_str().unwrap().to_owned()
}

/// Labels by version number.
fn stages(bench: &Bench, name: &str) -> Value {
    let mut stages = ok(bench, "DescribeSecret", json!({"SecretId": name}))["VersionIdsToStages"].clone();
    let known = stages.as_object_mut().unwrap();
    json!(
        std::mem::take(known)
            .into_iter()
            .map(|(id, labels)| (id.trim_start_matches('0').to_owned(), labels))
            .collect::<serde_json::Map<_, _>>()
    )
}

#[test]
fn a_secret_is_read_by_its_name_and_by_its_whole_and_partial_arn() {
    let bench = Bench::new();
    let made = create(&bench, "prod/db", "hunter2");
    let arn = made["ARN"].as_str().unwrap();
    let partial = "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db";
    let suffix = arn.strip_prefix(&format!("{partial}-")).unwrap();
    assert!(suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{suffix}");
    for given in ["prod/db", arn, partial] {
        let read = ok(&bench, "GetSecretValue", json!({"SecretId": given}));
        assert_eq!((&read["SecretString"], &read["ARN"]), (&json!("hunter2"), &json!(arn)));
        assert_eq!((&read["VersionStages"], &read["VersionId"]), (&json!(["AWSCURRENT"]), &json!(token(0))));
    }
    for given in [
        "prod".to_owned(),
        format!("{partial}-zzzzzz"),
        arn.replace("us-east-1", "eu-west-1"),
        arn.replace("123456789012", "999999999999"),
        arn.replace("secretsmanager", "ssm"),
    ] {
        let told = fault(&bench, "GetSecretValue", json!({"SecretId": given}));
        assert_eq!(told, "ResourceNotFoundException: Secrets Manager can't find the specified secret.", "{given}");
    }
}

#[test]
fn a_binary_value_comes_back_as_one() {
    let bench = Bench::new();
    ok(&bench, "CreateSecret", json!({"Name": "b", "SecretBinary": "AAEC/w=="}));
    let read = ok(&bench, "GetSecretValue", json!({"SecretId": "b"}));
    assert_eq!((&read["SecretBinary"], read.get("SecretString")), (&json!("AAEC/w=="), None));
}

#[test]
fn a_secret_may_be_made_without_a_value() {
    let bench = Bench::new();
    let made = ok(&bench, "CreateSecret", json!({"Name": "later"}));
    assert_eq!(made.get("VersionId"), None);
    let told = fault(&bench, "GetSecretValue", json!({"SecretId": "later"}));
    let wanted = "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT";
    assert_eq!(told, format!("ResourceNotFoundException: {wanted}"));
    let asked =
        json!({"SecretId": "later", "SecretString": "x", "VersionStages": ["mine"], "ClientRequestToken": token(1)});
    ok(&bench, "PutSecretValue", asked);
    assert_eq!(stages(&bench, "later"), json!({"1": ["AWSCURRENT", "mine"]}));
}

#[test]
fn a_request_that_comes_again_has_no_second_effect() {
    let bench = Bench::new();
    let made = create(&bench, "s", "one");
    assert_eq!(create(&bench, "s", "one"), made);
    let other = json!({"Name": "s", "SecretString": "two", "ClientRequestToken": token(0)});
    let exists = "ResourceExistsException: The operation failed because the secret s already exists.";
    assert_eq!(fault(&bench, "CreateSecret", other), exists);
    assert_eq!(fault(&bench, "CreateSecret", json!({"Name": "s"})), exists);
    assert_eq!(put(&bench, "s", 1, "two"), put(&bench, "s", 1, "two"));
    let other = json!({"SecretId": "s", "SecretString": "three", "ClientRequestToken": token(1)});
    let told = fault(&bench, "PutSecretValue", other);
    assert!(told.starts_with("ResourceExistsException: You can't use ClientRequestToken 0"), "{told}");
    assert!(!told.contains("three") && !told.contains("two"));
    assert_eq!(stages(&bench, "s"), json!({"": ["AWSPREVIOUS"], "1": ["AWSCURRENT"]}));
}

#[test]
fn labels_move_and_leave_the_previous_version_behind() {
    let bench = Bench::new();
    create(&bench, "s", "zero");
    put(&bench, "s", 1, "one");
    put(&bench, "s", 2, "two");
    assert_eq!(stages(&bench, "s"), json!({"1": ["AWSPREVIOUS"], "2": ["AWSCURRENT"]}));
    assert_eq!(value(&bench, json!({"SecretId": "s"})), "two");
    assert_eq!(value(&bench, json!({"SecretId": "s", "VersionStage": "AWSPREVIOUS"})), "one");
    assert_eq!(value(&bench, json!({"SecretId": "s", "VersionId": token(0)})), "zero");
    let pending = json!({"SecretId": "s", "SecretString": "three", "VersionStages": ["AWSPENDING"], "ClientRequestToken": token(3)});
    ok(&bench, "PutSecretValue", pending);
    assert_eq!(value(&bench, json!({"SecretId": "s"})), "two");
    let shift = |from: Option<usize>, to: Option<usize>, label: &str| {
        let mut asked = json!({"SecretId": "s", "VersionStage": label});
        from.iter().for_each(|from| asked["RemoveFromVersionId"] = json!(token(*from)));
        to.iter().for_each(|to| asked["MoveToVersionId"] = json!(token(*to)));
        call(&bench, "UpdateSecretVersionStage", asked)
    };
    let told = shift(None, Some(3), "AWSCURRENT").unwrap_err();
    assert!(told.starts_with("InvalidParameterException: The parameter RemoveFromVersionId can't be empty."), "{told}");
    assert!(shift(Some(1), Some(3), "AWSCURRENT").unwrap_err().starts_with("InvalidParameterException: "));
    assert!(shift(Some(2), None, "AWSCURRENT").unwrap_err().contains("can't be completely removed"));
    assert!(shift(None, Some(9), "AWSCURRENT").unwrap_err().contains("Not a valid version"));
    assert!(shift(None, None, "mine").unwrap_err().starts_with("InvalidParameterException: "));
    shift(Some(2), Some(3), "AWSCURRENT").unwrap();
    assert_eq!(stages(&bench, "s"), json!({"2": ["AWSPREVIOUS"], "3": ["AWSCURRENT", "AWSPENDING"]}));
    shift(Some(3), None, "AWSPENDING").unwrap();
    shift(None, Some(0), "mine").unwrap();
    assert_eq!(stages(&bench, "s"), json!({"": ["mine"], "2": ["AWSPREVIOUS"], "3": ["AWSCURRENT"]}));
    let told = fault(&bench, "GetSecretValue", json!({"SecretId": "s", "VersionId": token(2), "VersionStage": "mine"}));
    assert_eq!(
        told,
        "InvalidRequestException: You provided a VersionStage that is not associated to the provided VersionId."
    );
}

#[test]
fn versions_are_listed_with_and_without_labels() {
    let mut bench = Bench::new();
    create(&bench, "s", "zero");
    for number in 1..4 {
        bench.now += 1000;
        put(&bench, "s", number, "value");
    }
    let ids = |asked: Value| -> Vec<String> {
        let page = ok(&bench, "ListSecretVersionIds", asked);
        page["Versions"].as_array().unwrap().iter().map(|row| row["VersionId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(json!({"SecretId": "s"})), [token(3), token(2)]);
    assert_eq!(ids(json!({"SecretId": "s", "IncludeDeprecated": true})), [token(3), token(2), token(1), token(0)]);
    let first = ok(&bench, "ListSecretVersionIds", json!({"SecretId": "s", "MaxResults": 1}));
    assert_eq!(first["Versions"][0]["KmsKeyIds"], json!(["DefaultEncryptionKey"]));
    assert_eq!(ids(json!({"SecretId": "s", "MaxResults": 1, "NextToken": first["NextToken"]})), [token(2)]);
}

#[test]
fn old_versions_make_room_and_young_ones_do_not() {
    let mut bench = Bench::new();
    create(&bench, "s", "zero");
    for number in 1..MOST_VERSIONS {
        put(&bench, "s", number, "value");
    }
    let next = json!({"SecretId": "s", "SecretString": "x", "ClientRequestToken": token(MOST_VERSIONS)});
    let told = fault(&bench, "PutSecretValue", next.clone());
    assert_eq!(told, "LimitExceededException: A secret may have 100 versions.");
    bench.now += DAY_MILLIS;
    ok(&bench, "PutSecretValue", next);
    let told = fault(&bench, "GetSecretValue", json!({"SecretId": "s", "VersionId": token(0)}));
    assert!(told.starts_with("ResourceNotFoundException: "), "{told}");
    assert_eq!(value(&bench, json!({"SecretId": "s", "VersionId": token(1)})), "value");
}

#[test]
fn a_deleted_secret_waits_and_may_come_back() {
    let bench = Bench::new();
    create(&bench, "s", "one");
    let deleted = ok(&bench, "DeleteSecret", json!({"SecretId": "s", "RecoveryWindowInDays": 7}));
    let due = (bench.now + 7 * DAY_MILLIS) as f64 / 1000.0;
    assert!((deleted["DeletionDate"].as_f64().unwrap() - due).abs() < 1.0);
    let told =
        "InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion.";
    for (operation, asked) in [
        ("GetSecretValue", json!({"SecretId": "s"})),
        ("PutSecretValue", json!({"SecretId": "s", "SecretString": "x"})),
        ("UpdateSecret", json!({"SecretId": "s", "Description": "x"})),
        ("TagResource", json!({"SecretId": "s", "Tags": []})),
        ("DeleteSecret", json!({"SecretId": "s"})),
        ("GetResourcePolicy", json!({"SecretId": "s"})),
    ] {
        assert_eq!(fault(&bench, operation, asked), told, "{operation}");
    }
    let taken = fault(&bench, "CreateSecret", json!({"Name": "s"}));
    let told = "You can't create this secret because a secret with this name is already scheduled for deletion.";
    assert_eq!(taken, format!("InvalidRequestException: {told}"));
    assert_eq!(ok(&bench, "ListSecrets", json!({}))["SecretList"], json!([]));
    let all = ok(&bench, "ListSecrets", json!({"IncludePlannedDeletion": true}));
    assert!(all["SecretList"][0]["DeletedDate"].is_number());
    ok(&bench, "RestoreSecret", json!({"SecretId": "s"}));
    assert_eq!(value(&bench, json!({"SecretId": "s"})), "one");
    assert_eq!(ok(&bench, "DescribeSecret", json!({"SecretId": "s"})).get("DeletedDate"), None);
}

#[test]
fn a_window_is_of_seven_to_thirty_days_and_none_if_it_is_forced() {
    let bench = Bench::new();
    let arn = create(&bench, "s", "one")["ARN"].clone();
    for days in [0, 6, 31, i64::MAX] {
        let told = fault(&bench, "DeleteSecret", json!({"SecretId": "s", "RecoveryWindowInDays": days}));
        assert!(told.starts_with("InvalidParameterException: The RecoveryWindowInDays value must be"), "{told}");
    }
    let both = json!({"SecretId": "s", "RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": true});
    assert!(fault(&bench, "DeleteSecret", both).starts_with("InvalidParameterException: "));
    let force = json!({"SecretId": "s", "ForceDeleteWithoutRecovery": true});
    assert_eq!(ok(&bench, "DeleteSecret", force.clone())["ARN"], arn);
    assert!(fault(&bench, "DescribeSecret", json!({"SecretId": "s"})).starts_with("ResourceNotFoundException: "));
    assert_eq!(ok(&bench, "DeleteSecret", force)["Name"], "s");
    assert!(fault(&bench, "DeleteSecret", json!({"SecretId": "s"})).starts_with("ResourceNotFoundException: "));
    assert_ne!(create(&bench, "s", "two")["ARN"], arn);
    let state = bench.store.read();
    assert_eq!(state.secret_versions.len(), 1);
    assert_eq!(state.index.stocks.of("123456789012").secrets, 1);
}

#[test]
fn what_is_wrong_with_a_value_or_a_name_is_told_without_the_value() {
    let bench = Bench::new();
    let long = "hunter2".repeat(10_000);
    let wide = "ü".repeat(40_000);
    for (asked, code) in [
        (json!({"Name": "a b"}), "ValidationException"),
        (json!({"Name": ""}), "ValidationException"),
        (json!({"Name": "n".repeat(513)}), "ValidationException"),
        (json!({"Name": "a", "SecretString": "hunter2", "SecretBinary": "aHVudGVyMg=="}), "InvalidParameterException"),
        (json!({"Name": "a", "SecretString": long}), "ValidationException"),
        (json!({"Name": "a", "SecretString": wide}), "ValidationException"),
        (json!({"Name": "a", "SecretString": ""}), "ValidationException"),
        (json!({"Name": "a", "SecretString": ["hunter2"]}), "SerializationException"),
        (json!({"Name": "a", "SecretString": "hunter2", "ClientRequestToken": "short"}), "ValidationException"),
        (json!({"Name": "a", "SecretString": "hunter2", "KmsKeyId": "alias/none"}), "EncryptionFailure"),
        (json!({"Name": "a", "Tags": [{"Key": "aws:x", "Value": "y"}]}), "InvalidParameterException"),
        (json!({"Name": "a", "Tags": [{"Key": "x"}, {"Key": "x"}]}), "InvalidParameterException"),
        (json!({"Name": "a", "AddReplicaRegions": [{"Region": "eu-west-1"}]}), "InvalidParameterException"),
    ] {
        let told = fault(&bench, "CreateSecret", asked);
        assert!(told.starts_with(&format!("{code}: ")), "{told}");
        assert!(!told.contains("hunter2") && !told.contains("üüü"), "{told}");
    }
    assert!(bench.store.read().secrets.is_empty());
    create(&bench, "a", "one");
    let told = fault(&bench, "PutSecretValue", json!({"SecretId": "a"}));
    assert_eq!(told, "InvalidRequestException: You must provide either SecretString or SecretBinary.");
}

#[test]
fn a_secret_under_a_customers_key_goes_with_it() {
    let bench = Bench::new();
    let kms = |operation: &str, asked: Value| bench.of(&crate::kms::SERVICE, operation, asked).unwrap();
    let key = || kms("CreateKey", json!({}))["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    let (one, two) = (key(), key());
    let asked = json!({"Name": "s", "SecretString": "x", "KmsKeyId": one, "ClientRequestToken": token(0)});
    ok(&bench, "CreateSecret", asked);
    assert_eq!(ok(&bench, "DescribeSecret", json!({"SecretId": "s"}))["KmsKeyId"], one);
    put(&bench, "s", 1, "y");
    kms("DisableKey", json!({"KeyId": one}));
    assert!(fault(&bench, "GetSecretValue", json!({"SecretId": "s"})).starts_with("DecryptionFailure: "));
    let asked = json!({"SecretId": "s", "SecretString": "z"});
    assert!(fault(&bench, "PutSecretValue", asked).starts_with("EncryptionFailure: "));
    kms("EnableKey", json!({"KeyId": one}));
    ok(&bench, "UpdateSecret", json!({"SecretId": "s", "KmsKeyId": two}));
    kms("DisableKey", json!({"KeyId": one}));
    assert_eq!(value(&bench, json!({"SecretId": "s"})), "y");
    assert_eq!(value(&bench, json!({"SecretId": "s", "VersionStage": "AWSPREVIOUS"})), "x");
    let versions = ok(&bench, "ListSecretVersionIds", json!({"SecretId": "s"}));
    assert_eq!(versions["Versions"][0]["KmsKeyIds"], json!([two]));
    ok(&bench, "UpdateSecret", json!({"SecretId": "s", "KmsKeyId": "alias/aws/secretsmanager", "Description": "d"}));
    let shown = ok(&bench, "DescribeSecret", json!({"SecretId": "s"}));
    assert_eq!((shown.get("KmsKeyId"), &shown["Description"]), (None, &json!("d")));
    kms("DisableKey", json!({"KeyId": two}));
    assert_eq!(value(&bench, json!({"SecretId": "s"})), "y");
}

#[test]
fn a_value_moved_to_another_secret_in_the_store_does_not_open() {
    let bench = Bench::new();
    create(&bench, "one", "x");
    create(&bench, "two", "y");
    let state = bench.store.read();
    let version = |name: &str| {
        let secret = super::find(&state, &bench.context().place, name).unwrap().clone();
        super::version::all(&state, &secret)[0].as_ref().clone()
    };
    let forged = longshore_model::secret::SecretVersion { sealed: version("one").sealed, ..version("two") };
    drop(state);
    bench.apply(vec![forged.into()]);
    assert!(fault(&bench, "GetSecretValue", json!({"SecretId": "two"})).starts_with("DecryptionFailure: "));
}

#[test]
fn lists_are_filtered_sorted_and_cut() {
    let mut bench = Bench::new();
    for (name, description, tag) in
        [("prod/db", "Main Database", "web"), ("prod/api", "key of the api", "Web"), ("test/db", "", "test")]
    {
        bench.now += 1000;
        let tags = json!([{"Key": "team", "Value": tag}]);
        ok(&bench, "CreateSecret", json!({"Name": name, "Description": description, "Tags": tags}));
    }
    let names = |asked: Value| -> Vec<String> {
        let page = ok(&bench, "ListSecrets", asked);
        page["SecretList"].as_array().unwrap().iter().map(|row| row["Name"].as_str().unwrap().to_owned()).collect()
    };
    let filtered = |key: &str, values: &[&str]| names(json!({"Filters": [{"Key": key, "Values": values}]}));
    assert_eq!(names(json!({})), ["prod/db", "prod/api", "test/db"]);
    assert_eq!(names(json!({"SortOrder": "desc"})), ["test/db", "prod/api", "prod/db"]);
    assert_eq!(names(json!({"SortBy": "name"})), ["prod/api", "prod/db", "test/db"]);
    assert_eq!(filtered("name", &["prod"]), ["prod/db", "prod/api"]);
    assert_eq!(filtered("name", &["Prod"]), [""; 0]);
    assert_eq!(filtered("name", &["!prod"]), ["test/db"]);
    assert_eq!(filtered("name", &["test", "prod/a"]), ["prod/api", "test/db"]);
    assert_eq!(filtered("description", &["data"]), ["prod/db"]);
    assert_eq!(filtered("tag-value", &["web"]), ["prod/db"]);
    assert_eq!(filtered("tag-key", &["te"]), ["prod/db", "prod/api", "test/db"]);
    assert_eq!(filtered("all", &["WEB prod"]), ["prod/db", "prod/api"]);
    let both = json!({"Filters": [{"Key": "name", "Values": ["prod"]}, {"Key": "description", "Values": ["key"]}]});
    assert_eq!(names(both), ["prod/api"]);
    let first = ok(&bench, "ListSecrets", json!({"MaxResults": 2, "SortOrder": "desc"}));
    assert_eq!(names(json!({"MaxResults": 2, "SortOrder": "desc", "NextToken": first["NextToken"]})), ["prod/db"]);
    let told = fault(&bench, "ListSecrets", json!({"MaxResults": 2, "NextToken": first["NextToken"]}));
    assert!(told.starts_with("InvalidNextTokenException: "), "{told}");
    assert!(fault(&bench, "ListSecrets", json!({"Filters": [{}]})).starts_with("InvalidParameterException: "));
}

#[test]
fn several_values_come_at_once_with_what_went_wrong() {
    let bench = Bench::new();
    create(&bench, "a", "one");
    create(&bench, "b", "two");
    ok(&bench, "DeleteSecret", json!({"SecretId": "b"}));
    let answer = ok(&bench, "BatchGetSecretValue", json!({"SecretIdList": ["a", "b", "c"]}));
    assert_eq!(answer["SecretValues"].as_array().unwrap().len(), 1);
    assert_eq!(answer["SecretValues"][0]["SecretString"], "one");
    let errors = answer["Errors"].as_array().unwrap();
    let told: Vec<_> = errors.iter().map(|one| (one["SecretId"].clone(), one["ErrorCode"].clone())).collect();
    assert_eq!(
        told,
        [(json!("b"), json!("InvalidRequestException")), (json!("c"), json!("ResourceNotFoundException"))]
    );
    for number in 0..30 {
        create(&bench, &format!("many/{number:02}"), "x");
    }
    let asked = json!({"Filters": [{"Key": "name", "Values": ["many/"]}]});
    let first = ok(&bench, "BatchGetSecretValue", asked.clone());
    assert_eq!(first["SecretValues"].as_array().unwrap().len(), 20);
    let mut more = asked;
    more["NextToken"] = first["NextToken"].clone();
    let rest = ok(&bench, "BatchGetSecretValue", more);
    assert_eq!((rest["SecretValues"].as_array().unwrap().len(), rest.get("NextToken")), (10, None));
    for asked in
        [json!({}), json!({"SecretIdList": ["a"], "Filters": []}), json!({"SecretIdList": ["a"], "MaxResults": 1})]
    {
        assert!(fault(&bench, "BatchGetSecretValue", asked).starts_with("InvalidParameterException: "));
    }
}

#[test]
fn a_resource_policy_is_kept_as_it_came_and_a_public_one_may_be_refused() {
    let bench = Bench::new();
    create(&bench, "s", "one");
    let policy = |principal: Value| {
        let statement =
            json!({"Effect": "Allow", "Principal": principal, "Action": "secretsmanager:*", "Resource": "*"});
        json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    };
    let mine = policy(json!({"AWS": "arn:aws:iam::123456789012:root"}));
    let public = policy(json!("*"));
    ok(&bench, "PutResourcePolicy", json!({"SecretId": "s", "ResourcePolicy": mine, "BlockPublicPolicy": true}));
    assert_eq!(ok(&bench, "GetResourcePolicy", json!({"SecretId": "s"}))["ResourcePolicy"], mine);
    for public in [public.clone(), policy(json!({"AWS": ["*"]}))] {
        let asked = json!({"SecretId": "s", "ResourcePolicy": public, "BlockPublicPolicy": true});
        assert!(fault(&bench, "PutResourcePolicy", asked).starts_with("PublicPolicyException: "));
        let checked = ok(&bench, "ValidateResourcePolicy", json!({"ResourcePolicy": public}));
        assert_eq!(checked["PolicyValidationPassed"], false);
    }
    let checked = ok(&bench, "ValidateResourcePolicy", json!({"SecretId": "s", "ResourcePolicy": mine}));
    assert_eq!((&checked["PolicyValidationPassed"], &checked["ValidationErrors"]), (&json!(true), &json!([])));
    let asked = json!({"SecretId": "s", "ResourcePolicy": "{}"});
    assert!(fault(&bench, "PutResourcePolicy", asked).starts_with("MalformedPolicyDocumentException: "));
    ok(&bench, "DeleteResourcePolicy", json!({"SecretId": "s"}));
    assert_eq!(ok(&bench, "GetResourcePolicy", json!({"SecretId": "s"})).get("ResourcePolicy"), None);
}

#[test]
fn tags_are_added_replaced_and_removed() {
    let bench = Bench::new();
    create(&bench, "s", "one");
    let tags = |bench: &Bench| ok(bench, "DescribeSecret", json!({"SecretId": "s"}))["Tags"].clone();
    ok(&bench, "TagResource", json!({"SecretId": "s", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b"}]}));
    ok(&bench, "TagResource", json!({"SecretId": "s", "Tags": [{"Key": "a", "Value": "2"}]}));
    assert_eq!(tags(&bench), json!([{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}]));
    ok(&bench, "UntagResource", json!({"SecretId": "s", "TagKeys": ["a", "none"]}));
    assert_eq!(tags(&bench), json!([{"Key": "b", "Value": ""}]));
    let many: Vec<Value> = (0..50).map(|at| json!({"Key": format!("k{at}")})).collect();
    assert!(
        fault(&bench, "TagResource", json!({"SecretId": "s", "Tags": many})).starts_with("InvalidParameterException")
    );
}

#[test]
fn a_password_is_made_of_what_is_asked_for() {
    let bench = Bench::new();
    let made = |asked: Value| ok(&bench, "GetRandomPassword", asked)["RandomPassword"].as_str().unwrap().to_owned();
    let usual = made(json!({}));
    assert_eq!(usual.len(), 32);
    assert_ne!(usual, made(json!({})));
    for kind in [char::is_uppercase as fn(char) -> bool, char::is_lowercase, char::is_numeric, |letter| {
        letter.is_ascii_punctuation()
    }] {
        assert!(made(json!({"PasswordLength": 4})).contains(kind));
    }
    let digits = made(
        json!({"ExcludeLowercase": true, "ExcludeUppercase": true, "ExcludePunctuation": true, "PasswordLength": 4096, "ExcludeCharacters": "0123"}),
    );
    assert_eq!(digits.len(), 4096);
    assert_eq!(digits.chars().collect::<BTreeSet<_>>(), "456789".chars().collect());
    let none =
        json!({"ExcludeLowercase": true, "ExcludeUppercase": true, "ExcludePunctuation": true, "ExcludeNumbers": true});
    assert!(fault(&bench, "GetRandomPassword", none.clone()).starts_with("InvalidParameterException: "));
    let mut spaces = none;
    spaces["IncludeSpace"] = json!(true);
    assert_eq!(made(spaces), " ".repeat(32));
    assert!(
        fault(&bench, "GetRandomPassword", json!({"PasswordLength": 3})).starts_with("InvalidParameterException: ")
    );
    assert_eq!(made(json!({"PasswordLength": 3, "RequireEachIncludedType": false})).len(), 3);
    assert!(fault(&bench, "GetRandomPassword", json!({"PasswordLength": 4097})).starts_with("ValidationException: "));
}

#[test]
fn a_read_is_noted_once_a_day() {
    let mut bench = Bench::new();
    create(&bench, "s", "one");
    let accessed = |bench: &Bench| ok(bench, "DescribeSecret", json!({"SecretId": "s"}))["LastAccessedDate"].as_f64();
    assert_eq!(accessed(&bench), None);
    bench.now += 5 * 60 * 60 * 1000;
    value(&bench, json!({"SecretId": "s"}));
    let before = bench.store.read().revision();
    value(&bench, json!({"SecretId": "s"}));
    assert_eq!(bench.store.read().revision(), before);
    assert_eq!(accessed(&bench), Some((bench.now - bench.now % DAY_MILLIS) as f64 / 1000.0));
}

#[test]
fn nothing_that_is_stored_holds_a_value() {
    let bench = Bench::new();
    create(&bench, "s", "hunter2");
    put(&bench, "s", 1, "correct horse battery staple");
    ok(&bench, "UpdateSecret", json!({"SecretId": "s", "SecretBinary": "aHVudGVyMw=="}));
    for record in bench.store.read().records() {
        let text = format!("{record:?} {}", String::from_utf8_lossy(&record.to_bytes()));
        for value in ["hunter2", "aHVudGVyMg", "hunter3", "aHVudGVyMw", "correct horse"] {
            assert!(!text.contains(value), "{text}");
        }
    }
}
