//! Repositories: made, described, deleted.

use std::collections::BTreeMap;

use longshore_api::ecr as api;
use longshore_api::ecr::fault as def;
use longshore_api::ecr::{EncryptionType, ImageTagMutability as Mutability};
use longshore_model::kms::EncryptionKey;
use longshore_model::registry::{MOST_REPOSITORIES, Repository, sealed_id};
use longshore_model::{AccountId, Change, Mint, Place, State, TableName};
use longshore_wire::Fault;

use super::find::{List, Which, registry};
use super::{fault, host, seal, setting, tag};
use crate::Context;
use crate::kms::{self, Ring};

/// The name that KMS knows this service by.
pub const NAME: &str = "ecr";

pub fn create(
    context: &mut Context<'_>,
    request: api::CreateRepositoryRequest,
) -> Result<api::CreateRepositoryResponse, Fault> {
    let registry = registry(context, request.registry_id.as_deref());
    if registry != *context.account() {
        return Err(fault::parameter("registryId", "must be the caller's own registry"));
    }
    let wish = Wish::of(request)?;
    let (place, settings, now) = (context.place.clone(), context.settings, context.now);
    let ring = Ring { place: &place, vault: &settings.vault, now };
    let made = context.transact(|state, changes, mint| make(&ring, (state, changes, mint), wish))?;
    Ok(api::CreateRepositoryResponse { repository: Some(shown(context, &made)) })
}

/// What is wanted of a new repository.
pub struct Wish {
    pub name: String,
    pub mutability: Mutability,
    pub exclusions: Vec<api::ImageTagMutabilityExclusionFilter>,
    pub scan_on_push: bool,
    pub encryption: EncryptionType,
    pub key: Option<String>,
    pub tags: BTreeMap<String, String>,
}

impl Wish {
    fn of(request: api::CreateRepositoryRequest) -> Result<Self, Fault> {
        let mut tags = BTreeMap::new();
        tag::add(&mut tags, request.tags.unwrap_or_default())?;
        let mutability = request.image_tag_mutability.unwrap_or(Mutability::Mutable);
        let exclusions = request.image_tag_mutability_exclusion_filters.unwrap_or_default();
        setting::check(mutability, &exclusions)?;
        let encryption = request.encryption_configuration.unwrap_or_default();
        Ok(Self {
            name: request.repository_name.unwrap_or_default(),
            mutability,
            exclusions,
            scan_on_push: request.image_scanning_configuration.and_then(|given| given.scan_on_push).unwrap_or_default(),
            encryption: encryption.encryption_type.unwrap_or(EncryptionType::Aes256),
            key: encryption.kms_key,
            tags,
        })
    }
}

/// Makes a repository of the place's account.
///
/// # Errors
/// `RepositoryAlreadyExistsException`, `LimitExceededException`, `InvalidParameterException`, `KmsException`.
pub fn make(
    ring: &Ring<'_>,
    (state, changes, mint): (&State, &mut Vec<Change>, &mut Mint),
    wish: Wish,
) -> Result<Repository, Fault> {
    let account = &ring.place.account;
    if state.repository(account.as_str(), &wish.name).is_some() {
        let message =
            format!("The repository with name '{}' already exists in the registry with id '{account}'", wish.name);
        return Err(fault::of(&def::REPOSITORY_ALREADY_EXISTS_EXCEPTION, message));
    }
    if state.index.registry.repositories(account.as_str()) >= MOST_REPOSITORIES {
        return Err(fault::limit(format!("A registry may have {MOST_REPOSITORIES} repositories.")));
    }
    let id = mint.hex32();
    let key = key(ring, (state, changes, mint), wish.encryption, wish.key.as_deref())?;
    let id = if key.is_some() { sealed_id(&id) } else { id };
    let data_key = key.as_ref().map(|key| seal::wrapped(ring, key, (&id, &wish.name))).transpose()?;
    let made = Repository {
        account: account.to_string(),
        name: wish.name,
        id,
        created_at: ring.now,
        mutability: wish.mutability,
        exclusions: wish.exclusions,
        scan_on_push: wish.scan_on_push,
        encryption: wish.encryption,
        kms_key: key.map(|key| kms::arn(ring.place, &key.id)),
        data_key,
        policy: None,
        lifecycle: None,
        tags: wish.tags,
    };
    changes.push(made.clone().into());
    Ok(made)
}

