use serde_json::{Value, json};

use super::{World, each, forward, text};
use crate::acm;

/// The ARN of a new certificate.
fn certificate(world: &World, domain: &str) -> String {
    let input = json!({"DomainName": domain, "KeyAlgorithm": "EC_prime256v1"});
    text(&world.bench.of(&acm::SERVICE, "RequestCertificate", input).unwrap()["CertificateArn"])
}

fn shown(world: &World, arn: &str) -> Value {
    let mut row = world.bench.of(&acm::SERVICE, "DescribeCertificate", json!({"CertificateArn": arn})).unwrap();
    row["Certificate"].take()
}

fn secure(balancer: &str, group: &str, certificate: &str) -> Value {
    json!({"LoadBalancerArn": balancer, "Protocol": "HTTPS", "Port": 443, "DefaultActions": [forward(group)],
        "Certificates": [{"CertificateArn": certificate}]})
}

#[test]
fn an_https_listener_has_a_certificate_and_a_policy() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g", "HTTP"));
    let (one, other) = (certificate(&world, "a.test"), certificate(&world, "b.test"));
    let input = secure(&balancer, &group, &one);
    let made = world.ok("CreateListener", input.clone())["Listeners"][0].clone();
    assert_eq!(made["Certificates"], json!([{"CertificateArn": one}]));
    assert_eq!(
        (&made["SslPolicy"], &made["MutualAuthentication"]),
        (&json!("ELBSecurityPolicy-2016-08"), &json!({"Mode": "off"}))
    );
    assert_eq!(world.ok("CreateListener", input)["Listeners"][0], made);
    let twice = secure(&balancer, &group, &other);
    world.refuses("CreateListener", vec![(twice, "DuplicateListener")]);
    assert_eq!(shown(&world, &one)["InUseBy"], json!([balancer]));
    let arn = text(&made["ListenerArn"]);
    let policy = "ELBSecurityPolicy-TLS13-1-2-2021-06";
    let change = json!({"ListenerArn": arn, "SslPolicy": policy});
    let changed = world.ok("ModifyListener", change)["Listeners"][0].clone();
    assert_eq!((&changed["SslPolicy"], &changed["Certificates"]), (&json!(policy), &made["Certificates"]));
    let change = json!({"ListenerArn": arn, "Certificates": [{"CertificateArn": other}]});
    let changed = world.ok("ModifyListener", change)["Listeners"][0].clone();
    assert_eq!(
        (&changed["SslPolicy"], &changed["Certificates"]),
        (&json!(policy), &json!([{"CertificateArn": other}]))
    );
    assert_eq!((&shown(&world, &one)["InUseBy"], &shown(&world, &other)["InUseBy"]), (&json!([]), &json!([balancer])));
    assert_eq!(shown(&world, &other)["RenewalEligibility"], "ELIGIBLE");
    let gone = world.bench.of(&acm::SERVICE, "DeleteCertificate", json!({"CertificateArn": other})).unwrap_err();
    assert_eq!(gone.code, "ResourceInUseException");
    let plain = json!({"ListenerArn": arn, "Protocol": "HTTP"});
    let changed = world.ok("ModifyListener", plain)["Listeners"][0].clone();
    assert!(["Certificates", "SslPolicy", "MutualAuthentication"].iter().all(|key| changed.get(*key).is_none()));
    world.refuses(
        "ModifyListener",
        vec![(json!({"ListenerArn": arn, "Protocol": "HTTPS"}), "ValidationError: A certificate must be specified")],
    );
    world.bench.of(&acm::SERVICE, "DeleteCertificate", json!({"CertificateArn": other})).unwrap();
}

