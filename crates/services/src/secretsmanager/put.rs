//! New values.

use longshore_api::secretsmanager as api;
use longshore_wire::Fault;

use super::plain::Plain;
use super::{fault, find, stage, version};
use crate::Context;

pub fn put(
    context: &mut Context<'_>,
    request: api::PutSecretValueRequest,
) -> Result<api::PutSecretValueResponse, Fault> {
    let plain = Plain::given(request.secret_string, request.secret_binary)?;
    let plain = plain.ok_or_else(|| fault::request("You must provide either SecretString or SecretBinary."))?;
    let stages = request.version_stages.unwrap_or_else(|| vec![stage::CURRENT.to_owned()]);
    let (token, given) = (request.client_request_token, request.secret_id.unwrap_or_default());
    let (secret, id) = find::change(context, &given, |desk, secret| {
        let id = token.unwrap_or_else(|| desk.mint.uuid());
        version::add(desk, secret, &id, &plain, &stages)?;
        Ok(id)
    })?;
    let stages: Vec<String> = secret.stages_of(&id).cloned().collect();
    Ok(api::PutSecretValueResponse {
        arn: Some(secret.arn(&context.place)),
        version_stages: (!stages.is_empty()).then_some(stages),
        version_id: Some(id),
        name: Some(secret.name),
    })
}
