//! Security policies: the protocols and ciphers that balancers negotiate, as AWS names them.
//!
//! Policies with `PQ` in their names have the ciphers of those without, and a key exchange besides that is thought to outlast
//! quantum computers. Left out: the policies of FIPS, because no module here is validated, and those of RFC 9151.

use longshore_api::elasticloadbalancing as api;
use longshore_wire::Fault;

use super::{fault, page};
use crate::Context;

/// Sets of ciphers.
const TLS13: &[&str] = &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const FORWARD_GCM: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];
const FORWARD_CBC: &[&str] =
    &["ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384"];
const FORWARD_SHA: &[&str] =
    &["ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES256-SHA"];
const RSA: &[&str] = &["AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"];
const RSA_SHA: &[&str] = &["AES128-SHA", "AES256-SHA"];

const ALL_OLD: &[&[&str]] = &[FORWARD_GCM, FORWARD_CBC, FORWARD_SHA, RSA, RSA_SHA];
const ALL: &[&[&str]] = &[TLS13, FORWARD_GCM, FORWARD_CBC, FORWARD_SHA, RSA, RSA_SHA];
const FORWARD: &[&[&str]] = &[FORWARD_GCM, FORWARD_CBC, FORWARD_SHA];

pub struct Policy {
    pub name: &'static str,
    protocols: &'static [&'static str],
    ciphers: &'static [&'static [&'static str]],
}

const fn new(
    name: &'static str,
    protocols: &'static [&'static str],
    ciphers: &'static [&'static [&'static str]],
) -> Policy {
    Policy { name, protocols, ciphers }
}

const SINCE_10: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2"];
const SINCE_11: &[&str] = &["TLSv1.1", "TLSv1.2"];
const ONLY_12: &[&str] = &["TLSv1.2"];
const UP_TO_13: &[&str] = &["TLSv1.2", "TLSv1.3"];

/// What a listener has that says nothing.
pub const USUAL: &str = "ELBSecurityPolicy-2016-08";

/// In the order of AWS's list.
static POLICIES: &[Policy] = &[
    new(USUAL, SINCE_10, ALL_OLD),
    new("ELBSecurityPolicy-TLS13-1-2-2021-06", UP_TO_13, &[TLS13, FORWARD_GCM, FORWARD_CBC]),
    new("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", UP_TO_13, &[TLS13, FORWARD_GCM]),
    new("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", UP_TO_13, &[TLS13, FORWARD_GCM, FORWARD_CBC, RSA]),
    new("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", UP_TO_13, ALL),
    new("ELBSecurityPolicy-TLS13-1-1-2021-06", &["TLSv1.1", "TLSv1.2", "TLSv1.3"], ALL),
    new("ELBSecurityPolicy-TLS13-1-0-2021-06", &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"], ALL),
    new("ELBSecurityPolicy-TLS13-1-3-2021-06", &["TLSv1.3"], &[TLS13]),
    new("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", &["TLSv1.3"], &[TLS13]),
    new("ELBSecurityPolicy-TLS13-1-2-PQ-2025-09", UP_TO_13, &[TLS13, FORWARD_GCM, FORWARD_CBC]),
    new("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", UP_TO_13, &[TLS13, FORWARD_GCM]),
    new("ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09", UP_TO_13, &[TLS13, FORWARD_GCM, FORWARD_CBC, RSA]),
    new("ELBSecurityPolicy-TLS13-1-2-Ext2-PQ-2025-09", UP_TO_13, ALL),
    new("ELBSecurityPolicy-TLS13-1-0-PQ-2025-09", &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"], ALL),
    new("ELBSecurityPolicy-TLS-1-2-2017-01", ONLY_12, &[FORWARD_GCM, FORWARD_CBC, RSA]),
    new("ELBSecurityPolicy-TLS-1-1-2017-01", SINCE_11, ALL_OLD),
    new("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", ONLY_12, ALL_OLD),
    new("ELBSecurityPolicy-FS-2018-06", SINCE_10, FORWARD),
    new("ELBSecurityPolicy-FS-1-1-2019-08", SINCE_11, FORWARD),
    new("ELBSecurityPolicy-FS-1-2-2019-08", ONLY_12, FORWARD),
    new("ELBSecurityPolicy-FS-1-2-Res-2019-08", ONLY_12, &[FORWARD_GCM, FORWARD_CBC]),
    new("ELBSecurityPolicy-FS-1-2-Res-2020-10", ONLY_12, &[FORWARD_GCM]),
];

pub fn named(name: &str) -> Option<&'static Policy> {
    POLICIES.iter().find(|policy| policy.name == name)
}

/// # Errors
/// `SSLPolicyNotFound`, `ValidationError`.
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeSslPoliciesInput,
) -> Result<api::DescribeSslPoliciesOutput, Fault> {
    let names = request.names.unwrap_or_default();
    let absent = |name: &String| fault::policy_not_found(format!("SSL policy '{name:.128}' not found"));
    if let Some(name) = names.iter().find(|name| named(name).is_none()) {
        return Err(absent(name));
    }
    let wanted = |policy: &&Policy| names.is_empty() || names.iter().any(|name| name == policy.name);
    let rows = POLICIES.iter().enumerate().filter(|(_, policy)| wanted(policy));
    let rows = rows.map(|(at, policy)| (format!("{at:03}"), policy)).collect();
    let filter = format!("{names:?} {:?}", request.load_balancer_type);
    let asked = page::Asked {
        operation: "DescribeSSLPolicies",
        filter: &filter,
        marker: request.marker.as_deref(),
        size: request.page_size,
    };
    let (rows, next_marker) = page::cut(context, &asked, rows)?;
    let policies = rows.into_iter().map(shown).collect();
    Ok(api::DescribeSslPoliciesOutput { ssl_policies: Some(policies), next_marker })
}

fn shown(policy: &Policy) -> api::SslPolicy {
    let ciphers = policy.ciphers.iter().copied().flatten().zip(1..);
    let cipher =
        |(name, priority): (&&str, i32)| api::Cipher { name: Some((*name).to_owned()), priority: Some(priority) };
    let text = |text: &&str| (*text).to_owned();
    api::SslPolicy {
        ssl_protocols: Some(policy.protocols.iter().map(text).collect()),
        ciphers: Some(ciphers.map(cipher).collect()),
        name: Some(policy.name.to_owned()),
        supported_load_balancer_types: Some(["application", "network"].iter().map(text).collect()),
    }
}