#[test]
fn what_a_listener_cannot_encrypt_by_is_refused() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g", "HTTP"));
    let (one, other) = (certificate(&world, "a.test"), certificate(&world, "b.test"));
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let key = rcgen::KeyPair::generate().unwrap();
    let encode = |text: String| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let pair = json!({"Certificate": encode(params.self_signed(&key).unwrap().pem()), "PrivateKey": encode(key.serialize_pem())});
    let short = text(&world.bench.of(&acm::SERVICE, "ImportCertificate", pair).unwrap()["CertificateArn"]);
    let with = |member: &str, value: Value| {
        let mut input = secure(&balancer, &group, &one);
        input[member] = value;
        input
    };
    let named = |arn: &str| with("Certificates", json!([{"CertificateArn": arn}]));
    let pair = json!([{"CertificateArn": one}, {"CertificateArn": other}]);
    let missing = "ValidationError: A certificate must be specified for HTTPS listeners";
    let told = format!("UnsupportedCertificate: The certificate '{short}' must have a fully-qualified domain name, ");
    world.refuses(
        "CreateListener",
        vec![
            (with("Certificates", json!([])), missing),
            (with("Certificates", json!([{"CertificateArn": ""}])), missing),
            (with("Certificates", pair), "ValidationError: Up to '1' certificates"),
            (named("arn:aws:acm:us-east-1:123456789012:certificate/none"), "CertificateNotFound: Certificate '"),
            (named(&one.replace("us-east-1", "us-west-2")), "CertificateNotFound"),
            (named(&short), &told),
            (named("arn:aws:iam::123456789012:server-certificate/x"), "UnsupportedOperationException: "),
            (with("SslPolicy", json!("x")), "SSLPolicyNotFound"),
            (with("AlpnPolicy", json!(["HTTP2Only"])), "ALPNPolicyNotFound"),
            (with("MutualAuthentication", json!({"Mode": "verify"})), "UnsupportedOperationException"),
            (with("Protocol", json!("HTTP")), "ValidationError: Certificates and security policies"),
        ],
    );
    assert!(world.bench.store.read().listeners.is_empty());
}

#[test]
fn a_tls_listener_has_an_alpn_policy() {
    let world = World::new();
    let (net, group, one) = (world.network("net"), world.group("t", "TCP"), certificate(&world, "a.test"));
    let with = |alpn: Value| {
        json!({"LoadBalancerArn": net, "Protocol": "TLS", "Port": 443, "DefaultActions": [forward(&group)],
            "Certificates": [{"CertificateArn": one}], "AlpnPolicy": alpn})
    };
    world.refuses(
        "CreateListener",
        vec![
            (with(json!(["x"])), "ALPNPolicyNotFound"),
            (with(json!(["None", "HTTP2Only"])), "ValidationError: Up to '1' ALPN policies"),
        ],
    );
    let made = world.ok("CreateListener", with(json!(["HTTP2Preferred"])))["Listeners"][0].clone();
    assert_eq!(
        (&made["AlpnPolicy"], &made["SslPolicy"]),
        (&json!(["HTTP2Preferred"]), &json!("ELBSecurityPolicy-2016-08"))
    );
    assert!(made.get("MutualAuthentication").is_none());
    let arn = text(&made["ListenerArn"]);
    let kept = world.ok("ModifyListener", json!({"ListenerArn": arn, "Port": 444}))["Listeners"][0].clone();
    assert_eq!((&kept["AlpnPolicy"], &kept["Port"]), (&json!(["HTTP2Preferred"]), &json!(444)));
    let plain = world.ok("ModifyListener", json!({"ListenerArn": arn, "Protocol": "TCP"}))["Listeners"][0].clone();
    assert!(plain.get("AlpnPolicy").is_none() && plain.get("Certificates").is_none());
}

