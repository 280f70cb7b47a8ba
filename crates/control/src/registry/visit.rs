//! One request to the registry, as a call of ECR's: judged, recorded and answered like one that came to the API.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::HOST;
use http::request::Parts;
use longshore_api::ecr;
use longshore_model::AccountId;
use longshore_model::Place;
use longshore_model::iam::Caller;
use longshore_model::policy::Context as Conditions;
use longshore_services::Context;
use longshore_services::access::{Leave, Needed, Replica, judge_one};
use longshore_store::audit;
use longshore_store::blobs::Error;
use longshore_wire::protocol::{Call, Output, codec};
use longshore_wire::{Fault, ProtocolKind, Shape, Value, json};

use super::auth;
use super::error::{Code, Refusal};
use crate::audit::Note;
use crate::gateway::{settle, written};
use crate::replicas::{Brought, HEADER};
use crate::{Auth, Server, clock, signin};

/// What who brings a copy may call.
const PUSHES: &[&str] =
    &["BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"];

/// What an operation decided, and what its record says of it.
pub(super) type Decided<T> = Result<(T, Box<dyn Output>), Fault>;

pub(super) struct Visit<'a> {
    pub server: &'a Arc<Server>,
    pub head: &'a Parts,
    pub caller: Caller,
    /// Whose registry: that of the host's name, or the caller's own.
    pub registry: AccountId,
    /// The account whose image is brought, of a copy from another registry.
    pub source: Option<AccountId>,
}

impl<'a> Visit<'a> {
    /// Who comes, and to whose registry.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, with the way to say who one is; `NAME_UNKNOWN` for a region that is not here; `DENIED` for a copy that
    /// does not say where it comes from.
    pub async fn begin(server: &'a Arc<Server>, head: &'a Parts) -> Result<Self, Refusal> {
        let host = host(head);
        let named = auth::registry(host, &server.settings.region)?;
        let caller = auth::caller(server, head);
        let caller = caller.map_err(|why| {
            server.metrics.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(why, "a client of the registry is unknown");
            Refusal::unauthorized(host, why)
        })?;
        let brought = brought(server, head)?;
        let (source, meant) = brought.map(|brought| (brought.source, brought.registry)).unzip();
        let registry = meant.or(named).unwrap_or_else(|| caller.account.clone());
        Ok(Self { server, head, caller, registry, source })
    }

