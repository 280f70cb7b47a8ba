//! Retiring grants: the end of a grant by those whom it names. A key policy has no say in it, and an identity policy denies it
//! or speaks for the account (`access::policy`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use longshore_api::kms as api;
use longshore_model::kms::grant_key;
use longshore_model::{Change, TableName};
use longshore_wire::Fault;

use super::fault;
use super::find::by_id;
use super::grant::{check_principal, shown};
use super::page::{self, Asked};
use crate::Context;

/// The condition key by which a grant's policy speaks of this grant alone.
pub const GRANT_ID: &str = "longshore:GrantId";

/// Grants on a page of those that one may retire: where the caller does not say, and at most.
const USUAL: i32 = 50;
const MOST: i32 = 100;

/// A grant as requests name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What a request calls the key by.
    pub key: String,
    pub grant: String,
}

impl Named {
    /// A grant's token: its key and its id.
    pub fn token(&self) -> String {
        BASE64.encode(format!("{} {}", self.key, self.grant))
    }

    /// The grant that a token is of; `None` for what is none.
    fn of_token(token: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
        let (key, grant) = text.split_once(' ')?;
        Some(Self { key: key.to_owned(), grant: grant.to_owned() })
    }

    /// What a request names a grant by: its token, or its id and its key.
    ///
    /// # Errors
    /// `InvalidGrantTokenException`, `ValidationException`.
    pub fn of(token: Option<&str>, key: Option<&str>, grant: Option<&str>) -> Result<Self, Fault> {
        match (token, key, grant) {
            (Some(token), None, None) => Self::of_token(token)
                .ok_or_else(|| fault::of(&api::fault::INVALID_GRANT_TOKEN_EXCEPTION, "The grant token is not valid.")),
            (None, Some(key), Some(grant)) => Ok(Self { key: key.to_owned(), grant: grant.to_owned() }),
            _ => Err(fault::validation("Give a GrantToken, or a GrantId and the KeyId of its key.")),
        }
    }
}

pub fn retire(context: &mut Context<'_>, request: api::RetireGrantRequest) -> Result<(), Fault> {
    let (token, key, grant) = (request.grant_token, request.key_id, request.grant_id);
    let named = Named::of(token.as_deref(), key.as_deref(), grant.as_deref())?;
    end(context, &named, request.dry_run.unwrap_or_default())
}

/// Ends a grant.
///
/// # Errors
/// `NotFoundException`; `DryRunOperationException` if it was only asked whether it would end.
pub fn end(context: &mut Context<'_>, named: &Named, dry: bool) -> Result<(), Fault> {
    let place = context.place.clone();
    context.transact(|state, changes, _| {
        let stored = grant_key(place.account.as_str(), &by_id(state, &place, &named.key)?.id, &named.grant);
        if !state.key_grants.contains(&stored) {
            return Err(fault::of(&api::fault::NOT_FOUND_EXCEPTION, format!("Grant ID {} not found", named.grant)));
        }
        match dry {
            true => Err(fault::dry_run()),
            false => {
                changes.push(Change::Delete(TableName::KeyGrant, stored));
                Ok(())
            }
        }
    })
}

/// The account's grants that name a principal for retiring them.
pub fn list(
    context: &mut Context<'_>,
    request: api::ListRetirableGrantsRequest,
) -> Result<api::ListGrantsResponse, Fault> {
    if request.retiring_service_principal.is_some() {
        return Err(fault::unsupported("Longshore makes no grants that services retire."));
    }
    let Some(retiring) = request.retiring_principal else {
        return Err(fault::validation("RetiringPrincipal must not be null"));
    };
    check_principal(&retiring)?;
    let place = context.place.clone();
    let limit = Some(request.limit.unwrap_or(USUAL).min(MOST));
    let marker = request.marker.as_deref();
    let asked = Asked { operation: "ListRetirableGrants", filter: &retiring, marker, limit };
    let after = asked.after(context)?;
    let state = context.read();
    let prefix = format!("{}/", place.account);
    let rows = state.key_grants.scan_after(&prefix, after.as_deref());
    let is_meant = |named: Option<&String>| named.is_some_and(|named| *named == retiring);
    let rows = rows.map(|(key, grant)| (key, is_meant(grant.retiring.as_ref()).then(|| shown(&place, grant))));
    let page = page::sift(context.settings, &place, &asked, rows);
    Ok(api::ListGrantsResponse { truncated: page.truncated(), grants: Some(page.rows), next_marker: page.marker })
}
