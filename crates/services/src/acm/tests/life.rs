use longshore_api::acm::KeyAlgorithm;
use longshore_api::elasticloadbalancing as elb;
use longshore_model::balancer::{Listener, Map};
use longshore_model::{Mint, Place};
use longshore_wire::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::acm::{due, renew, tags_of};

/// The domains that are listed.
fn listed(bench: &Bench, input: Value) -> Vec<String> {
    let list = ok(bench, "ListCertificates", input);
    let rows = list["CertificateSummaryList"].as_array().unwrap().iter();
    let mut domains: Vec<String> = rows.map(|row| row["DomainName"].as_str().unwrap().to_owned()).collect();
    domains.sort();
    domains
}

/// A listener that has the certificate, and only this.
fn used(bench: &Bench, arn: &str) {
    all_used(bench, &[arn]);
}

/// A listener that has these certificates.
fn all_used(bench: &Bench, arns: &[&str]) {
    let listener = Listener {
        account: bench.account.to_string(),
        balancer: "web".to_owned(),
        id: "0123456789abcdef".to_owned(),
        port: 443,
        protocol: elb::ProtocolEnum::Https,
        certificates: arns.iter().map(|arn| (*arn).to_owned()).collect(),
        ssl_policy: Some("ELBSecurityPolicy-2016-08".to_owned()),
        alpn_policy: None,
        actions: Vec::new(),
        default_rule: "d".to_owned(),
        default_rule_tags: Map::new(),
        rules: Vec::new(),
        attributes: Map::new(),
        tags: Map::new(),
    };
    bench.apply(vec![listener.into()]);
}

