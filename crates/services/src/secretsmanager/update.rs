//! Changing a secret: its description, its key, its value.

use longshore_api::secretsmanager as api;
use longshore_wire::Fault;

use super::plain::Plain;
use super::{create, find, stage, version};
use crate::Context;

/// A value makes a new current version. Another key without a value encrypts the labelled versions anew.
pub fn update(
    context: &mut Context<'_>,
    request: api::UpdateSecretRequest,
) -> Result<api::UpdateSecretResponse, Fault> {
    let plain = Plain::given(request.secret_string, request.secret_binary)?;
    let given = request.secret_id.unwrap_or_default();
    let (token, description, kind) = (request.client_request_token, request.description, request.r#type);
    let key = request.kms_key_id;
    let (secret, version) = find::change(context, &given, |desk, secret| {
        let rekeyed = key.is_some();
        if rekeyed {
            secret.kms_key = create::own_key(desk.state, desk.ring, key)?;
        }
        if description.is_some() {
            secret.description = description;
        }
        if kind.is_some() {
            secret.kind = kind;
        }
        secret.changed_at = Some(desk.ring.now);
        let Some(plain) = plain else {
            return if rekeyed { version::seal_again(desk, secret).map(|()| None) } else { Ok(None) };
        };
        let id = token.unwrap_or_else(|| desk.mint.uuid());
        version::add(desk, secret, &id, &plain, &[stage::CURRENT.to_owned()])?;
        Ok(Some(id))
    })?;
    Ok(api::UpdateSecretResponse {
        arn: Some(secret.arn(&context.place)),
        name: Some(secret.name),
        version_id: version,
    })
}