    /// Carries out an operation of ECR's, with what the request amounts to, as the gateway does.
    pub async fn call<R: Shape, T>(
        &self,
        operation: &'static str,
        request: &R,
        act: impl FnOnce(&mut Context<'_>, Value) -> Decided<T>,
    ) -> Result<T, Refusal> {
        let call = call(operation)?;
        let request_id = clock::mint().uuid();
        let mut note = Note::begin(self.server, &call, self.head, &request_id);
        let carried_out = self.carry_out(&call, &json::to_vec(request), &mut note, act).await;
        if let Err(fault) = &carried_out {
            written(note.failed(fault)).await;
            tracing::debug!(request_id, operation, %fault, "a request to the registry failed");
        }
        let status = carried_out.as_ref().map_or_else(|fault| fault.status, |_| 200);
        self.server.metrics.answered(call.service.name, call.operation.name, status);
        carried_out.map_err(|fault| match self.source.is_some() && is_passing(&fault) {
            true => Refusal::new(Code::Unavailable, fault.message),
            false => fault.into(),
        })
    }

    async fn carry_out<T>(
        &self,
        call: &Call,
        body: &[u8],
        note: &mut Note<'_>,
        act: impl FnOnce(&mut Context<'_>, Value) -> Decided<T>,
    ) -> Result<T, Fault> {
        let server = self.server;
        note.caller(&self.caller)?;
        server.ensure_account(&self.caller.account)?;
        let conditions = signin::conditions(server, call, &self.caller, self.head);
        let input = call.input(self.head, body)?;
        note.input(&self.caller, &input);
        let leave = self.authorize(call, &conditions, &input)?;
        server.throttle.admit(call, &self.caller, &input)?;
        let account = self.caller.account.clone();
        let context = Context::new(&server.store, &server.logs, &server.settings, account, clock::now(), clock::seed());
        let mut context = context.called_by(self.caller.clone(), conditions);
        context.judged = server.auth == Auth::Enforce;
        context.leave = leave;
        context.is_replica = self.source.is_some();
        context.audit = Some(&server.audit);
        context.blobs = Some(&server.blobs);
        let (decided, recorded) = decided(act(&mut context, input), &mut context, note);
        let (revision, tickets) = context.into_waits();
        settle(server, revision, &tickets, recorded).await?;
        note.settled();
        decided
    }

    /// Whether the caller may do this: who brings a copy, whatever it may do as who it is, with a repository that it may
    /// bring copies to.
    fn authorize(&self, call: &Call, conditions: &Conditions, input: &Value) -> Result<Option<Leave>, Fault> {
        let Some(source) = &self.source else {
            return signin::authorize(self.server, call, &self.caller, conditions, input);
        };
        if !PUSHES.contains(&call.operation.name) {
            let message = format!("Who brings a copy from another registry may not call {}", call.operation.name);
            return Err(Fault::common("AccessDeniedException", 400, message));
        }
        let repository = match input {
            Value::Structure(input) => input.get("repositoryName"),
            _ => None,
        };
        let Some(Value::String(repository)) = repository else { return Err(Fault::internal()) };
        let (source, registry) = (source.clone(), self.registry.clone());
        let replica = Replica { source, registry, repository: repository.clone() };
        signin::authorize_replica(self.server, call, &self.caller, conditions, replica)
    }

    /// Whether the caller might carry out an operation; nothing is recorded.
    pub fn might<R: Shape>(&self, operation: &'static str, request: &R) -> bool {
        self.tried(operation, request, |call, conditions, input| self.authorize(call, conditions, input)).is_ok()
    }

    /// As [`might`](Self::might), by what the caller may do as who it is, though it brings a copy.
    pub fn might_itself<R: Shape>(&self, operation: &'static str, request: &R) -> bool {
        let itself = |call: &Call, conditions: &Conditions, input: &Value| {
            signin::authorize(self.server, call, &self.caller, conditions, input)
        };
        self.tried(operation, request, itself).is_ok()
    }

    fn tried<R: Shape>(
        &self,
        operation: &'static str,
        request: &R,
        judge: impl FnOnce(&Call, &Conditions, &Value) -> Result<Option<Leave>, Fault>,
    ) -> Result<Option<Leave>, Fault> {
        let call = call(operation).map_err(|_| Fault::unknown_operation())?;
        let conditions = signin::conditions(self.server, &call, &self.caller, self.head);
        let input = call.input(self.head, &json::to_vec(request))?;
        judge(&call, &conditions, &input)
    }

    /// Whether the caller may do to a repository what is no operation's own action; nothing is recorded.
    ///
    /// # Errors
    /// The sentence that says what is missing.
    pub fn judged(&self, action: &'static str, name: &str) -> Result<(), String> {
        if self.server.auth == Auth::Permissive {
            return Ok(());
        }
        let place = Place::new(&self.server.settings.region, &self.registry);
        let needed = Needed {
            action,
            resource: place.arn("ecr", &format!("repository/{name}")),
            owner: self.registry.clone(),
            context: Conditions::default(),
        };
        let call = call("BatchGetImage").map_err(|_| "no such operation".to_owned())?;
        let conditions = signin::conditions(self.server, &call, &self.caller, self.head);
        judge_one(&self.server.store.read(), &needed, &self.caller, &conditions)
    }

    /// The text of a header.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&'a str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.head.uri.query().unwrap_or_default().as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// Every value of a parameter.
    pub fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = form_urlencoded::parse(self.head.uri.query().unwrap_or_default().as_bytes());
        pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }
}

/// Whether what refuses a copy may be otherwise before long, so that it is to be tried again: no right is missing.
fn is_passing(fault: &Fault) -> bool {
    matches!(fault.name, "KmsException" | "LimitExceededException")
}

/// What was decided, unless the caller may not do it any more; and its record, if that must be written first.
fn decided<T>(
    decided: Decided<T>,
    context: &mut Context<'_>,
    note: &mut Note<'_>,
) -> (Result<T, Fault>, Option<audit::Ticket>) {
    let (decided, answer) = match decided {
        Ok((decided, output)) => (Some(decided), Ok(output)),
        Err(fault) => (None, Err(fault)),
    };
    let answer = context.refused(answer);
    let recorded = note.carried_out(&answer);
    (answer.and_then(|_| decided.ok_or_else(Fault::internal)), recorded)
}

fn call(operation: &'static str) -> Result<Call, Refusal> {
    let service = &ecr::SERVICE;
    let operation = service.operation(operation).ok_or_else(Fault::unknown_operation)?;
    Ok(Call { service, operation, protocol: codec(ProtocolKind::AwsJson11) })
}

/// What a push says that brings a copy from another registry.
fn brought(server: &Server, head: &Parts) -> Result<Option<Brought>, Refusal> {
    let Some(header) = head.headers.get(HEADER) else { return Ok(None) };
    let brought = header.to_str().ok().and_then(Brought::parse);
    let brought = brought.ok_or_else(|| Refusal::new(Code::Denied, "The copy does not say where it is from"))?;
    match brought.region == server.settings.region {
        true => Ok(Some(brought)),
        false => Err(Refusal::new(Code::NameUnknown, "There is no such registry here")),
    }
}

fn host(head: &Parts) -> &str {
    let named = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

/// Does what waits for the disk, away from the threads that serve.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Fault::internal())?.map_err(Refusal::from)
}