/// The key that a repository is encrypted with: the one that is given, or ECR's own; none without KMS.
fn key(
    ring: &Ring<'_>,
    (state, changes, mint): (&State, &mut Vec<Change>, &mut Mint),
    encryption: EncryptionType,
    given: Option<&str>,
) -> Result<Option<EncryptionKey>, Fault> {
    let with_kms = matches!(encryption, EncryptionType::Kms | EncryptionType::KmsDsse);
    let given = given.filter(|given| !given.is_empty() && *given != kms::managed_alias(NAME));
    match (with_kms, given) {
        (false, None) => Ok(None),
        (false, Some(_)) => {
            let words = "must be given with the encryption type KMS or KMS_DSSE only";
            Err(fault::parameter("encryptionConfiguration.kmsKey", words))
        }
        (true, given) => {
            let found = ring.service_key((state, changes, mint), NAME, given);
            found.map(Some).map_err(seal::refused)
        }
    }
}

/// As answers show it.
pub fn shown(context: &Context<'_>, repository: &Repository) -> api::Repository {
    let account = AccountId::parse(&repository.account).unwrap_or_else(|| context.account().clone());
    let place = Place::new(&context.place.region, &account);
    let exclusions = &repository.exclusions;
    api::Repository {
        repository_arn: Some(repository.arn(&place)),
        registry_id: Some(repository.account.clone()),
        repository_name: Some(repository.name.clone()),
        repository_uri: Some(format!("{}/{}", host::of(context, &account), repository.name)),
        created_at: Some(repository.created_at),
        image_tag_mutability: Some(repository.mutability),
        image_tag_mutability_exclusion_filters: (!exclusions.is_empty()).then(|| exclusions.clone()),
        image_scanning_configuration: Some(api::ImageScanningConfiguration {
            scan_on_push: Some(repository.scan_on_push),
        }),
        encryption_configuration: Some(api::EncryptionConfiguration {
            encryption_type: Some(repository.encryption),
            kms_key: repository.kms_key.clone(),
        }),
    }
}

pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeRepositoriesRequest,
) -> Result<api::DescribeRepositoriesResponse, Fault> {
    let registry = registry(context, request.registry_id.as_deref());
    let names = request.repository_names.unwrap_or_default();
    if !names.is_empty() {
        let state = context.read();
        let found = names.iter().map(|name| super::content::repository(&state, &registry, name));
        let found = found.collect::<Result<Vec<_>, Fault>>()?;
        let repositories = found.into_iter().map(|found| shown(context, found)).collect();
        return Ok(api::DescribeRepositoriesResponse { repositories: Some(repositories), next_token: None });
    }
    let list = List { operation: "DescribeRepositories", filter: registry.as_str() };
    let page = list.page(context, request.next_token.as_deref(), request.max_results)?;
    let state = context.read();
    let prefix = longshore_model::registry::key(registry.as_str(), "");
    let rows = state.repositories.scan_after(&prefix, page.after());
    let rows = rows.map(|(key, row)| (key.to_string(), shown(context, row)));
    let (repositories, next_token) = list.take(context, &page, rows);
    Ok(api::DescribeRepositoriesResponse { repositories: Some(repositories), next_token })
}

/// One change, whatever is in it: the rest goes bit by bit.
pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteRepositoryRequest,
) -> Result<api::DeleteRepositoryResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let force = request.force.unwrap_or_default();
    let gone = context.transact(|state, changes, _| {
        let found = which.find(state)?;
        if !force && state.index.registry.images(&found.id) > 0 {
            let message = format!(
                "The repository with name '{}' in registry with id '{}' cannot be deleted because it still contains images",
                which.name, which.registry
            );
            return Err(fault::of(&def::REPOSITORY_NOT_EMPTY_EXCEPTION, message));
        }
        changes.push(Change::Delete(TableName::Repository, found.key()));
        if state.lifecycle_previews.get(&found.id).is_some() {
            changes.push(Change::Delete(TableName::LifecyclePreview, found.id.clone()));
        }
        Ok(found.clone())
    })?;
    Ok(api::DeleteRepositoryResponse { repository: Some(shown(context, &gone)) })
}