#[test]
fn a_listener_has_more_certificates_for_other_names() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g", "HTTP"));
    let (one, other) = (certificate(&world, "a.test"), certificate(&world, "b.test"));
    let arn = text(&world.ok("CreateListener", secure(&balancer, &group, &one))["Listeners"][0]["ListenerArn"]);
    let with = |certificate: &str| json!({"ListenerArn": arn, "Certificates": [{"CertificateArn": certificate}]});
    let row = |certificate: &str, default: bool| json!({"CertificateArn": certificate, "IsDefault": default});
    let listed = || world.ok("DescribeListenerCertificates", json!({"ListenerArn": arn}))["Certificates"].clone();
    assert_eq!(listed(), json!([row(&one, true)]));
    for _ in 0..2 {
        let added = world.ok("AddListenerCertificates", with(&other));
        assert_eq!(added["Certificates"], json!([row(&other, false)]));
    }
    world.ok("AddListenerCertificates", with(&one));
    assert_eq!(listed(), json!([row(&one, true), row(&other, false), row(&one, false)]));
    assert_eq!(shown(&world, &other)["InUseBy"], json!([balancer]));
    let first = world.ok("DescribeListenerCertificates", json!({"ListenerArn": arn, "PageSize": 2}));
    let next = json!({"ListenerArn": arn, "PageSize": 2, "Marker": first["NextMarker"]});
    assert_eq!(world.ok("DescribeListenerCertificates", next)["Certificates"], json!([row(&one, false)]));
    world.ok("RemoveListenerCertificates", with(&one));
    world.refuses("RemoveListenerCertificates", vec![(with(&one), "OperationNotPermitted")]);
    // A new default one leaves the others.
    let third = certificate(&world, "c.test");
    world.ok("ModifyListener", with(&third));
    assert_eq!(listed(), json!([row(&third, true), row(&other, false)]));
    world.ok("RemoveListenerCertificates", with(&other));
    world.ok("RemoveListenerCertificates", with(&other));
    assert_eq!(listed(), json!([row(&third, true)]));
    let plain = world.listener(&balancer, ("HTTP", 80), &group);
    let both = json!([{"CertificateArn": one}, {"CertificateArn": other}]);
    world.refuses(
        "AddListenerCertificates",
        vec![
            (json!({"ListenerArn": plain, "Certificates": [{"CertificateArn": one}]}), "ValidationError: Certificates"),
            (json!({"ListenerArn": arn, "Certificates": both}), "ValidationError: Up to '1' certificates"),
            (json!({"ListenerArn": arn, "Certificates": []}), "ValidationError: A certificate must be specified"),
            (json!({"ListenerArn": arn, "Certificates": [row(&one, true)]}), "ValidationError: IsDefault"),
            (with("arn:aws:acm:us-east-1:123456789012:certificate/none"), "CertificateNotFound"),
            (json!({"ListenerArn": format!("{arn}0"), "Certificates": [{"CertificateArn": one}]}), "ListenerNotFound"),
        ],
    );
}

#[test]
fn a_balancer_has_twenty_five_certificates_besides_the_default_ones() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g", "HTTP"));
    let all: Vec<String> = (0..27).map(|at| certificate(&world, &format!("a{at}.test"))).collect();
    let arn = text(&world.ok("CreateListener", secure(&balancer, &group, &all[0]))["Listeners"][0]["ListenerArn"]);
    let mut second = secure(&balancer, &group, &all[0]);
    second["Port"] = json!(444);
    let second = text(&world.ok("CreateListener", second)["Listeners"][0]["ListenerArn"]);
    let with = |listener: &str, certificate: &str| json!({"ListenerArn": listener, "Certificates": [{"CertificateArn": certificate}]});
    all[1..26].iter().for_each(|one| drop(world.ok("AddListenerCertificates", with(&arn, one))));
    world.refuses("AddListenerCertificates", vec![(with(&second, &all[26]), "TooManyCertificates")]);
    // One that the balancer has already is none more.
    world.ok("AddListenerCertificates", with(&second, &all[1]));
    let listed = world.ok("DescribeListenerCertificates", json!({"ListenerArn": arn}))["Certificates"].clone();
    assert_eq!(each(&listed, "CertificateArn"), all[..26]);
    world.ok("DeleteLoadBalancer", json!({"LoadBalancerArn": balancer}));
    assert_eq!(shown(&world, &all[1])["InUseBy"], json!([]));
}
