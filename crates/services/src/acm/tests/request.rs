use longshore_api::acm as api;
use longshore_model::Change;
use serde_json::{Value, json};

use super::*;
use crate::acm::key::Key;
use crate::acm::{pem, private_key, read, signature};

/// That the certificate is what the authority issued, and its key the one that is kept.
fn check(bench: &Bench, arn: &str) {
    let got = ok(bench, "GetCertificate", json!({"CertificateArn": arn}));
    let ders = ["Certificate", "CertificateChain"]
        .map(|member| pem::certificates(got[member].as_str().unwrap().as_bytes()).unwrap());
    let [leaf, authority] = ders.each_ref().map(|ders| read::parse(&ders[0]).unwrap());
    assert!(signature::is_issued_by(&leaf, &authority) && signature::is_self_signed(&authority));
    assert!(!leaf.is_ca() && authority.is_ca());
    let row = record(bench, arn);
    let secret = private_key(&bench.context().settings.vault, &row).unwrap();
    assert!(Key::kept(&secret).unwrap().fits(&leaf.public_key().subject_public_key.data));
    assert_eq!(row.full_chain().matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn a_certificate_is_issued_at_once() {
    let bench = Bench::new();
    let names = ["*.web.example.com", "example.com", "web.example.com"];
    let input = json!({"DomainName": "web.example.com", "SubjectAlternativeNames": names, "ValidationMethod": "DNS",
        "KeyAlgorithm": "EC_prime256v1", "Tags": [{"Key": "team", "Value": "web"}]});
    let arn = made(&ok(&bench, "RequestCertificate", input));
    assert!(arn.starts_with(&format!("{HERE}certificate/")), "{arn}");
    check(&bench, &arn);
    let shown = described(&bench, &arn);
    let wanted = json!(["web.example.com", "*.web.example.com", "example.com"]);
    assert_eq!((&shown["DomainName"], &shown["SubjectAlternativeNames"]), (&json!("web.example.com"), &wanted));
    assert_eq!((&shown["Status"], &shown["Type"]), (&json!("ISSUED"), &json!("AMAZON_ISSUED")));
    assert_eq!((&shown["Subject"], &shown["Issuer"]), (&json!("CN=web.example.com"), &json!("Longshore")));
    assert_eq!(
        (&shown["KeyAlgorithm"], &shown["SignatureAlgorithm"]),
        (&json!("EC_prime256v1"), &json!("SHA256WITHECDSA"))
    );
    assert_eq!((&shown["InUseBy"], &shown["RenewalEligibility"]), (&json!([]), &json!("INELIGIBLE")));
    assert_eq!(shown["KeyUsages"], json!([{"Name": "DIGITAL_SIGNATURE"}, {"Name": "KEY_ENCIPHERMENT"}]));
    assert_eq!(
        shown["ExtendedKeyUsages"][0],
        json!({"Name": "TLS_WEB_SERVER_AUTHENTICATION", "OID": "1.3.6.1.5.5.7.3.1"})
    );
    let days = (shown["NotAfter"].as_f64().unwrap() - shown["NotBefore"].as_f64().unwrap()) / 86_400.0;
    assert!((394.9..395.0).contains(&days), "{days}");
    assert_eq!(shown["Serial"].as_str().unwrap().len(), 16 * 3 - 1);
    let validations = shown["DomainValidationOptions"].as_array().unwrap();
    assert!(validations.iter().all(|one| one["ValidationStatus"] == "SUCCESS"));
    let names: Vec<_> = validations.iter().map(|one| one["ResourceRecord"]["Name"].as_str().unwrap()).collect();
    assert!(names[0] == names[1] && names[0].ends_with(".web.example.com.") && names[2].ends_with(".example.com."));
    let tags = ok(&bench, "ListTagsForCertificate", json!({"CertificateArn": arn}));
    assert_eq!(tags["Tags"], json!([{"Key": "team", "Value": "web"}]));
}

#[test]
fn keys_are_of_the_algorithm_that_is_asked_for() {
    let bench = Bench::new();
    for (asked, wanted) in [(json!(null), "RSA_2048"), (json!("EC_secp384r1"), "EC_secp384r1")] {
        let arn = made(&ok(&bench, "RequestCertificate", json!({"DomainName": "a.test", "KeyAlgorithm": asked})));
        assert_eq!(described(&bench, &arn)["KeyAlgorithm"], wanted);
        check(&bench, &arn);
    }
    for other in ["RSA_1024", "RSA_3072", "RSA_4096", "EC_secp521r1"] {
        let told = fault(&bench, "RequestCertificate", json!({"DomainName": "a.test", "KeyAlgorithm": other}));
        assert!(told.starts_with(&format!("ValidationException: The key algorithm {other} is not")), "{told}");
    }
}

#[test]
fn all_certificates_have_one_authority() {
    let bench = Bench::new();
    let chain = |arn: &str| ok(&bench, "GetCertificate", json!({"CertificateArn": arn}))["CertificateChain"].clone();
    let (one, other) = (request(&bench, "a.test"), request(&bench, "b.test"));
    assert_eq!(chain(&one), chain(&other));
    assert_eq!(bench.store.read().certificate_authorities.len(), 1);
}

#[test]
fn a_token_stands_for_one_certificate_for_an_hour() {
    let mut bench = Bench::new();
    let asked = |domain: &str, token: &str| json!({"DomainName": domain, "IdempotencyToken": token, "KeyAlgorithm": "EC_prime256v1"});
    let first = made(&ok(&bench, "RequestCertificate", asked("a.test", "t")));
    assert_eq!(made(&ok(&bench, "RequestCertificate", asked("a.test", "t"))), first);
    assert_ne!(made(&ok(&bench, "RequestCertificate", asked("a.test", "u"))), first);
    assert_ne!(made(&ok(&bench, "RequestCertificate", asked("b.test", "t"))), first);
    bench.now += 60 * 60 * 1000 + 1;
    assert_ne!(made(&ok(&bench, "RequestCertificate", asked("a.test", "t"))), first);
}

#[test]
fn what_cannot_be_requested_is_refused() {
    let bench = Bench::new();
    let with = |more: Value| {
        let mut input = json!({"DomainName": "web.example.com"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let options = |name: &str, domain: &str| {
        with(json!({"DomainValidationOptions": [{"DomainName": name, "ValidationDomain": domain}]}))
    };
    let tags = |tags: Value| with(json!({"Tags": tags}));
    let long = format!("{}.test", ["a"; 40].join("."));
    let authority = "arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/x";
    refuses(
        &bench,
        "RequestCertificate",
        vec![
            (json!({}), "ValidationException: "),
            (json!({"DomainName": "localhost"}), "ValidationException: "),
            (json!({"DomainName": "a b.test"}), "ValidationException: "),
            (json!({"DomainName": "-a.test"}), "ValidationException: "),
            (json!({"DomainName": "a.*.test"}), "ValidationException: "),
            (json!({"DomainName": "é.test"}), "ValidationException: "),
            (json!({"DomainName": long}), "InvalidParameterException: The first domain name"),
            (with(json!({"SubjectAlternativeNames": ["127.0.0.1:80"]})), "ValidationException: "),
            (
                with(json!({"SubjectAlternativeNames": ["a", "b"]})),
                "ValidationException: 2 validation errors detected: ",
            ),
            (with(json!({"ValidationMethod": "HTTP"})), "InvalidParameterException: HTTP validation"),
            (with(json!({"ManagedBy": "CLOUDFRONT"})), "UnsupportedOperationException"),
            (with(json!({"CertificateAuthorityArn": authority})), "UnsupportedOperationException"),
            (with(json!({"Options": {"Export": "ENABLED"}})), "UnsupportedOperationException"),
            (with(json!({"IdempotencyToken": "a-b"})), "ValidationException: 1 validation error"),
            (options("web.example.com", "example.org"), "InvalidDomainValidationOptionsException"),
            (options("web.example.com", "xample.com"), "InvalidDomainValidationOptionsException"),
            (options("api.example.com", "example.com"), "InvalidDomainValidationOptionsException"),
            (tags(json!([{"Key": "aws:x"}])), "InvalidTagException: "),
            (tags(json!([{"Key": "x"}, {"Key": "x"}])), "InvalidParameterException: "),
        ],
    );
    assert!(bench.store.read().certificates.is_empty());
    let good = options("web.example.com", "example.com");
    ok(&bench, "RequestCertificate", good);
}

#[test]
fn an_account_has_so_many_certificates_and_no_more() {
    let bench = Bench::new();
    let first = record(&bench, &request(&bench, "a.test"));
    let copies = (1..longshore_model::certificate::MOST_CERTIFICATES)
        .map(|at| Change::from(Certificate { id: format!("copy-{at}"), ..first.clone() }));
    let copies: Vec<Change> = copies.collect();
    copies.chunks(longshore_model::MAX_CHANGES).for_each(|some| bench.apply(some.to_vec()));
    let more = json!({"DomainName": "b.test", "KeyAlgorithm": api::KeyAlgorithm::EcPrime256v1.as_str()});
    refuses(&bench, "RequestCertificate", vec![(more, "LimitExceededException: ")]);
    refuses(&bench, "ImportCertificate", vec![(Own::alone("b.test").input(), "LimitExceededException: ")]);
}
