//! `SecureString`s under KMS keys: the customer's that is named, or the AWS managed key `alias/aws/ssm`.
//!
//! A ciphertext is bound to its parameter's ARN (`PARAMETER_ARN`), as AWS's are. Who writes under a customer's key must be
//! allowed `kms:Encrypt` on it (advanced parameters: `kms:GenerateDataKey`), who reads `kms:Decrypt`, both through this service;
//! the managed key needs nothing. Which keys a request reads under is known only when its parameters are, so this is judged
//! here and not by the table of [`crate::access`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use longshore_api::ssm::fault as def;
use longshore_model::iam::Caller;
use longshore_model::kms::EncryptionKey;
use longshore_model::parameter::ParameterVersion;
use longshore_model::policy::Context as Conditions;
use longshore_model::{Change, Mint, Place, State};
use longshore_wire::{Fault, ProtocolKind, Timestamp};

use super::{fault, name};
use crate::access::{self, Needed};
use crate::kms::{self, EncryptionContext, Ring};
use crate::{Context, Vault, authority};

/// Whose key is used without naming one.
const SERVICE: &str = "ssm";

/// Who uses keys, and where.
#[derive(Clone)]
pub struct Holder<'a> {
    pub place: Place,
    pub now: Timestamp,
    vault: &'a Vault,
    caller: Caller,
    conditions: Conditions,
    /// Whether policies are asked.
    enforces: bool,
}

impl<'a> Holder<'a> {
    pub fn of(context: &Context<'a>) -> Self {
        Self {
            place: context.place.clone(),
            now: context.now,
            vault: &context.settings.vault,
            caller: context.caller.clone(),
            conditions: context.conditions.clone(),
            enforces: context.settings.enforces,
        }
    }

    fn ring(&self) -> Ring<'_> {
        Ring { place: &self.place, vault: self.vault, now: self.now }
    }

    /// A value as the store holds it, under the key that the version names.
    ///
    /// # Errors
    /// `InvalidKeyId` for a key that cannot be used, `AccessDeniedException` for one that the caller may not use.
    pub fn seal(
        &self,
        transaction: (&State, &mut Vec<Change>, &mut Mint),
        row: &ParameterVersion,
        plain: &str,
    ) -> Result<String, Fault> {
        let (state, ring) = (transaction.0, self.ring());
        let given = row.key_id.as_deref();
        let key = ring.service_key(transaction, SERVICE, given).map_err(|refused| unusable(refused, row))?;
        let action = if row.tier == "Advanced" { "kms:GenerateDataKey" } else { "kms:Encrypt" };
        self.judge(state, action, &key, row)?;
        let sealed =
            ring.encrypt(&key, &self.bound(row), plain.as_bytes()).map_err(|refused| unusable(refused, row))?;
        Ok(BASE64.encode(sealed))
    }

    /// What an answer shows of a version: in clear, or the ciphertext where decryption was not asked for.
    ///
    /// # Errors
    /// As [`seal`](Self::seal); `InternalFailure` for what does not open.
    pub fn shown(&self, state: &State, row: &ParameterVersion, decrypt: bool) -> Result<String, Fault> {
        if !decrypt || !row.is_secure() {
            return Ok(row.value.clone());
        }
        let broken = || {
            tracing::error!(parameter = row.name, version = row.number, "a SecureString does not open");
            Fault::internal()
        };
        let sealed = BASE64.decode(&row.value).map_err(|_| broken())?;
        let opened = self.ring().decrypt(state, &self.bound(row), &sealed).map_err(|refused| match refused.name {
            "InvalidCiphertextException" => broken(),
            _ => unusable(refused, row),
        })?;
        self.judge(state, "kms:Decrypt", &opened.key, row)?;
        String::from_utf8(opened.plain).map_err(|_| broken())
    }

    fn bound(&self, row: &ParameterVersion) -> EncryptionContext {
        EncryptionContext::from([("PARAMETER_ARN".to_owned(), name::arn(&self.place, &row.name))])
    }

    /// Whether the caller may use a customer's key for this.
    fn judge(
        &self,
        state: &State,
        action: &'static str,
        key: &EncryptionKey,
        row: &ParameterVersion,
    ) -> Result<(), Fault> {
        if !self.enforces || key.service.is_some() {
            return Ok(());
        }
        let mut context = Conditions::default();
        context.set("kms:ViaService", [format!("{SERVICE}.{}.amazonaws.com", self.place.region)]);
        context.set("kms:CallerAccount", [self.place.account.as_str()]);
        context.set("kms:EncryptionContextKeys", ["PARAMETER_ARN"]);
        context.set("kms:EncryptionContext:PARAMETER_ARN", [name::arn(&self.place, &row.name)]);
        context.set("aws:ResourceAccount", [self.place.account.as_str()]);
        let resource = kms::arn(&self.place, &key.id);
        let needed = Needed { action, resource, owner: self.place.account.clone(), context };
        access::judge_one(state, &needed, &self.caller, &self.conditions)
            .map_err(|sentence| authority::denied(ProtocolKind::AwsJson11, &sentence))
    }
}

/// What KMS refuses.
fn unusable(refused: Fault, row: &ParameterVersion) -> Fault {
    match refused.sender {
        true => fault::of(&def::INVALID_KEY_ID, format!("Invalid keyId {}", row.key_id.as_deref().unwrap_or_default())),
        false => refused,
    }
}
