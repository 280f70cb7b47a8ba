//! PutParameter: a parameter is made, or gets a new version.

use std::collections::BTreeMap;

use longshore_api::ssm::{ParameterTier, ParameterType, PutParameterRequest, PutParameterResult, fault as def};
use longshore_model::parameter::{Parameter, ParameterVersion, VERSIONS_KEPT, parameter_key, version_prefix};
use longshore_model::{Change, Place, State, TableName};
use longshore_wire::{Fault, Timestamp};

use super::cipher::Holder;
use super::policy::{self, Policies};
use super::{fault, name, tag, value};
use crate::Context;

/// Parameters of an account and region, by tier.
const MOST_STANDARD: usize = 10_000;
const MOST_ADVANCED: usize = 100_000;

const DEFAULT_KEY: &str = "alias/aws/ssm";
const TEXT: &str = "text";
const STANDARD: &str = "Standard";
const ADVANCED: &str = "Advanced";

/// What a request asks for, as far as it can be checked without the state.
struct Wish {
    name: String,
    value: String,
    kind: Option<ParameterType>,
    tier: Option<ParameterTier>,
    key_id: Option<String>,
    description: Option<String>,
    allowed_pattern: Option<String>,
    policies: Option<Policies>,
    tags: BTreeMap<String, String>,
    overwrite: bool,
}

/// # Errors
/// Those of [`name::check_new`], [`value`] and [`policy::parse`]; `ParameterAlreadyExists`, `HierarchyTypeMismatchException`,
/// `ParameterMaxVersionLimitExceeded`, `ParameterLimitExceeded`, `TooManyTagsError`, `ValidationException`.
pub fn put(context: &mut Context<'_>, request: PutParameterRequest) -> Result<PutParameterResult, Fault> {
    let place = context.place.clone();
    let wish = Wish::of(&place, request)?;
    let (holder, now, by) = (Holder::of(context), context.now, context.principal.clone());
    context.transact(|state, changes, mint| {
        let old = Old::find(state, &place, &wish.name, now);
        if old.is_some() && !wish.overwrite {
            return Err(fault::of(
                &def::PARAMETER_ALREADY_EXISTS,
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
            ));
        }
        match &old {
            Some(old) => make_room(state, &place, old, changes)?,
            None => forget_expired(state, &place, &wish.name, changes),
        }
        let mut row = wish.version(state, &place, old.as_ref(), Stamp { now, by })?;
        if row.is_secure() {
            row.value = holder.seal((state, &mut *changes, &mut *mint), &row, &wish.value)?;
        }
        let result = PutParameterResult { version: Some(row.number), tier: row.tier.parse().ok() };
        changes.push(wish.head(&place, old.as_ref(), &row).into());
        changes.push(row.into());
        Ok(result)
    })
}

/// The parameter as it was.
struct Old<'a> {
    head: &'a Parameter,
    newest: &'a ParameterVersion,
}

impl<'a> Old<'a> {
    fn find(state: &'a State, place: &Place, name: &str, now: Timestamp) -> Option<Self> {
        let head = state.parameters.get(&parameter_key(&place.account, name)).filter(|head| head.is_alive(now))?;
        let newest = name::numbered(state, place, name, head.latest).ok()?;
        Some(Self { head, newest })
    }
}

/// Who writes, and when.
struct Stamp {
    now: Timestamp,
    by: String,
}

impl Wish {
    fn of(place: &Place, request: PutParameterRequest) -> Result<Self, Fault> {
        let name = request.name.unwrap_or_default();
        name::check_new(place, &name)?;
        let overwrite = request.overwrite.unwrap_or_default();
        let tags = request.tags.unwrap_or_default();
        if overwrite && !tags.is_empty() {
            return Err(fault::validation(
                "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove \
                 overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or \
                 RemoveTagsFromResource.",
            ));
        }
        if let Some(data_type) = request.data_type.filter(|data_type| data_type != TEXT) {
            return Err(fault::validation(format!(
                "The following data type is not supported: {data_type} (Data type names are all lowercase.)"
            )));
        }
        Ok(Self {
            name,
            value: request.value.unwrap_or_default(),
            kind: request.r#type,
            tier: request.tier,
            key_id: request.key_id,
            description: request.description,
            allowed_pattern: request.allowed_pattern,
            policies: request.policies.as_deref().map(policy::parse).transpose()?,
            tags: tag::merge(BTreeMap::new(), tags)?,
            overwrite,
        })
    }

