//! The pull-through cache: what is pulled below a rule's prefix, and is not here, is fetched from the rule's upstream.
//!
//! ```text
//!     manifest ──► here, and the upstream was asked today? ──► as ever
//!        └ else, if the caller may ──► one flight for all who ask ──► verified ──► answered ──► import, which goes on alone
//!     layer ─────► of the repository? ──► as ever
//!        └ else, if the caller may ──► one flight for all who ask ──► an upload, which its readers follow ──► record
//! ```
//! Nobody waits for what it did not ask for: a manifest is answered as soon as it is verified, an index's images come when they
//! are asked for, a layer is read while it comes. What cannot be had from the upstream is served as it was fetched last. What
//! was fetched is recorded as if it had been pushed, and all that holds for what was pushed holds for it.
//!
//! Left out: referrers of what is upstream, and fetching by ECR's own API; it has what is here.

mod flight;
mod import;
mod layer;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use longshore_api::ecr as api;
use longshore_model::registry::CacheRule;
use longshore_model::{AccountId, State};
use longshore_services::Context;
use longshore_services::ecr::{self, cache, content};
use longshore_store::blobs::Digest;
use longshore_wire::protocol::Call;
use longshore_wire::{Fault, Shape, Value};
use reqwest::Url;

use super::error::{Code, Refusal};
use super::route::Reference;
use super::visit::Visit;
use crate::remote::{Credentials, Remote};
use crate::{Auth, Server, clock};

pub(crate) use flight::Cache;
pub(super) use flight::Manifest;
pub(super) use layer::Coming;

use flight::Failure;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// For an upstream to say whether it lets the cache in.
const TRIAL: Duration = Duration::from_secs(20);

/// Where a repository is filled from.
pub(super) struct Source {
    pub server: Arc<Server>,
    pub registry: AccountId,
    /// The repository here, and what it is called there.
    pub name: String,
    pub upstream: String,
    pub remote: Remote,
}

impl Source {
    fn open(server: &Arc<Server>, registry: &AccountId, name: &str, rule: &Rule) -> Result<Self, Failure> {
        let remote = remote(server, registry, &rule.api)?;
        let upstream = rule.upstream.clone();
        Ok(Self { server: server.clone(), registry: registry.clone(), name: name.to_owned(), upstream, remote })
    }

    /// What is written in nobody's name.
    fn context(&self) -> Context<'_> {
        own_context(&self.server, &self.registry)
    }
}

/// The surroundings of what the registry does by itself.
fn own_context<'a>(server: &'a Arc<Server>, registry: &AccountId) -> Context<'a> {
    let (now, seed) = (clock::now(), clock::seed());
    let mut context = Context::new(&server.store, &server.logs, &server.settings, registry.clone(), now, seed);
    context.judged = false;
    context.blobs = Some(&server.blobs);
    context
}

/// A rule, and what it calls a repository.
#[derive(Clone)]
struct Rule {
    api: api::PullThroughCacheRule,
    upstream: String,
}

impl Rule {
    fn of(state: &State, registry: &AccountId, name: &str) -> Option<Self> {
        let (row, upstream) = state.cache_rule(registry.as_str(), name)?;
        let rule: &CacheRule = row;
        Some(Self { api: rule.rule.clone(), upstream })
    }

    fn host(&self) -> &str {
        self.api.upstream_registry_url.as_deref().unwrap_or_default()
    }
}

/// The registry that a rule names, signed in to as the rule says.
fn remote(server: &Arc<Server>, registry: &AccountId, rule: &api::PullThroughCacheRule) -> Result<Remote, Failure> {
    let host = rule.upstream_registry_url.as_deref().unwrap_or_default();
    let found = cache::upstream(&server.settings, host);
    let base = found.and_then(|found| Url::parse(&found.url).ok());
    let base = base.ok_or_else(|| Failure::Rule(format!("{host} is not one of the upstream registries any more")))?;
    let Some(arn) = &rule.credential_arn else { return Ok(Remote::new(base, Credentials::Anonymous)) };
    let mut context = own_context(server, registry);
    context.judged = server.auth == Auth::Enforce;
    let login = cache::login(&mut context, arn).map_err(|fault| Failure::Rule(fault.message))?;
    Ok(Remote::new(base, Credentials::Basic { user: login.user, password: login.token }))
}

/// What a request for a manifest finds before the upstream is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// What is here is served.
    Good,
    /// It is here, and the upstream was not asked today.
    Old(String),
    Absent {
        has_repository: bool,
    },
}

