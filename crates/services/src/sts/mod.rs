//! AWS STS: who the caller is. Temporary credentials come with identity.

use longshore_api::sts::{GetCallerIdentityRequest, GetCallerIdentityResponse};
use longshore_wire::Fault;

use crate::{Context, Service, operations};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::sts::SERVICE,
    blocking: false,
    operations: operations! {
        "GetCallerIdentity" => get_caller_identity,
    },
};

/// The account, and the ARN of the caller in it. The root's user id is the account's.
fn get_caller_identity(
    context: &mut Context<'_>,
    _: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse, Fault> {
    let account = context.account().to_string();
    Ok(GetCallerIdentityResponse {
        user_id: Some(account.clone()),
        account: Some(account),
        arn: Some(context.principal.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::testing::Bench;

    #[test]
    fn every_caller_is_the_root_of_its_account() {
        let bench = Bench::new();
        let answer = get_caller_identity(&mut bench.context(), GetCallerIdentityRequest::default()).unwrap();
        assert_eq!(answer.account.as_deref(), Some("123456789012"));
        assert_eq!(answer.user_id.as_deref(), Some("123456789012"));
        assert_eq!(answer.arn.as_deref(), Some("arn:aws:iam::123456789012:root"));
    }
}