    /// The version that the request makes, its value in clear.
    fn version(
        &self,
        state: &State,
        place: &Place,
        old: Option<&Old<'_>>,
        stamp: Stamp,
    ) -> Result<ParameterVersion, Fault> {
        let newest = old.map(|old| old.newest);
        let kind = self.kind(newest)?;
        let policies = self.policies(newest);
        let advanced = self.is_advanced(state, place, newest, &policies)?;
        value::check_size(&self.value, advanced)?;
        check_count(state, place, newest, advanced)?;
        let allowed_pattern =
            self.kept(self.allowed_pattern.as_ref(), newest.and_then(|row| row.allowed_pattern.as_ref()));
        if let Some(pattern) = &allowed_pattern {
            value::check_pattern(pattern, kind, &self.value)?;
        }
        Ok(ParameterVersion {
            account: place.account.to_string(),
            name: self.name.clone(),
            number: newest.map_or(1, |row| row.number.saturating_add(1)),
            kind: kind.to_owned(),
            value: self.value.clone(),
            key_id: self.key(kind)?,
            tier: if advanced { ADVANCED } else { STANDARD }.to_owned(),
            data_type: TEXT.to_owned(),
            description: self.kept(self.description.as_ref(), newest.and_then(|row| row.description.as_ref())),
            allowed_pattern,
            policies: policies.texts,
            labels: Vec::new(),
            modified_at: stamp.now,
            modified_by: stamp.by,
        })
    }

    fn head(&self, place: &Place, old: Option<&Old<'_>>, row: &ParameterVersion) -> Parameter {
        Parameter {
            account: place.account.to_string(),
            name: self.name.clone(),
            latest: row.number,
            expires_at: policy::reread(&row.policies).expires_at,
            tags: old.map_or_else(|| self.tags.clone(), |old| old.head.tags.clone()),
        }
    }

    /// What the request does not say stays as it was; what it says to be empty goes.
    fn kept(&self, said: Option<&String>, was: Option<&String>) -> Option<String> {
        said.or(was).filter(|text| !text.is_empty()).cloned()
    }

    fn kind(&self, newest: Option<&ParameterVersion>) -> Result<&'static str, Fault> {
        let was = newest.and_then(|row| row.kind.parse::<ParameterType>().ok());
        match (self.kind, was) {
            (None, None) => Err(fault::validation("A parameter type is required when you create a parameter.")),
            (Some(kind), Some(was)) if kind != was => Err(fault::of(
                &def::HIERARCHY_TYPE_MISMATCH_EXCEPTION,
                format!(
                    "Parameter Store doesn't support changing the type of a parameter: {} is a {}. Create a new, unique \
                     parameter.",
                    self.name,
                    was.as_str()
                ),
            )),
            (Some(kind), _) | (None, Some(kind)) => Ok(kind.as_str()),
        }
    }

    /// Another key than the default one is of the request alone: a new version does not inherit it.
    fn key(&self, kind: &str) -> Result<Option<String>, Fault> {
        match (kind, &self.key_id) {
            ("SecureString", key) => Ok(Some(key.clone().unwrap_or_else(|| DEFAULT_KEY.to_owned()))),
            (_, None) => Ok(None),
            (_, Some(_)) => Err(fault::validation("KeyId is required for SecureString type parameter only.")),
        }
    }

    fn policies(&self, newest: Option<&ParameterVersion>) -> Policies {
        let was = || newest.map(|row| policy::reread(&row.policies)).unwrap_or_default();
        self.policies.clone().unwrap_or_else(was)
    }

    /// Whether the version is of the advanced tier. Nothing leads back from it.
    fn is_advanced(
        &self,
        state: &State,
        place: &Place,
        newest: Option<&ParameterVersion>,
        policies: &Policies,
    ) -> Result<bool, Fault> {
        let was = newest.is_some_and(|row| row.tier == ADVANCED);
        let needs = self.value.len() > value::STANDARD_BYTES || !policies.texts.is_empty();
        let advanced = match self.tier {
            Some(ParameterTier::Advanced) => true,
            Some(ParameterTier::Standard) if was => {
                return Err(fault::validation(
                    "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the \
                     advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced \
                     parameter and recreate it as a standard parameter.",
                ));
            }
            Some(ParameterTier::Standard) => false,
            Some(ParameterTier::IntelligentTiering) => {
                was || needs || (newest.is_none() && count(state, place, STANDARD, MOST_STANDARD) >= MOST_STANDARD)
            }
            None => was,
        };
        match advanced || policies.texts.is_empty() {
            true => Ok(advanced),
            false => Err(fault::validation(
                "Parameter policies can only be attached to parameters that use the advanced-parameter tier.",
            )),
        }
    }
}