impl Standing {
    fn of(state: &State, registry: &AccountId, name: &str, reference: &Reference) -> Self {
        let Ok(repository) = content::repository(state, registry, name) else {
            return Self::Absent { has_repository: false };
        };
        let absent = Self::Absent { has_repository: true };
        let tag = match reference {
            Reference::Digest(digest) if state.image(&repository.id, digest.as_str()).is_some() => return Self::Good,
            Reference::Digest(_) => return absent,
            Reference::Tag(tag) | Reference::NoTag(tag) => tag,
        };
        let key = longshore_model::registry::tag_key(&repository.id, tag);
        let Some(row) = state.image_tags.get(&key) else { return absent };
        // What somebody pushed is that one's; what may not move does not.
        let Some(looked_at) = row.looked_at.filter(|_| !content::is_immutable(repository, tag)) else {
            return Self::Good;
        };
        match clock::now().millis().saturating_sub(looked_at.millis()) < DAY_MILLIS {
            true => Self::Good,
            false => Self::Old(row.digest.clone()),
        }
    }
}

/// The manifest that a request is for, if it comes from an upstream now; `None` for what is served as ever.
pub(super) async fn manifest(
    visit: &Visit<'_>,
    name: &str,
    reference: &Reference,
    request: &api::BatchGetImageRequest,
) -> Result<Option<Arc<Manifest>>, Refusal> {
    let (rule, standing) = {
        let state = visit.server.store.read();
        let Some(rule) = Rule::of(&state, &visit.registry, name) else { return Ok(None) };
        (rule, Standing::of(&state, &visit.registry, name, reference))
    };
    let may_pull = || visit.might("BatchGetImage", request);
    let made = match &standing {
        Standing::Good => return Ok(None),
        // Who may not pull is told so as ever.
        _ if !may_pull() => return Ok(None),
        Standing::Old(_) if visit.judged("ecr:BatchImportUpstreamImage", name).is_err() => return Ok(None),
        Standing::Old(_) if visit.server.cache.is_away(rule.host()) => return Ok(None),
        Standing::Old(_) => true,
        // Nobody makes repositories for another account.
        Standing::Absent { has_repository: false } if visit.registry != visit.caller.account => return Ok(None),
        Standing::Absent { has_repository } => *has_repository,
    };
    let needed: &[&str] = if made { &[IMPORT] } else { &[IMPORT, "ecr:CreateRepository"] };
    for action in needed {
        if let Err(sentence) = visit.judged(action, name) {
            if is_push(visit, name) {
                return Ok(None);
            }
            return Err(denied(visit, "BatchGetImage", request, sentence).await);
        }
    }
    let fetched = fetch(visit, name, reference, &rule, &standing).await;
    match (fetched, &standing) {
        (Ok(found), _) => Ok(found),
        (Err(failure), Standing::Old(_)) => {
            tracing::info!(name, %failure, "what an upstream gave before is served");
            Ok(None)
        }
        (Err(failure), _) if is_push(visit, name) => {
            tracing::debug!(name, %failure, "what may be pushed is not upstream");
            Ok(None)
        }
        (Err(failure), _) => Err(failed(visit, "BatchGetImage", request, &failure, Code::ManifestUnknown).await),
    }
}

/// Whether it may be somebody who looks what is here before it pushes. It is told as ever that there is nothing.
fn is_push(visit: &Visit<'_>, name: &str) -> bool {
    visit.head.method == Method::HEAD && visit.judged("ecr:PutImage", name).is_ok()
}

const IMPORT: &str = "ecr:BatchImportUpstreamImage";

/// What the upstream has; `None` if that is what is here.
async fn fetch(
    visit: &Visit<'_>,
    name: &str,
    reference: &Reference,
    rule: &Rule,
    standing: &Standing,
) -> Result<Option<Arc<Manifest>>, Failure> {
    let server = visit.server;
    let known = if let Standing::Old(digest) = standing { Some(digest.as_str()) } else { None };
    let place = flight::key(&visit.registry, name, reference);
    let source = Arc::new(Source::open(server, &visit.registry, name, rule)?);
    let flight = server.cache.manifest(&place)?;
    let _waiting = Waiting { server, place: &place, flight: &flight };
    let outcome = flight.fetched(|| async {
        let outcome = import::look(&source, &server.cache, reference, known).await;
        if outcome.as_ref().is_err_and(Failure::is_away) {
            server.cache.note_away(rule.host());
        }
        // It said that the tag leads there still, or that it has it no more.
        if matches!(&outcome, Ok(None)) || outcome.as_ref().is_err_and(Failure::is_missing) {
            import::looked(&source, reference);
        }
        outcome
    });
    let outcome = outcome.await;
    let Ok(Some(found)) = outcome else {
        server.cache.forget(&place, &flight);
        return outcome;
    };
    if let Err(failure) = keep(visit, name, standing).await {
        server.cache.forget(&place, &flight);
        return Err(failure);
    }
    if flight.begins() {
        import::begin(source, reference.clone(), &place, flight.clone(), found.clone());
    }
    Ok(Some(found))
}

/// Somebody who waits for a flight. If all go away before it ends, there is none.
struct Waiting<'a> {
    server: &'a Server,
    place: &'a str,
    flight: &'a Arc<flight::Flight>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.server.cache.leave(self.place, self.flight);
    }
}

