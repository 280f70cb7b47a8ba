use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::acm::{pem, private_key};

#[test]
fn a_certificate_that_signs_itself_is_taken_without_a_chain() {
    let bench = Bench::new();
    let own = Own::alone("a.test");
    let input = own.input_with("Tags", json!([{"Key": "team", "Value": "web"}]));
    let arn = made(&ok(&bench, "ImportCertificate", input));
    let got = ok(&bench, "GetCertificate", json!({"CertificateArn": arn}));
    assert_eq!(got["Certificate"].as_str().unwrap(), own.pem.replace("\r\n", "\n"));
    assert!(got.get("CertificateChain").is_none());
    let shown = described(&bench, &arn);
    assert_eq!((&shown["Type"], &shown["DomainName"]), (&json!("IMPORTED"), &json!("a.test")));
    assert!(shown.get("ImportedAt").is_some() && shown.get("IssuedAt").is_none());
    assert!(shown.get("DomainValidationOptions").is_none());
    assert_eq!(shown["Options"], json!({"CertificateTransparencyLoggingPreference": "DISABLED"}));
    assert_eq!(shown["RenewalEligibility"], "INELIGIBLE");
    let tags = ok(&bench, "ListTagsForCertificate", json!({"CertificateArn": arn}));
    assert_eq!(tags["Tags"], json!([{"Key": "team", "Value": "web"}]));
}

#[test]
fn a_chain_must_lead_from_one_to_the_next() {
    let bench = Bench::new();
    let root = Own::authority("root.test");
    let mut between = Own::params("between.test");
    between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let between = Own::below(&root, between);
    let leaf = Own::below(&between, Own::params("a.test"));
    let chain =
        |parts: &[&Own]| blob(&parts.iter().map(|one| one.pem.as_str()).collect::<Vec<_>>().join("some words\n"));
    let with = |parts: &[&Own]| leaf.input_with("CertificateChain", json!(chain(parts)));
    for good in [vec![&between], vec![&between, &root]] {
        let arn = made(&ok(&bench, "ImportCertificate", with(&good)));
        let got = ok(&bench, "GetCertificate", json!({"CertificateArn": arn}));
        assert_eq!(got["CertificateChain"].as_str().unwrap().matches("BEGIN CERTIFICATE").count(), good.len());
    }
    let stranger = Own::authority("between.test");
    let plain = Own::alone("root.test");
    for (bad, at) in [
        (vec![&root], 0),
        (vec![&root, &between], 0),
        (vec![&stranger], 0),
        (vec![&leaf], 0),
        (vec![&between, &between], 1),
        (vec![&between, &plain], 1),
        (vec![&between, &root, &stranger], 2),
    ] {
        let told = fault(&bench, "ImportCertificate", with(&bad));
        assert!(told.starts_with("ValidationException: Unable to validate certificate chain."), "{told}");
        assert!(told.ends_with(&format!("invalid certificate is: {at}")), "{told}");
    }
    let many: Vec<&Own> = std::iter::repeat_n(&root, 17).collect();
    refuses(
        &bench,
        "ImportCertificate",
        vec![
            (leaf.input(), "ValidationException: Provided certificate is not a valid self signed."),
            (with(&many), "ValidationException: The certificate chain has more than 16"),
            (
                leaf.input_with("CertificateChain", json!(blob("words"))),
                "ValidationException: The certificate chain is not",
            ),
        ],
    );
}

#[test]
fn what_does_not_read_or_fit_is_refused() {
    let bench = Bench::new();
    let (own, other) = (Own::alone("a.test"), Own::alone("a.test"));
    let month = std::time::Duration::from_secs(31 * 24 * 3600);
    let mut later = Own::params("a.test");
    later.not_before += month;
    later.not_after += month;
    let mut earlier = Own::params("a.test");
    earlier.not_before -= month;
    earlier.not_after -= month;
    let mut nameless = Own::params("a.test");
    nameless.distinguished_name = rcgen::DistinguishedName::new();
    nameless.subject_alt_names.clear();
    let signed = |params: CertificateParams| {
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Own { params, key, pem }.input()
    };
    let edwards = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let with = |member: &str, text: &str| own.input_with(member, json!(blob(text)));
    let twice = format!("{}{}", own.pem, own.pem);
    let locked = own.key.serialize_pem().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let broken = own.pem.replacen("MII", "MIA", 1);
    refuses(
        &bench,
        "ImportCertificate",
        vec![
            (with("Certificate", "words"), "ValidationException: The certificate is not in a valid PEM"),
            (with("Certificate", &own.pem[..100]), "ValidationException: The certificate is not in a valid PEM"),
            (with("Certificate", &twice), "ValidationException: The certificate field contains more than one"),
            (
                with("Certificate", &crate::acm::pem::certificate(b"no der")),
                "ValidationException: The certificate cannot",
            ),
            (with("Certificate", &broken), "ValidationException: The certificate"),
            (with("Certificate", &own.key.serialize_pem()), "ValidationException: The certificate is not in a valid"),
            (with("PrivateKey", "words"), "ValidationException: Private key must be in PEM format"),
            (with("PrivateKey", &locked), "ValidationException: Private key must be in PEM format"),
            (
                with("PrivateKey", &crate::acm::pem::block("PRIVATE KEY", b"no")),
                "ValidationException: The private key is not",
            ),
            (with("PrivateKey", &edwards.serialize_pem()), "ValidationException: The private key is not supported"),
            (with("PrivateKey", &other.key.serialize_pem()), "ValidationException: The private key does not match"),
            (signed(later), "ValidationException: The certificate is not valid yet."),
            (signed(earlier), "ValidationException: The certificate has expired."),
            (signed(nameless), "ValidationException: The certificate must have a domain name."),
            (own.input_with("Certificate", json!("")), "ValidationException: 1 validation error"),
            (own.input_with("PrivateKey", json!(blob(&"x".repeat(8193)))), "ValidationException: 1 validation error"),
            (own.input_with("CertificateArn", json!(format!("{HERE}certificate/none"))), "ResourceNotFoundException"),
            (own.input_with("CertificateArn", json!("none")), "ValidationException: "),
        ],
    );
    assert!(bench.store.read().certificates.is_empty());
}