/// Whether one more parameter of a tier fits into the account.
fn check_count(state: &State, place: &Place, newest: Option<&ParameterVersion>, advanced: bool) -> Result<(), Fault> {
    let (tier, most) = if advanced { (ADVANCED, MOST_ADVANCED) } else { (STANDARD, MOST_STANDARD) };
    if newest.is_some_and(|row| row.tier == tier) || count(state, place, tier, most) < most {
        return Ok(());
    }
    let advice = match advanced {
        true => "delete existing parameters.",
        false => "either delete existing parameters or upgrade to the advanced-parameter tier (charges apply).",
    };
    Err(fault::of(
        &def::PARAMETER_LIMIT_EXCEEDED,
        format!(
            "You have reached the maximum number of {} parameters for this AWS account and Region ({most}). To add more \
             parameters, {advice}",
            tier.to_lowercase()
        ),
    ))
}

/// Parameters of a tier in an account, expired ones that are still there included; zero while all accounts together have
/// less than `most`, which costs nothing to know.
fn count(state: &State, place: &Place, tier: &str, most: usize) -> usize {
    if state.parameters.len() < most {
        return 0;
    }
    let prefix = parameter_key(&place.account, "");
    let heads = state.parameters.scan(&prefix).map(|(_, head)| head);
    let rows = heads.filter_map(|head| name::numbered(state, place, &head.name, head.latest).ok());
    rows.filter(|row| row.tier == tier).count()
}

/// The oldest version goes when there are as many as are kept.
fn make_room(state: &State, place: &Place, old: &Old<'_>, changes: &mut Vec<Change>) -> Result<(), Fault> {
    let prefix = version_prefix(&place.account, &old.head.name);
    if state.parameter_versions.scan(&prefix).count() < VERSIONS_KEPT {
        return Ok(());
    }
    let Some((key, oldest)) = state.parameter_versions.scan(&prefix).next() else { return Ok(()) };
    if oldest.labels.is_empty() {
        changes.push(Change::Delete(TableName::ParameterVersion, key.to_string()));
        return Ok(());
    }
    Err(fault::of(
        &def::PARAMETER_MAX_VERSION_LIMIT_EXCEEDED,
        format!(
            "You attempted to create a new version of {} by calling the PutParameter API with the overwrite flag. Version {}, \
             the oldest version, can't be deleted because it has a label associated with it. Move the label to another \
             version of the parameter, and try again.",
            oldest.name, oldest.number
        ),
    ))
}

/// What is left of a parameter that expired under the same name.
fn forget_expired(state: &State, place: &Place, name: &str, changes: &mut Vec<Change>) {
    let prefix = version_prefix(&place.account, name);
    let rows = state.parameter_versions.scan(&prefix).map(|(key, _)| key.to_string());
    changes.extend(rows.map(|key| Change::Delete(TableName::ParameterVersion, key)));
}
