//! Describing secrets; never their values.

use std::collections::BTreeMap;

use longshore_api::secretsmanager as api;
use longshore_model::secret::Secret;
use longshore_wire::Fault;

use super::find::any;
use super::rotate::Shown;
use super::tag;
use crate::Context;

pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeSecretRequest,
) -> Result<api::DescribeSecretResponse, Fault> {
    let place = context.place.clone();
    let secret = any(&context.read(), &place, &request.secret_id.unwrap_or_default())?.clone();
    let rotation = Shown::of(&secret);
    Ok(api::DescribeSecretResponse {
        arn: Some(secret.arn(&place)),
        name: Some(secret.name.clone()),
        r#type: secret.kind.clone(),
        description: secret.description.clone(),
        kms_key_id: secret.kms_key.clone(),
        last_changed_date: secret.changed_at,
        last_accessed_date: secret.accessed_at,
        deleted_date: secret.deleted_at,
        tags: Some(tag::shown(&secret.tags)),
        version_ids_to_stages: stages(&secret),
        created_date: Some(secret.created_at),
        rotation_enabled: rotation.enabled,
        rotation_lambda_arn: rotation.function,
        rotation_rules: rotation.rules,
        last_rotated_date: rotation.rotated_at,
        next_rotation_date: rotation.next_at,
        ..Default::default()
    })
}

/// Labels by version; `None` if there are none.
pub fn stages(secret: &Secret) -> Option<BTreeMap<String, Vec<String>>> {
    let mut stages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (label, version) in &secret.stages {
        stages.entry(version.clone()).or_default().push(label.clone());
    }
    (!stages.is_empty()).then_some(stages)
}