#[test]
fn a_certificate_is_imported_again_under_its_arn() {
    let bench = Bench::new();
    let arn = made(&ok(&bench, "ImportCertificate", Own::alone("a.test").input()));
    ok(&bench, "AddTagsToCertificate", json!({"CertificateArn": arn, "Tags": [{"Key": "k"}]}));
    let new = Own::alone("b.test");
    let again = new.input_with("CertificateArn", json!(arn));
    assert_eq!(made(&ok(&bench, "ImportCertificate", again.clone())), arn);
    assert_eq!(described(&bench, &arn)["DomainName"], "b.test");
    let secret = private_key(&bench.context().settings.vault, &record(&bench, &arn)).unwrap();
    assert!(crate::acm::key::Key::kept(&secret).unwrap().pair().serialized_der() == new.key.serialized_der());
    assert_eq!(ok(&bench, "ListTagsForCertificate", json!({"CertificateArn": arn}))["Tags"][0]["Key"], "k");
    let mut tagged = again;
    tagged["Tags"] = json!([{"Key": "x"}]);
    let issued = request(&bench, "c.test");
    refuses(
        &bench,
        "ImportCertificate",
        vec![
            (tagged, "ValidationException: Tagging is not permitted on re-import."),
            (new.input_with("CertificateArn", json!(issued)), "ValidationException: Only an imported certificate"),
        ],
    );
    let mut usages = Own::params("a.test");
    usages.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().unwrap();
    let limited = Own { pem: usages.self_signed(&key).unwrap().pem(), params: usages, key };
    let arn = made(&ok(&bench, "ImportCertificate", limited.input()));
    let again = new.input_with("CertificateArn", json!(arn));
    refuses(&bench, "ImportCertificate", vec![(again, "ValidationException: Key usages")]);
}

#[test]
fn no_key_lies_in_clear_or_is_told() {
    let bench = Bench::new();
    let own = Own::alone("a.test");
    let arn = made(&ok(&bench, "ImportCertificate", own.input()));
    let issued = request(&bench, "b.test");
    let secret = private_key(&bench.context().settings.vault, &record(&bench, &issued)).unwrap();
    let pem = own.key.serialize_pem();
    let lines = |text: &str| text.lines().filter(|line| !line.starts_with('-')).map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<String> = lines(&pem).into_iter().chain(lines(&secret)).collect();
    let state = bench.store.read();
    let mut kept = state.records().map(|record| String::from_utf8(record.to_bytes()).unwrap()).collect::<String>();
    kept.push_str(&format!("{:?}", state.records().collect::<Vec<_>>()));
    assert!(lines.len() > 4 && lines.iter().all(|line| !kept.contains(line.as_str())));
    let other = bench.of(&crate::acm::SERVICE, "ImportCertificate", own.input_with("Certificate", json!(blob("x"))));
    assert!(lines.iter().all(|line| !format!("{other:?}").contains(line.as_str())));
    let vault = crate::Vault::new(&[9; 32]);
    assert!(private_key(&vault, &record(&bench, &arn)).is_none());
    let moved = Certificate { id: "other".to_owned(), ..record(&bench, &arn) };
    assert!(private_key(&bench.context().settings.vault, &moved).is_none());
}

/// A text in PEM whose bytes at these places are others.
fn bent(text: &str, label: &str, places: &[(prop::sample::Index, u8)]) -> String {
    let lines: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(lines).unwrap();
    let length = der.len();
    places.iter().for_each(|(at, byte)| der[at.index(length)] = *byte);
    pem::block(label, &der)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_is_taken_or_refused(
        body in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..3),
        key in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..3),
        chain in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..3),
        noise in prop::collection::vec(any::<u8>(), 1..200),
        noisy in 0_usize..4,
    ) {
        let bench = Bench::new();
        let authority = Own::authority("root.test");
        let leaf = Own::below(&authority, Own::params("a.test"));
        let intact = [&body, &key, &chain].iter().all(|places| places.is_empty());
        let mut input = json!({
            "Certificate": blob(&bent(&leaf.pem, "CERTIFICATE", &body)),
            "PrivateKey": blob(&bent(&leaf.key.serialize_pem(), "PRIVATE KEY", &key)),
            "CertificateChain": blob(&bent(&authority.pem, "CERTIFICATE", &chain)),
        });
        if let Some(member) = ["Certificate", "PrivateKey", "CertificateChain"].get(noisy) {
            input[member] = json!(STANDARD.encode(&noise));
        }
        match bench.of(&crate::acm::SERVICE, "ImportCertificate", input) {
            Ok(_) => prop_assert!(noisy == 3),
            Err(fault) => {
                prop_assert_eq!(fault.code, "ValidationException");
                prop_assert!(!intact || noisy < 3);
            }
        }
    }
}