/// Makes the repository that what was found is kept in.
async fn keep(visit: &Visit<'_>, name: &str, standing: &Standing) -> Result<(), Failure> {
    if !matches!(standing, Standing::Absent { has_repository: false }) {
        return Ok(());
    }
    let request = api::CreateRepositoryRequest { repository_name: Some(name.to_owned()), ..Default::default() };
    if content::repository(&visit.server.store.read(), &visit.registry, name).is_ok() {
        return Ok(());
    }
    let made = visit.call("CreateRepository", &request, |context, _| {
        ecr::for_pull(context, &visit.registry, name)?;
        Ok(((), Box::new(api::CreateRepositoryResponse::default()) as Box<_>))
    });
    made.await.map_err(Failure::Refused)
}

/// A layer that comes from an upstream now; `None` for one that is served as ever.
pub(super) async fn layer(
    visit: &Visit<'_>,
    name: &str,
    digest: &Digest,
) -> Result<Option<(Arc<Coming>, u64)>, Refusal> {
    let rule = {
        let state = visit.server.store.read();
        let Some(rule) = Rule::of(&state, &visit.registry, name) else { return Ok(None) };
        let known = content::repository(&state, &visit.registry, name);
        let is_here = known.as_ref().is_ok_and(|known| state.layer(&known.id, digest.as_str()).is_some());
        // A manifest comes first, and with it the repository.
        if is_here || known.is_err() {
            return Ok(None);
        }
        rule
    };
    let request = api::GetDownloadUrlForLayerRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        layer_digest: Some(digest.to_string()),
    };
    if !visit.might("GetDownloadUrlForLayer", &request) {
        return Ok(None);
    }
    if let Err(sentence) = visit.judged(IMPORT, name) {
        return Err(denied(visit, "GetDownloadUrlForLayer", &request, sentence).await);
    }
    let server = visit.server;
    let coming = async {
        let source = Arc::new(Source::open(server, &visit.registry, name, &rule)?);
        let coming = layer::fetch(&source, digest)?;
        match coming.begun().await? {
            Some(size) => Ok(Some((coming, size))),
            // How much comes is known when it has come.
            None => coming.ended().await.map(|()| None),
        }
    };
    match coming.await {
        Ok(coming) => Ok(coming),
        Err(failure) => Err(failed(visit, "GetDownloadUrlForLayer", &request, &failure, Code::BlobUnknown).await),
    }
}

/// A refusal for want of a right, with its record.
async fn denied<R: Shape>(visit: &Visit<'_>, operation: &'static str, request: &R, sentence: String) -> Refusal {
    let fault = Fault::common("AccessDeniedException", 400, sentence);
    let refused = visit.call(operation, request, |_, _| Err::<((), Box<_>), _>(fault));
    refused.await.err().unwrap_or_else(|| Fault::internal().into())
}

/// What a client is told when the upstream does not give what it asks for, with its record.
async fn failed<R: Shape>(
    visit: &Visit<'_>,
    operation: &'static str,
    request: &R,
    failure: &Failure,
    missing: Code,
) -> Refusal {
    let refusal = failure.refusal(missing);
    if let Failure::Refused(_) = failure {
        // It has a record.
        return refusal;
    }
    tracing::info!(operation, %failure, "an upstream does not give what is asked for");
    let fault = api::fault::UNABLE_TO_GET_UPSTREAM_IMAGE_EXCEPTION.name;
    let layer = api::fault::UNABLE_TO_GET_UPSTREAM_LAYER_EXCEPTION.name;
    let name = if missing == Code::BlobUnknown { layer } else { fault };
    let fault = Fault::common(name, 400, failure.to_string());
    let _ = visit.call(operation, request, |_, _| Err::<((), Box<_>), _>(fault)).await;
    refusal
}

/// What an upstream says to a call that asks whether a rule works; `None` for every other call. It is asked here because a handler
/// does not wait.
pub(crate) async fn tried(
    server: &Arc<Server>,
    call: &Call,
    registry: &AccountId,
    input: &Value,
) -> Option<cache::Tried> {
    if (call.service.name, call.operation.name) != ("ecr", "ValidatePullThroughCacheRule") {
        return None;
    }
    let request = api::ValidatePullThroughCacheRuleRequest::from_value(input.clone()).ok()?;
    let rule = cache::asked(&server.store.read(), registry, request.ecr_repository_prefix.as_deref()?)?;
    let trial = async {
        let remote = remote(server, registry, &rule)?;
        remote.check().await.map_err(|error| Failure::Remote(Arc::new(error)))
    };
    let failure = match tokio::time::timeout(TRIAL, trial).await {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure.to_string()),
        Err(_) => Some("The upstream registry does not answer in time".to_owned()),
    };
    Some(cache::Tried { rule, failure })
}
