//! The distribution server: what docker, containerd and skopeo push to and pull from, as the OCI distribution
//! specification 1.1 has it, in front of ECR's records.
//!
//! ```text
//!     GET /v2/NAME/…  ──► route ──► who? (Basic AWS:TOKEN) ──► a call of ECR's: judged, recorded ──► records, bytes
//! ```
//! Each request amounts to an operation of ECR's ([`visit`]): a manifest that is put is a PutImage, a blob that is read a
//! GetDownloadUrlForLayer; what may be done by the one may be done by the other, and the audit log has both alike.
//!
//! Left out, as ECR does: `_catalog`, which would tell what there is to who may only pull; DescribeRepositories tells it.

mod auth;
mod blob;
mod cache;
pub(crate) mod collect;
mod error;
mod list;
mod manifest;
mod range;
mod route;
mod upload;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::Server;
use crate::body::Body;
pub(crate) use cache::{Cache, tried};
use error::{Code, Refusal};
use route::{Astray, Route, What, route};
use visit::Visit;

pub(crate) type Answer = Response<Body>;

const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const UPLOAD: HeaderName = HeaderName::from_static("docker-upload-uuid");
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Whether a path is the registry's.
pub(crate) fn is_here(path: &str) -> bool {
    path.strip_prefix("/v2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(crate) async fn serve(server: &Arc<Server>, request: Request<Incoming>) -> Answer {
    let (head, mut body) = request.into_parts();
    let mut answer = match answer(server, &head, &mut body).await {
        Ok(answer) => answer,
        Err(refusal) => {
            // Who asked before sending sends nothing.
            if !head.headers.contains_key(EXPECT) {
                drain(body).await;
            }
            refusal.answer()
        }
    };
    answer.headers_mut().insert(VERSION, HeaderValue::from_static("registry/2.0"));
    answer
}

/// Bytes of a refused request that are read all the same, and how long: a client that is still sending may not see its
/// answer before its connection breaks.
const DRAINED: u64 = 8 * 1024 * 1024;
const DRAINING: Duration = Duration::from_secs(5);

async fn drain(mut body: Incoming) {
    if body.size_hint().upper().is_some_and(|length| length > DRAINED) {
        return;
    }
    let drained = async {
        let mut bytes = 0;
        while let (true, Some(Ok(frame))) = (bytes <= DRAINED, body.frame().await) {
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    };
    let _ = tokio::time::timeout(DRAINING, drained).await;
}

async fn answer(server: &Arc<Server>, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
    let routed = route(head.uri.path());
    if let Ok(Route::Of { name, what: What::Blob(digest) }) = &routed
        && head.method == Method::GET
        && let Some(answer) = blob::given(server, head, name, digest).await
    {
        return answer;
    }
    let visit = Visit::begin(server, head).await?;
    match routed.map_err(astray)? {
        Route::Base => only(&head.method, &[Method::GET, Method::HEAD]).map(|()| base()),
        Route::Catalog => {
            Err(Refusal::new(Code::Unsupported, "The repositories of a registry are told by ecr:DescribeRepositories"))
        }
        Route::Of { name, what } => of(&visit, &name, what, body).await,
    }
}

async fn of(visit: &Visit<'_>, name: &str, what: What, body: &mut Incoming) -> Result<Answer, Refusal> {
    let method = &visit.head.method;
    match (&what, method.as_str()) {
        (What::Blob(digest), "HEAD") => blob::head(visit, name, digest).await,
        (What::Blob(digest), "GET") => blob::get(visit, name, digest).await,
        (What::Blob(digest), "DELETE") => blob::delete(visit, name, digest).await,
        (What::Uploads, "POST") => upload::begin(visit, name, body).await,
        (What::Upload(id), "GET") => upload::status(visit, name, id).await,
        (What::Upload(id), "PATCH") => upload::patch(visit, name, id, body).await,
        (What::Upload(id), "PUT") => upload::finish(visit, name, id, body).await,
        (What::Upload(id), "DELETE") => upload::cancel(visit, name, id).await,
        (What::Manifest(reference), "HEAD") => manifest::get(visit, name, reference, false).await,
        (What::Manifest(reference), "GET") => manifest::get(visit, name, reference, true).await,
        (What::Manifest(reference), "PUT") => manifest::put(visit, name, reference, body).await,
        (What::Manifest(reference), "DELETE") => manifest::delete(visit, name, reference).await,
        (What::Tags, "GET") => list::tags(visit, name).await,
        (What::Referrers(subject), "GET") => list::referrers(visit, name, subject).await,
        _ => Err(only(method, allowed(&what)).err().unwrap_or_else(|| Refusal::new(Code::Unsupported, "not here"))),
    }
}

fn allowed(what: &What) -> &'static [Method] {
    match what {
        What::Blob(_) => &[Method::GET, Method::HEAD, Method::DELETE],
        What::Uploads => &[Method::POST],
        What::Upload(_) => &[Method::GET, Method::PATCH, Method::PUT, Method::DELETE],
        What::Manifest(_) => &[Method::GET, Method::HEAD, Method::PUT, Method::DELETE],
        What::Tags | What::Referrers(_) => &[Method::GET],
    }
}

fn only(method: &Method, allowed: &[Method]) -> Result<(), Refusal> {
    if allowed.contains(method) {
        return Ok(());
    }
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    Err(Refusal::new(Code::Unsupported, "The operation is unsupported").with(ALLOW, names.join(", ")))
}

/// `GET /v2/`: it is one, and you are known.
fn base() -> Answer {
    let mut answer = Answer::new(Body::from("{}"));
    set(&mut answer, CONTENT_TYPE, "application/json");
    answer
}

fn astray(astray: Astray) -> Refusal {
    match astray {
        Astray::Nowhere => Refusal::new(Code::Unsupported, "There is nothing of a registry at this path")
            .at(http::StatusCode::NOT_FOUND),
        Astray::Name => Refusal::new(Code::NameInvalid, "invalid repository name"),
        Astray::Digest => {
            Refusal::new(Code::DigestInvalid, "a digest is sha256: or sha512: and lower-case hexadecimal digits")
        }
    }
}

/// A header whose value is made of what was checked; one that is not is left out.
fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}
