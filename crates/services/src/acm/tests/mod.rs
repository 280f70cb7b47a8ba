//! The operations of ACM: JSON in, JSON or a fault out.

mod import;
mod life;
mod request;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_model::certificate::{Certificate, key_of};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use crate::logs::testing::{Bench, NOW};

const HERE: &str = "arn:aws:acm:us-east-1:123456789012:";
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

fn ok(bench: &Bench, operation: &str, input: Value) -> Value {
    bench.of(&super::SERVICE, operation, input).unwrap_or_else(|fault| panic!("{operation}: {fault}"))
}

fn fault(bench: &Bench, operation: &str, input: Value) -> String {
    bench.of(&super::SERVICE, operation, input).map(|answer| answer.to_string()).unwrap_err().to_string()
}

/// Each input must fail with what begins so.
fn refuses(bench: &Bench, operation: &str, rows: Vec<(Value, &str)>) {
    for (input, wanted) in rows {
        let told = fault(bench, operation, input.clone());
        assert!(told.starts_with(wanted), "{operation} {input}: {told}");
    }
}

fn made(answer: &Value) -> String {
    answer["CertificateArn"].as_str().unwrap().to_owned()
}

fn request(bench: &Bench, domain: &str) -> String {
    made(&ok(bench, "RequestCertificate", json!({"DomainName": domain, "KeyAlgorithm": "EC_prime256v1"})))
}

fn described(bench: &Bench, arn: &str) -> Value {
    ok(bench, "DescribeCertificate", json!({"CertificateArn": arn}))["Certificate"].clone()
}

fn record(bench: &Bench, arn: &str) -> Certificate {
    Certificate::clone(bench.store.read().certificates.get(&key_of(arn).unwrap()).unwrap())
}

/// A certificate somebody made, with its key.
struct Own {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Own {
    /// Good from a month before [`NOW`] to a month behind it.
    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let now = Duration::from_millis(NOW.unsigned_abs());
        params.not_before = date_time_ymd(1970, 1, 1) + now - Duration::from_secs(30 * 24 * 3600);
        params.not_after = date_time_ymd(1970, 1, 1) + now + Duration::from_secs(30 * 24 * 3600);
        params
    }

    /// Signed by itself.
    fn alone(name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    fn authority(name: &str) -> Self {
        let (mut params, key) = (Self::params(name), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// Issued by another.
    fn below(issuer: &Self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)).unwrap().pem();
        Self { params, key, pem }
    }

    fn input(&self) -> Value {
        json!({"Certificate": blob(&self.pem), "PrivateKey": blob(&self.key.serialize_pem())})
    }

    fn input_with(&self, member: &str, value: Value) -> Value {
        let mut input = self.input();
        input[member] = value;
        input
    }
}

fn blob(text: &str) -> String {
    STANDARD.encode(text)
}
