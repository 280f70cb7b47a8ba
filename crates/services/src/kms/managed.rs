//! AWS managed keys: one a service, made when the service first needs it. Anyone in the account may use it through that
//! service, nobody may change it.

use longshore_model::kms::{EncryptionKey, KeyAlias};
use longshore_model::{Change, Mint, State};
use longshore_wire::Fault;

use super::find::find;
use super::{Ring, key, rotation};

/// `alias/aws/SERVICE`
pub fn alias(service: &str) -> String {
    format!("alias/aws/{service}")
}

/// The managed key of a service; made if there is none.
///
/// # Errors
/// `InternalFailure` if there is no randomness.
pub fn ensure(
    ring: &Ring<'_>,
    (state, changes, mint): (&State, &mut Vec<Change>, &mut Mint),
    service: &str,
) -> Result<EncryptionKey, Fault> {
    let name = alias(service);
    if let Ok(found) = find(state, ring.place, &name) {
        return rotation::current(ring, changes, found);
    }
    let id = mint.uuid();
    let mut made = key::made(ring, id, policy(ring, service))?;
    made.description = format!("Default key that protects my {} data when no other key is defined", words(service));
    made.service = Some(service.to_owned());
    rotation::begin(&mut made, rotation::YEAR, ring.now);
    changes.push(made.clone().into());
    let (account, key) = (made.account.clone(), made.id.clone());
    changes.push(KeyAlias { account, name, key, created_at: ring.now, updated_at: ring.now }.into());
    Ok(made)
}

fn words(service: &str) -> &str {
    match service {
        "secretsmanager" => "Secrets Manager",
        "ssm" => "SSM parameter",
        other => other,
    }
}

/// Everyone of the account, through the service and no other way; its own policies say who may look at it.
fn policy(ring: &Ring<'_>, service: &str) -> String {
    let (account, region) = (&ring.place.account, &ring.place.region);
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "auto-{service}-1",
  "Statement" : [ {{
    "Sid" : "Allow access through {service} for all principals in the account that are authorized to use it",
    "Effect" : "Allow",
    "Principal" : {{ "AWS" : "*" }},
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {{
      "StringEquals" : {{ "kms:CallerAccount" : "{account}", "kms:ViaService" : "{service}.{region}.amazonaws.com" }}
    }}
  }}, {{
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {{ "AWS" : "arn:aws:iam::{account}:root" }},
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  }} ]
}}"#
    )
}
