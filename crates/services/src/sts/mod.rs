//! AWS STS: who the caller is, and temporary credentials.
//!
//! Left out: federation (web identity, SAML, GetFederationToken) and MFA, which nobody here has.

mod assume;
pub mod token;

use longshore_api::sts as api;
use longshore_model::iam::{Claims, Identity};
use longshore_wire::Fault;

use crate::{Context, Service, operations};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::sts::SERVICE,
    blocking: false,
    operations: operations! {
        "AssumeRole" => assume::assume_role,
        "GetCallerIdentity" => get_caller_identity,
        "GetSessionToken" => get_session_token,
    },
};

/// The account, and the ARN of the caller in it. The root's user id is the account's.
fn get_caller_identity(
    context: &mut Context<'_>,
    _: api::GetCallerIdentityRequest,
) -> Result<api::GetCallerIdentityResponse, Fault> {
    Ok(api::GetCallerIdentityResponse {
        user_id: Some(context.caller.user_id()),
        account: Some(context.account().to_string()),
        arn: Some(context.principal.clone()),
    })
}

/// Seconds that a session lasts where nobody said, and at most: a user's, and the root's.
const USUAL: i32 = 43_200;
const MOST_OF_ROOT: i32 = 3600;

/// Temporary credentials of the caller itself. They may not make others.
fn get_session_token(
    context: &mut Context<'_>,
    request: api::GetSessionTokenRequest,
) -> Result<api::GetSessionTokenResponse, Fault> {
    if context.caller.claims.is_some() {
        return Err(Fault::common("AccessDenied", 403, "Cannot call GetSessionToken with session credentials"));
    }
    if request.serial_number.is_some() || request.token_code.is_some() {
        return Err(Fault::common(
            "AccessDenied",
            403,
            "MultiFactorAuthentication failed, there is no such MFA device.",
        ));
    }
    let mut claims = Claims { account: context.account().to_string(), ..Claims::default() };
    let mut seconds = request.duration_seconds.unwrap_or(USUAL);
    match &context.caller.identity {
        Identity::User { name, id, .. } => {
            (claims.user, claims.user_id) = (Some(name.clone()), Some(id.clone()));
        }
        _ => seconds = seconds.min(MOST_OF_ROOT),
    }
    let credentials = token::issue(&context.settings.vault, context.now, i64::from(seconds), claims)?;
    Ok(api::GetSessionTokenResponse { credentials: Some(credentials), ..api::GetSessionTokenResponse::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::testing::Bench;

    #[test]
    fn every_caller_is_the_root_of_its_account() {
        let bench = Bench::new();
        let answer = get_caller_identity(&mut bench.context(), api::GetCallerIdentityRequest::default()).unwrap();
        assert_eq!(answer.account.as_deref(), Some("123456789012"));
        assert_eq!(answer.user_id.as_deref(), Some("123456789012"));
        assert_eq!(answer.arn.as_deref(), Some("arn:aws:iam::123456789012:root"));
    }
}