#[test]
fn lists_are_of_what_is_asked_for() {
    let mut bench = Bench::new();
    let rsa = made(&ok(&bench, "RequestCertificate", json!({"DomainName": "rsa.test"})));
    bench.now += 1000;
    request(&bench, "ec.test");
    bench.now += 1000;
    ok(&bench, "ImportCertificate", Own::alone("own.test").input());
    let all = json!(["RSA_2048", "EC_prime256v1"]);
    let includes = |more: Value| {
        let mut filters = json!({"keyTypes": all});
        filters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"Includes": filters})
    };
    assert_eq!(listed(&bench, json!({})), ["rsa.test"]);
    assert_eq!(listed(&bench, includes(json!({}))), ["ec.test", "own.test", "rsa.test"]);
    let rows: Vec<(Value, &[&str])> = vec![
        (includes(json!({"keyUsage": ["DIGITAL_SIGNATURE"]})), &["ec.test", "rsa.test"]),
        (includes(json!({"keyUsage": ["CRL_SIGNING"]})), &[]),
        (includes(json!({"extendedKeyUsage": ["TLS_WEB_SERVER_AUTHENTICATION"]})), &["ec.test", "rsa.test"]),
        (includes(json!({"extendedKeyUsage": ["NONE"]})), &["own.test"]),
        (includes(json!({"exportOption": "ENABLED"})), &[]),
        (includes(json!({"managedBy": "CLOUDFRONT"})), &[]),
        (json!({"CertificateStatuses": ["ISSUED"]}), &["rsa.test"]),
        (json!({"CertificateStatuses": ["EXPIRED", "FAILED"]}), &[]),
        (json!({"CertificateKeyPairOrigins": ["CUSTOMER_PROVIDED"], "Includes": {"keyTypes": all}}), &["own.test"]),
    ];
    for (input, wanted) in rows {
        assert_eq!(listed(&bench, input.clone()), wanted, "{input}");
    }
    for (order, wanted) in
        [("ASCENDING", ["rsa.test", "ec.test", "own.test"]), ("DESCENDING", ["own.test", "ec.test", "rsa.test"])]
    {
        let (mut told, mut token) = (Vec::new(), json!(null));
        loop {
            let input = json!({"SortBy": "CREATED_AT", "SortOrder": order, "MaxItems": 1, "NextToken": token,
                "Includes": {"keyTypes": all}});
            let page = ok(&bench, "ListCertificates", input);
            told.push(page["CertificateSummaryList"][0]["DomainName"].as_str().unwrap().to_owned());
            token = page["NextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        assert_eq!(told, wanted);
    }
    refuses(
        &bench,
        "ListCertificates",
        vec![
            (json!({"SortBy": "CREATED_AT"}), "ValidationException: "),
            (json!({"NextToken": "abc"}), "ValidationException: The NextToken is not valid."),
            (json!({"MaxItems": 0}), "ValidationException: 1 validation error"),
        ],
    );
    bench.now += 400 * DAY_MILLIS;
    assert_eq!(listed(&bench, json!({"CertificateStatuses": ["EXPIRED"]})), ["rsa.test"]);
    assert_eq!(described(&bench, &rsa)["Status"], "EXPIRED");
}

#[test]
fn a_certificate_in_use_is_not_deleted() {
    let bench = Bench::new();
    let (one, other) = (request(&bench, "a.test"), request(&bench, "b.test"));
    used(&bench, &one);
    let delete = json!({"CertificateArn": one});
    let told = format!("ResourceInUseException: Certificate {one} in account 123456789012 is in use.");
    assert_eq!(fault(&bench, "DeleteCertificate", delete.clone()), told);
    let listed = ok(&bench, "ListCertificates", json!({"Includes": {"keyTypes": ["EC_prime256v1"]}}));
    let rows = listed["CertificateSummaryList"].as_array().unwrap();
    for row in rows {
        assert_eq!(row["InUse"], row["CertificateArn"] == json!(one));
    }
    ok(&bench, "DeleteCertificate", json!({"CertificateArn": other}));
    used(&bench, "arn:aws:acm:us-east-1:123456789012:certificate/none");
    ok(&bench, "DeleteCertificate", delete.clone());
    for operation in ["DeleteCertificate", "DescribeCertificate", "GetCertificate", "ListTagsForCertificate"] {
        let told = fault(&bench, operation, delete.clone());
        assert_eq!(told, format!("ResourceNotFoundException: Could not find certificate {one}."));
    }
}

#[test]
fn what_is_not_here_is_not_found() {
    let bench = Bench::new();
    let arn = request(&bench, "a.test");
    for (from, to) in [("us-east-1", "eu-west-1"), ("123456789012", "210987654321"), ("certificate/", "certificate/x")]
    {
        let told = fault(&bench, "DescribeCertificate", json!({"CertificateArn": arn.replace(from, to)}));
        assert!(told.starts_with("ResourceNotFoundException"), "{told}");
    }
    for bad in ["arn:aws:iam::123456789012:server-certificate/x", "certificate", ""] {
        let told = fault(&bench, "DescribeCertificate", json!({"CertificateArn": bad}));
        assert!(told.starts_with("ValidationException"), "{told}");
    }
}

#[test]
fn tags_come_and_go() {
    let bench = Bench::new();
    let arn = request(&bench, "a.test");
    let with = |tags: Value| json!({"CertificateArn": arn, "Tags": tags});
    ok(&bench, "AddTagsToCertificate", with(json!([{"Key": "a", "Value": "1"}, {"Key": "b"}])));
    ok(&bench, "AddTagsToCertificate", with(json!([{"Key": "a", "Value": "2"}])));
    let place = Place::new("us-east-1", &bench.account);
    let told = |bench: &Bench| tags_of(&bench.store.read(), &place, &arn);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(told(&bench), [pair("a", "2"), pair("b", "")]);
    ok(&bench, "RemoveTagsFromCertificate", with(json!([{"Key": "a", "Value": "1"}, {"Key": "b"}, {"Key": "c"}])));
    assert_eq!(told(&bench), [pair("a", "2")]);
    let many: Vec<Value> = (0..50).map(|at| json!({"Key": format!("k{at}")})).collect();
    refuses(
        &bench,
        "AddTagsToCertificate",
        vec![(with(json!(many)), "TooManyTagsException"), (with(json!([{"Key": "AWS:x"}])), "InvalidTagException")],
    );
    assert_eq!(told(&bench), [pair("a", "2")]);
}

/// Tries all that is due; whether each was issued.
fn turn(bench: &Bench) -> Vec<bool> {
    let (vault, now) = (bench.context().settings.vault.clone(), Timestamp::from_millis(bench.now));
    let all = due(&bench.store.read(), now);
    all.iter().map(|key| renew(&bench.store, (&vault, now), &mut Mint::new(1), key).is_ok()).collect()
}

#[test]
fn one_that_cannot_be_renewed_keeps_no_other_from_it() {
    let mut bench = Bench::new();
    let mut arns = ["a.test", "b.test", "c.test"].map(|domain| request(&bench, domain));
    all_used(&bench, &arns.each_ref().map(String::as_str));
    // The first of them, in the order that they are tried in, has a key that nobody makes.
    arns.sort();
    let mut broken = record(&bench, &arns[0]);
    broken.facts.key_algorithm = KeyAlgorithm::Rsa1024;
    bench.apply(vec![broken.into()]);
    bench.now += 340 * DAY_MILLIS;
    let now = Timestamp::from_millis(bench.now);
    assert_eq!(turn(&bench), [false, true, true]);
    assert_eq!(arns.each_ref().map(|arn| record(&bench, arn).renewed_at), [None, Some(now), Some(now)]);
    assert_eq!(turn(&bench), [false]);
}

#[test]
fn what_is_used_is_renewed_sixty_days_before_its_end() {
    let mut bench = Bench::new();
    let (one, other) = (request(&bench, "a.test"), request(&bench, "b.test"));
    used(&bench, &one);
    bench.now += 330 * DAY_MILLIS;
    assert!(turn(&bench).is_empty());
    bench.now += 10 * DAY_MILLIS;
    let (old, left) = (record(&bench, &one), record(&bench, &other));
    assert_eq!((turn(&bench), turn(&bench)), (vec![true], vec![]));
    let new = record(&bench, &one);
    assert_eq!((&new.facts.names, new.arn(&Place::new("us-east-1", &bench.account))), (&old.facts.names, one.clone()));
    assert!(new.facts.serial != old.facts.serial && new.chain == old.chain);
    let vault = bench.context().settings.vault.clone();
    let key = |row| crate::acm::private_key(&vault, row).unwrap();
    assert!(key(&new) != key(&old));
    assert_eq!(new.facts.not_after.millis() - old.facts.not_after.millis(), 340 * DAY_MILLIS);
    assert_eq!(record(&bench, &other), left);
    let shown = described(&bench, &one);
    assert_eq!(shown["RenewalSummary"]["RenewalStatus"], "SUCCESS");
    assert!(described(&bench, &other).get("RenewalSummary").is_none());
}
