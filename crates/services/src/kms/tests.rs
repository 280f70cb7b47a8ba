//! The operations of KMS: JSON in, JSON or a fault out.

use serde_json::{Value, json};

use super::Ring;
use crate::logs::testing::Bench;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
const HERE: &str = "arn:aws:kms:us-east-1:123456789012:";

fn ok(bench: &Bench, operation: &str, input: Value) -> Value {
    bench.of(&super::SERVICE, operation, input).unwrap_or_else(|fault| panic!("{operation}: {fault}"))
}

fn fault(bench: &Bench, operation: &str, input: Value) -> String {
    bench.of(&super::SERVICE, operation, input).map(|answer| answer.to_string()).unwrap_err().to_string()
}

fn key(bench: &Bench) -> String {
    ok(bench, "CreateKey", json!({}))["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
}

fn encrypt(bench: &Bench, key: &str, context: Value) -> Value {
    ok(bench, "Encrypt", json!({"KeyId": key, "Plaintext": "c2VjcmV0", "EncryptionContext": context}))
}

#[test]
fn a_key_encrypts_under_every_name_it_has() {
    let bench = Bench::new();
    let id = key(&bench);
    let arn = format!("{HERE}key/{id}");
    ok(&bench, "CreateAlias", json!({"AliasName": "alias/app", "TargetKeyId": id}));
    for name in [&id, &arn, "alias/app", &format!("{HERE}alias/app")] {
        let sealed = encrypt(&bench, name, json!({"app": "web"}));
        assert_eq!(sealed["KeyId"], arn);
        let asked = json!({"CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": {"app": "web"}});
        let opened = ok(&bench, "Decrypt", asked.clone());
        assert_eq!((&opened["Plaintext"], &opened["KeyId"]), (&json!("c2VjcmV0"), &json!(arn)));
        let mut named = asked;
        named["KeyId"] = json!(name);
        assert_eq!(ok(&bench, "Decrypt", named)["KeyId"], arn);
    }
}

#[test]
fn what_does_not_open_is_told_without_saying_why() {
    let bench = Bench::new();
    let (id, other) = (key(&bench), key(&bench));
    let sealed = encrypt(&bench, &id, json!({"app": "web"}))["CiphertextBlob"].clone();
    for context in [json!({}), json!({"app": "db"}), json!({"app": "web", "more": "x"})] {
        let asked = json!({"CiphertextBlob": sealed, "EncryptionContext": context});
        assert_eq!(fault(&bench, "Decrypt", asked), "InvalidCiphertextException: ");
    }
    assert_eq!(fault(&bench, "Decrypt", json!({"CiphertextBlob": "AQID"})), "InvalidCiphertextException: ");
    let asked = json!({"CiphertextBlob": sealed, "EncryptionContext": {"app": "web"}, "KeyId": other});
    assert!(fault(&bench, "Decrypt", asked).starts_with("IncorrectKeyException: "));
}

#[test]
fn a_key_that_is_off_or_going_is_not_used() {
    let bench = Bench::new();
    let id = key(&bench);
    let arn = format!("{HERE}key/{id}");
    let sealed = encrypt(&bench, &id, json!({}))["CiphertextBlob"].clone();
    let state = |bench: &Bench| ok(bench, "DescribeKey", json!({"KeyId": id}))["KeyMetadata"]["KeyState"].clone();
    ok(&bench, "DisableKey", json!({"KeyId": id}));
    assert_eq!(state(&bench), "Disabled");
    let told = format!("DisabledException: {arn} is disabled.");
    assert_eq!(fault(&bench, "Decrypt", json!({"CiphertextBlob": sealed})), told);
    assert_eq!(fault(&bench, "Encrypt", json!({"KeyId": id, "Plaintext": "YQ=="})), told);
    ok(&bench, "EnableKey", json!({"KeyId": id}));
    for days in [6, 31] {
        let asked = json!({"KeyId": id, "PendingWindowInDays": days});
        assert!(fault(&bench, "ScheduleKeyDeletion", asked).starts_with("ValidationException: "));
    }
    let scheduled = ok(&bench, "ScheduleKeyDeletion", json!({"KeyId": id, "PendingWindowInDays": 7}));
    assert_eq!((&scheduled["KeyId"], &scheduled["KeyState"]), (&json!(arn), &json!("PendingDeletion")));
    let told = format!("KMSInvalidStateException: {arn} is pending deletion.");
    for (operation, asked) in [
        ("Decrypt", json!({"CiphertextBlob": sealed})),
        ("EnableKey", json!({"KeyId": id})),
        ("ScheduleKeyDeletion", json!({"KeyId": id})),
        ("CreateAlias", json!({"AliasName": "alias/x", "TargetKeyId": id})),
        ("EnableKeyRotation", json!({"KeyId": id})),
    ] {
        assert_eq!(fault(&bench, operation, asked), told, "{operation}");
    }
    ok(&bench, "CancelKeyDeletion", json!({"KeyId": id}));
    assert_eq!(state(&bench), "Disabled");
    ok(&bench, "EnableKey", json!({"KeyId": id}));
    assert_eq!(ok(&bench, "Decrypt", json!({"CiphertextBlob": sealed}))["Plaintext"], "c2VjcmV0");
}

#[test]
fn names_that_mean_no_key_are_refused_in_awss_words() {
    let bench = Bench::new();
    let none = "01234567-89ab-4cde-8f01-23456789abcd";
    for (given, told) in [
        (none.to_owned(), format!("Key '{HERE}key/{none}' does not exist")),
        (format!("{HERE}key/{none}"), format!("Key '{HERE}key/{none}' does not exist")),
        ("alias/none".to_owned(), format!("Alias {HERE}alias/none is not found.")),
        ("nothing".to_owned(), "Invalid keyId 'nothing'".to_owned()),
        (format!("arn:aws:kms:eu-west-1:123456789012:key/{none}"), String::new()),
        (format!("arn:aws:kms:us-east-1:999999999999:key/{none}"), String::new()),
        (format!("{HERE}rule/{none}"), String::new()),
    ] {
        let answer = fault(&bench, "DescribeKey", json!({"KeyId": given}));
        assert!(answer.starts_with("NotFoundException: ") && answer.ends_with(&told), "{given}: {answer}");
    }
    let id = key(&bench);
    ok(&bench, "CreateAlias", json!({"AliasName": "alias/app", "TargetKeyId": id}));
    let told = "NotFoundException: Invalid keyId 'alias/app'";
    assert_eq!(fault(&bench, "DisableKey", json!({"KeyId": "alias/app"})), told);
}

#[test]
fn kinds_of_keys_that_are_not_built_are_refused() {
    let bench = Bench::new();
    for (asked, code) in [
        (json!({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}), "UnsupportedOperationException"),
        (json!({"MultiRegion": true}), "UnsupportedOperationException"),
        (json!({"Origin": "EXTERNAL"}), "UnsupportedOperationException"),
        (json!({"KeyUsage": "SIGN_VERIFY"}), "ValidationException"),
        (json!({"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"}), "ValidationException"),
        (json!({"Policy": "{}"}), "MalformedPolicyDocumentException"),
        (json!({"Tags": [{"TagKey": "aws:x", "TagValue": ""}]}), "TagException"),
    ] {
        let told = fault(&bench, "CreateKey", asked.clone());
        assert!(told.starts_with(&format!("{code}: ")), "{asked}: {told}");
    }
}

#[test]
fn a_rotated_key_opens_what_it_sealed_before() {
    let mut bench = Bench::new();
    let id = key(&bench);
    let status = |bench: &Bench| ok(bench, "GetKeyRotationStatus", json!({"KeyId": id}));
    assert_eq!(status(&bench)["KeyRotationEnabled"], false);
    ok(&bench, "EnableKeyRotation", json!({"KeyId": id, "RotationPeriodInDays": 90}));
    let due = status(&bench)["NextRotationDate"].as_f64().unwrap();
    assert!((due * 1000.0 - (bench.now + 90 * DAY_MILLIS) as f64).abs() < 1.0);
    let material = |bench: &Bench, sealed: &Value| {
        ok(bench, "Decrypt", json!({"CiphertextBlob": sealed["CiphertextBlob"]}))["KeyMaterialId"].clone()
    };
    let old = encrypt(&bench, &id, json!({}));
    bench.now += 90 * DAY_MILLIS;
    let new = encrypt(&bench, &id, json!({}));
    assert_ne!(material(&bench, &old), material(&bench, &new));
    assert_eq!(material(&bench, &new), material(&bench, &encrypt(&bench, &id, json!({}))));
    assert!(status(&bench)["NextRotationDate"].as_f64().unwrap() > due);
    ok(&bench, "DisableKeyRotation", json!({"KeyId": id}));
    assert_eq!(status(&bench)["KeyRotationEnabled"], false);
}

#[test]
fn a_key_is_rotated_on_demand_and_its_rotations_are_listed() {
    let mut bench = Bench::new();
    let id = key(&bench);
    let old = encrypt(&bench, &id, json!({}))["CiphertextBlob"].clone();
    let rotations = |bench: &Bench, more: Value| {
        let mut asked = json!({"KeyId": id});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ok(bench, "ListKeyRotations", asked)
    };
    assert_eq!(rotations(&bench, json!({})), json!({"Rotations": [], "Truncated": false}));
    ok(&bench, "EnableKeyRotation", json!({"KeyId": id, "RotationPeriodInDays": 90}));
    let due = ok(&bench, "GetKeyRotationStatus", json!({"KeyId": id}))["NextRotationDate"].clone();
    assert_eq!(ok(&bench, "RotateKeyOnDemand", json!({"KeyId": format!("{HERE}key/{id}")})), json!({"KeyId": id}));
    assert_eq!(ok(&bench, "GetKeyRotationStatus", json!({"KeyId": id}))["NextRotationDate"], due);
    assert_eq!(ok(&bench, "Decrypt", json!({"CiphertextBlob": old}))["Plaintext"], "c2VjcmV0");
    bench.now += 90 * DAY_MILLIS;
    let new = encrypt(&bench, &id, json!({}))["CiphertextBlob"].clone();
    let current = ok(&bench, "Decrypt", json!({"CiphertextBlob": new}))["KeyMaterialId"].clone();
    let told = |row: &Value| (row["RotationType"].clone(), row["KeyMaterialState"].clone());
    let all = rotations(&bench, json!({"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}));
    let rows: Vec<_> = all["Rotations"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(
        rows,
        [
            (Value::Null, json!("NON_CURRENT")),
            (json!("ON_DEMAND"), json!("NON_CURRENT")),
            (json!("AUTOMATIC"), json!("CURRENT"))
        ]
    );
    assert_eq!(all["Rotations"][2]["KeyMaterialId"], current);
    assert!(all["Rotations"][0].get("RotationDate").is_none());
    assert!(all["Rotations"][1]["RotationDate"].as_f64() < all["Rotations"][2]["RotationDate"].as_f64());
    let first = rotations(&bench, json!({"Limit": 1}));
    assert_eq!((&first["Rotations"][0], &first["Truncated"]), (&all["Rotations"][1], &json!(true)));
    let rest = rotations(&bench, json!({"Limit": 1, "Marker": first["NextMarker"]}));
    assert_eq!((&rest["Rotations"][0], &rest["Truncated"]), (&all["Rotations"][2], &json!(false)));
}

#[test]
fn a_key_is_rotated_on_demand_so_often_and_when_it_is_in_use() {
    let bench = Bench::new();
    let id = key(&bench);
    let asked = json!({"KeyId": id});
    ok(&bench, "DisableKey", asked.clone());
    assert!(fault(&bench, "RotateKeyOnDemand", asked.clone()).starts_with("DisabledException: "));
    ok(&bench, "EnableKey", asked.clone());
    for _ in 0..longshore_model::kms::MOST_ROTATIONS_ON_DEMAND {
        ok(&bench, "RotateKeyOnDemand", asked.clone());
    }
    assert!(fault(&bench, "RotateKeyOnDemand", asked.clone()).starts_with("LimitExceededException: "));
    ok(&bench, "ScheduleKeyDeletion", asked.clone());
    assert!(fault(&bench, "RotateKeyOnDemand", asked).starts_with("KMSInvalidStateException: "));
    let told = "NotFoundException: Invalid keyId 'alias/app'";
    assert_eq!(fault(&bench, "RotateKeyOnDemand", json!({"KeyId": "alias/app"})), told);
}

#[test]
fn data_keys_and_random_bytes_have_the_length_asked_for() {
    use base64::Engine as _;
    let bench = Bench::new();
    let id = key(&bench);
    let length =
        |value: &Value| base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap().len();
    for (asked, wanted) in [("KeySpec", json!("AES_256")), ("NumberOfBytes", json!(32))] {
        let made = ok(&bench, "GenerateDataKey", json!({"KeyId": id, asked: wanted}));
        assert_eq!(length(&made["Plaintext"]), 32);
        let opened = ok(&bench, "Decrypt", json!({"CiphertextBlob": made["CiphertextBlob"]}));
        assert_eq!(opened["Plaintext"], made["Plaintext"]);
    }
    let made = ok(&bench, "GenerateDataKeyWithoutPlaintext", json!({"KeyId": id, "KeySpec": "AES_128"}));
    assert_eq!(made.get("Plaintext"), None);
    assert_eq!(length(&ok(&bench, "GenerateRandom", json!({"NumberOfBytes": 1024}))["Plaintext"]), 1024);
    for asked in [json!({"KeyId": id}), json!({"KeyId": id, "KeySpec": "AES_256", "NumberOfBytes": 1})] {
        assert!(fault(&bench, "GenerateDataKey", asked).starts_with("ValidationException: "));
    }
    let dry = json!({"KeyId": id, "KeySpec": "AES_256", "DryRun": true});
    assert!(fault(&bench, "GenerateDataKey", dry).starts_with("DryRunOperationException: "));
}

#[test]
fn re_encrypting_moves_a_ciphertext_to_another_key() {
    let bench = Bench::new();
    let (from, to) = (key(&bench), key(&bench));
    let sealed = encrypt(&bench, &from, json!({"a": "1"}));
    let asked = json!({
        "CiphertextBlob": sealed["CiphertextBlob"], "SourceEncryptionContext": {"a": "1"},
        "DestinationKeyId": to, "DestinationEncryptionContext": {"b": "2"},
    });
    let moved = ok(&bench, "ReEncrypt", asked);
    assert_eq!(
        (&moved["SourceKeyId"], &moved["KeyId"]),
        (&json!(format!("{HERE}key/{from}")), &json!(format!("{HERE}key/{to}")))
    );
    let asked = json!({"CiphertextBlob": moved["CiphertextBlob"], "EncryptionContext": {"b": "2"}});
    assert_eq!(ok(&bench, "Decrypt", asked)["Plaintext"], "c2VjcmV0");
}

#[test]
fn aliases_are_made_moved_listed_and_deleted() {
    let bench = Bench::new();
    let (one, two) = (key(&bench), key(&bench));
    for name in ["alias/a", "alias/b", "alias/c"] {
        ok(&bench, "CreateAlias", json!({"AliasName": name, "TargetKeyId": one}));
    }
    let again = fault(&bench, "CreateAlias", json!({"AliasName": "alias/a", "TargetKeyId": two}));
    assert_eq!(again, format!("AlreadyExistsException: An alias with the name {HERE}alias/a already exists"));
    ok(&bench, "UpdateAlias", json!({"AliasName": "alias/b", "TargetKeyId": two}));
    let names = |answer: &Value| -> Vec<String> {
        answer["Aliases"].as_array().unwrap().iter().map(|row| row["AliasName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&ok(&bench, "ListAliases", json!({"KeyId": one}))), ["alias/a", "alias/c"]);
    let first = ok(&bench, "ListAliases", json!({"Limit": 2}));
    assert_eq!((names(&first), &first["Truncated"]), (vec!["alias/a".to_owned(), "alias/b".to_owned()], &json!(true)));
    let rest = ok(&bench, "ListAliases", json!({"Limit": 2, "Marker": first["NextMarker"]}));
    assert_eq!((names(&rest), rest["Truncated"].as_bool()), (vec!["alias/c".to_owned()], None.or(Some(false))));
    let forged = fault(&bench, "ListAliases", json!({"Marker": "x"}));
    assert!(forged.starts_with("InvalidMarkerException: "));
    ok(&bench, "DeleteAlias", json!({"AliasName": "alias/a"}));
    assert!(fault(&bench, "DeleteAlias", json!({"AliasName": "alias/a"})).starts_with("NotFoundException: "));
    for (name, code) in [
        ("a", "ValidationException"),
        ("alias/aws/x", "NotAuthorizedException"),
        ("alias/", "InvalidAliasNameException"),
    ] {
        let told = fault(&bench, "CreateAlias", json!({"AliasName": name, "TargetKeyId": one}));
        assert!(told.starts_with(code), "{name}: {told}");
    }
}

#[test]
fn a_key_policy_that_shuts_its_writer_out_is_refused() {
    let bench = Bench::new();
    let id = key(&bench);
    let usual = ok(&bench, "GetKeyPolicy", json!({"KeyId": id}))["Policy"].as_str().unwrap().to_owned();
    assert!(usual.contains("arn:aws:iam::123456789012:root"));
    let other = usual.replace("123456789012", "999999999999");
    let told = fault(&bench, "PutKeyPolicy", json!({"KeyId": id, "Policy": other}));
    assert_eq!(
        told,
        "MalformedPolicyDocumentException: The new key policy will not allow you to update the key policy in the future."
    );
    ok(&bench, "PutKeyPolicy", json!({"KeyId": id, "Policy": other, "BypassPolicyLockoutSafetyCheck": true}));
    assert_eq!(ok(&bench, "GetKeyPolicy", json!({"KeyId": id, "PolicyName": "default"}))["Policy"], other);
    assert_eq!(ok(&bench, "ListKeyPolicies", json!({"KeyId": id}))["PolicyNames"], json!(["default"]));
}

#[test]
fn grants_are_made_once_listed_and_revoked() {
    let bench = Bench::new();
    let id = key(&bench);
    let ann = "arn:aws:iam::123456789012:user/ann";
    let asked = json!({
        "KeyId": id, "GranteePrincipal": ann, "Operations": ["Decrypt", "DescribeKey"], "Name": "one",
        "Constraints": {"EncryptionContextEquals": {"app": "web"}},
    });
    let made = ok(&bench, "CreateGrant", asked.clone());
    assert_eq!(ok(&bench, "CreateGrant", asked), made);
    let listed = ok(&bench, "ListGrants", json!({"KeyId": id, "GranteePrincipal": ann}))["Grants"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((&listed[0]["GrantId"], &listed[0]["Name"]), (&made["GrantId"], &json!("one")));
    assert_eq!(listed[0]["Constraints"], json!({"EncryptionContextEquals": {"app": "web"}}));
    for (change, code) in [
        (json!({"GranteePrincipal": "ann"}), "InvalidArnException"),
        (json!({"GranteePrincipal": "arn:aws:s3:::bucket"}), "InvalidArnException"),
        (json!({"RetiringPrincipal": "ann"}), "InvalidArnException"),
        (json!({"Operations": ["Sign"]}), "ValidationException"),
        (json!({"Operations": []}), "ValidationException"),
        (json!({"Constraints": {"EncryptionContextSubset": {"a": "x".repeat(400)}}}), "ValidationException"),
        (json!({"KeyId": "alias/none"}), "NotFoundException"),
        (json!({"DryRun": true}), "DryRunOperationException"),
    ] {
        let mut asked = json!({"KeyId": id, "GranteePrincipal": ann, "Operations": ["Decrypt"]});
        asked.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let told = fault(&bench, "CreateGrant", asked);
        assert!(told.starts_with(&format!("{code}: ")), "{change}: {told}");
    }
    let revoke = json!({"KeyId": id, "GrantId": made["GrantId"]});
    ok(&bench, "RevokeGrant", revoke.clone());
    assert!(fault(&bench, "RevokeGrant", revoke).starts_with("NotFoundException: "));
    for _ in 0..longshore_model::kms::MOST_GRANTS {
        ok(&bench, "CreateGrant", json!({"KeyId": id, "GranteePrincipal": ann, "Operations": ["Encrypt"]}));
    }
    let more = json!({"KeyId": id, "GranteePrincipal": ann, "Operations": ["Encrypt"]});
    assert!(fault(&bench, "CreateGrant", more).starts_with("LimitExceededException: "));
}

#[test]
fn a_grant_is_retired_by_its_token_or_its_id_and_found_by_whom_it_names() {
    let bench = Bench::new();
    let (one, two) = (key(&bench), key(&bench));
    let user = |name: &str| format!("arn:aws:iam::123456789012:user/{name}");
    let grant = |key: &str, retiring: &str| {
        let asked = json!({
            "KeyId": key, "GranteePrincipal": user("ann"), "RetiringPrincipal": user(retiring),
            "Operations": ["Decrypt", "RetireGrant"],
        });
        ok(&bench, "CreateGrant", asked)
    };
    let made = [grant(&one, "eve"), grant(&two, "eve"), grant(&two, "bob"), grant(&one, "eve")];
    let listed = |more: Value| {
        let mut asked = json!({"RetiringPrincipal": user("eve")});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ok(&bench, "ListRetirableGrants", asked)
    };
    let ids = |page: &Value| -> Vec<String> {
        page["Grants"].as_array().unwrap().iter().map(|row| row["GrantId"].as_str().unwrap().to_owned()).collect()
    };
    let mut wanted: Vec<_> = [0, 1, 3].map(|at: usize| made[at]["GrantId"].as_str().unwrap().to_owned()).into();
    wanted.sort();
    let (mut seen, mut more) = (Vec::new(), json!({"Limit": 1}));
    loop {
        let page = listed(more.clone());
        seen.extend(ids(&page));
        match page["NextMarker"].as_str() {
            Some(marker) => more["Marker"] = json!(marker),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, wanted);
    assert_eq!(listed(json!({}))["Grants"][0]["Operations"], json!(["Decrypt", "RetireGrant"]));
    let dry = json!({"GrantToken": made[0]["GrantToken"], "DryRun": true});
    assert!(fault(&bench, "RetireGrant", dry).starts_with("DryRunOperationException: "));
    ok(&bench, "RetireGrant", json!({"GrantToken": made[0]["GrantToken"]}));
    ok(&bench, "RetireGrant", json!({"KeyId": format!("{HERE}key/{two}"), "GrantId": made[1]["GrantId"]}));
    assert_eq!(ids(&listed(json!({}))), [made[3]["GrantId"].as_str().unwrap()]);
    for (asked, code) in [
        (json!({"GrantToken": made[0]["GrantToken"]}), "NotFoundException"),
        (json!({"KeyId": two, "GrantId": made[3]["GrantId"]}), "NotFoundException"),
        (json!({"GrantToken": "x"}), "InvalidGrantTokenException"),
        (json!({"GrantId": made[3]["GrantId"]}), "ValidationException"),
        (json!({}), "ValidationException"),
    ] {
        let told = fault(&bench, "RetireGrant", asked.clone());
        assert!(told.starts_with(&format!("{code}: ")), "{asked}: {told}");
    }
    for (asked, code) in [
        (json!({}), "ValidationException"),
        (json!({"RetiringPrincipal": "eve"}), "InvalidArnException"),
        (json!({"RetiringServicePrincipal": "x.amazonaws.com"}), "UnsupportedOperationException"),
        (json!({"RetiringPrincipal": user("eve"), "Marker": "x"}), "InvalidMarkerException"),
    ] {
        let told = fault(&bench, "ListRetirableGrants", asked.clone());
        assert!(told.starts_with(&format!("{code}: ")), "{asked}: {told}");
    }
}

#[test]
fn an_aws_managed_key_comes_when_it_is_first_used_and_is_nobodys_to_change() {
    let mut bench = Bench::new();
    let use_it = |bench: &Bench| {
        let mut context = bench.context();
        let (place, settings, now) = (context.place.clone(), context.settings, context.now);
        let ring = Ring { place: &place, vault: &settings.vault, now };
        context.transact(|state, changes, mint| ring.service_key((state, changes, mint), "ssm", None)).unwrap()
    };
    assert!(fault(&bench, "DescribeKey", json!({"KeyId": "alias/aws/ssm"})).starts_with("NotFoundException: "));
    let key = use_it(&bench);
    assert_eq!(use_it(&bench).id, key.id);
    let shown = ok(&bench, "DescribeKey", json!({"KeyId": "alias/aws/ssm"}))["KeyMetadata"].clone();
    assert_eq!((&shown["KeyId"], &shown["KeyManager"]), (&json!(key.id), &json!("AWS")));
    for (operation, asked) in [
        ("DisableKey", json!({"KeyId": key.id})),
        ("RotateKeyOnDemand", json!({"KeyId": key.id})),
        ("ScheduleKeyDeletion", json!({"KeyId": key.id})),
        ("TagResource", json!({"KeyId": key.id, "Tags": []})),
        ("CreateAlias", json!({"AliasName": "alias/x", "TargetKeyId": key.id})),
    ] {
        assert!(fault(&bench, operation, asked).starts_with("AccessDeniedException: "), "{operation}");
    }
    bench.now += 366 * DAY_MILLIS;
    assert_eq!(use_it(&bench).materials.len(), 2);
}

#[test]
fn keys_and_tags_come_in_pages() {
    let bench = Bench::new();
    let ids: Vec<String> = (0..5).map(|_| key(&bench)).collect();
    let mut seen = Vec::new();
    let mut marker = Value::Null;
    loop {
        let asked = if marker.is_null() { json!({"Limit": 2}) } else { json!({"Limit": 2, "Marker": marker}) };
        let page = ok(&bench, "ListKeys", asked);
        let rows = page["Keys"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["KeyId"].as_str().unwrap().to_owned()));
        marker = page["NextMarker"].clone();
        if marker.is_null() {
            break;
        }
    }
    let mut wanted = ids.clone();
    wanted.sort();
    assert_eq!(seen, wanted);
    let tags: Vec<Value> = (0..50).map(|at| json!({"TagKey": format!("k{at:02}"), "TagValue": "v"})).collect();
    ok(&bench, "TagResource", json!({"KeyId": ids[0], "Tags": tags}));
    let more = json!({"KeyId": ids[0], "Tags": [{"TagKey": "one", "TagValue": ""}]});
    assert!(fault(&bench, "TagResource", more).starts_with("LimitExceededException: "));
    ok(&bench, "UntagResource", json!({"KeyId": ids[0], "TagKeys": ["k00"]}));
    let page = ok(&bench, "ListResourceTags", json!({"KeyId": ids[0], "Limit": 48}));
    assert_eq!((page["Tags"].as_array().unwrap().len(), page["Tags"][0]["TagKey"].as_str()), (48, Some("k01")));
    let asked = json!({"KeyId": ids[0], "Limit": 48, "Marker": page["NextMarker"]});
    assert_eq!(ok(&bench, "ListResourceTags", asked)["Tags"].as_array().unwrap().len(), 1);
}
