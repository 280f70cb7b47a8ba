//! The login of docker and others: user `AWS`, and a token for twelve hours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_api::ecr as api;
use longshore_wire::Fault;

use super::{find, host, token};
use crate::Context;

pub fn get(
    context: &mut Context<'_>,
    request: api::GetAuthorizationTokenRequest,
) -> Result<api::GetAuthorizationTokenResponse, Fault> {
    let (token, expires_at) = token::issue(&context.settings.vault, &context.caller, context.now)?;
    let coded = STANDARD.encode(format!("AWS:{token}"));
    let named = request.registry_ids.unwrap_or_default();
    let registries = match named.is_empty() {
        true => vec![context.account().clone()],
        false => named.iter().map(|id| find::registry(context, Some(id))).collect(),
    };
    let data = registries.iter().map(|registry| api::AuthorizationData {
        authorization_token: Some(coded.clone()),
        expires_at: Some(expires_at),
        proxy_endpoint: Some(format!("http://{}", host::of(context, registry))),
    });
    Ok(api::GetAuthorizationTokenResponse { authorization_data: Some(data.collect()) })
}
