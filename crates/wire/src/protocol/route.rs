//! Which service and operation a request is for, from its head (JSON) or its form (query).
//!
//! Knows no service: it works over the tables it is handed. A refusal comes with the protocol in which to answer it.

use super::{Call, Protocol, Reply, codec, form};
use crate::sigv4::Scope;
use crate::{Fault, ProtocolKind, ServiceDef};
use http::request::Parts;
use http::{HeaderMap, Method, header};

/// A request that reaches no operation, and how to say so.
#[derive(Clone)]
pub struct Refusal {
    pub fault: Fault,
    pub service: Option<&'static ServiceDef>,
    pub protocol: &'static dyn Protocol,
}

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} over {:?}", self.fault, self.protocol.kind())
    }
}

impl Refusal {
    /// The reply that says so.
    pub fn reply(&self, request_id: &str) -> Reply {
        self.protocol.encode_fault(self.service, &self.fault, request_id)
    }

    /// Turns away a request before it is routed, in the protocol its head looks like.
    pub fn early(head: &Parts, fault: Fault) -> Self {
        Refusal { fault, service: None, protocol: guess(head) }
    }

    fn json(version: ProtocolKind, fault: Fault) -> Self {
        Refusal { fault, service: None, protocol: codec(version) }
    }

    fn query(service: Option<&'static ServiceDef>, fault: Fault) -> Self {
        let kind = service.and_then(query_kind).unwrap_or(ProtocolKind::AwsQuery);
        Refusal { fault, service, protocol: codec(kind) }
    }
}

/// The largest body, in bytes, that a request with this head may have.
pub fn body_limit(head: &Parts) -> usize {
    guess(head).body_limit()
}

/// Finds what a request calls among `services`. The body is looked at only for forms.
///
/// # Errors
/// `UnknownOperationException` for a missing, unknown or doubled target or a media type that is not the protocol's;
/// `InvalidAction` or `MissingAction` for queries; 415 for an encoded body; 413 beyond the limit.
pub fn route(services: &[&'static ServiceDef], head: &Parts, body: &[u8]) -> Result<Call, Refusal> {
    let limit = body_limit(head);
    if body.len() > limit {
        return Err(Refusal::early(head, Fault::too_large(limit)));
    }
    if head.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Refusal::early(head, Fault::unsupported_encoding()));
    }
    if head.uri.path() != "/" {
        let fault = Fault { status: 404, ..Fault::unknown_operation() };
        return Err(Refusal::early(head, fault));
    }
    if looks_like_json(head) { by_target(services, head) } else { by_action(services, head, body) }
}

/// The refusal of a request that is signed for none of `services`: it says which service is missing, in words that the
/// client of that service reads. `None` for a request that is not signed, or for one of them.
pub fn unserved(services: &[&'static ServiceDef], head: &Parts) -> Option<Refusal> {
    let wanted = Scope::of_request(head)?.service;
    let served = services.iter().any(|service| service.signing_name == wanted);
    (!served).then(|| Refusal {
        fault: Fault::service_not_implemented(&wanted),
        service: None,
        protocol: if speaks_xml(head, &wanted) { codec(ProtocolKind::AwsQuery) } else { guess_json(head) },
    })
}

/// The signing names of the services of AWS that speak REST and XML; all others that speak REST speak JSON.
const REST_XML: &[&str] = &["s3", "s3express", "s3-object-lambda", "s3-outposts", "route53", "cloudfront"];

/// Whether the client of a service that is not here reads XML: it sent a form, or the service speaks REST and XML.
fn speaks_xml(head: &Parts, service: &str) -> bool {
    let form = media_type(&head.headers).eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let json = head.headers.contains_key(TARGET);
    !json && (form || REST_XML.contains(&service))
}

fn guess_json(head: &Parts) -> &'static dyn Protocol {
    codec(json_version(head).unwrap_or(ProtocolKind::AwsJson11))
}

fn guess(head: &Parts) -> &'static dyn Protocol {
    if looks_like_json(head) { guess_json(head) } else { codec(ProtocolKind::AwsQuery) }
}

fn looks_like_json(head: &Parts) -> bool {
    head.headers.contains_key(TARGET) || media_type(&head.headers).contains("json")
}

const TARGET: &str = "x-amz-target";

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn json_version(head: &Parts) -> Option<ProtocolKind> {
    let media_type = media_type(&head.headers);
    if media_type.eq_ignore_ascii_case("application/x-amz-json-1.0") {
        return Some(ProtocolKind::AwsJson10);
    }
    media_type.eq_ignore_ascii_case("application/x-amz-json-1.1").then_some(ProtocolKind::AwsJson11)
}

/// The JSON protocols: `X-Amz-Target: Prefix.Operation`, exactly once, in this case.
fn by_target(services: &[&'static ServiceDef], head: &Parts) -> Result<Call, Refusal> {
    let version = json_version(head);
    let refuse = || Refusal::json(version.unwrap_or(ProtocolKind::AwsJson11), Fault::unknown_operation());
    let version = version.filter(|_| head.method == Method::POST).ok_or_else(refuse)?;
    let (prefix, name) = single_target(&head.headers).ok_or_else(refuse)?;
    let known = services.iter().find(|service| !service.target_prefix.is_empty() && service.target_prefix == prefix);
    let service = known.ok_or_else(refuse)?;
    let operation = service.operation(name).ok_or_else(refuse)?;
    Ok(Call { service, operation, protocol: codec(version) })
}

fn single_target(headers: &HeaderMap) -> Option<(&str, &str)> {
    let mut targets = headers.get_all(TARGET).iter();
    match (targets.next(), targets.next()) {
        (Some(target), None) => target.to_str().ok()?.rsplit_once('.'),
        _ => None,
    }
}

/// The query protocols: `Action` and `Version`, each exactly once, in the body or the query but not in both.
fn by_action(services: &[&'static ServiceDef], head: &Parts, body: &[u8]) -> Result<Call, Refusal> {
    let scope = Scope::of_request(head);
    let signed =
        scope.as_ref().and_then(|scope| speaking_query(services, |service| service.signing_name == scope.service));
    let fields = query_fields(head, body).map_err(|fault| Refusal::query(signed, fault))?;
    let refuse = |fault| Refusal::query(signed, fault);
    let action = single(&fields, "Action").map_err(refuse)?.ok_or_else(|| refuse(Fault::missing_action()))?;
    let version = single(&fields, "Version").map_err(refuse)?;
    let serves = |service: &ServiceDef| Some(service.api_version) == version && service.operation(action).is_some();
    let service = signed.filter(|service| serves(service)).or_else(|| match signed {
        Some(_) => None,
        None => speaking_query(services, serves),
    });
    let found = service.and_then(|service| Some((service, service.operation(action)?, query_kind(service)?)));
    let (service, operation, kind) = found.ok_or_else(|| refuse(Fault::invalid_action(action, version)))?;
    Ok(Call { service, operation, protocol: codec(kind) })
}

/// The fields that name the operation. A body is a form only if it says so; an `Action` in the query besides a form's is
/// refused, because two parties could read the request differently.
fn query_fields(head: &Parts, body: &[u8]) -> Result<Vec<(String, String)>, Fault> {
    let form = media_type(&head.headers).eq_ignore_ascii_case("application/x-www-form-urlencoded");
    if !body.is_empty() && !form {
        return Err(Fault::missing_action());
    }
    let fields = form::fields(head, body)?;
    let query = form::parse(head.uri.query().unwrap_or_default().as_bytes())?;
    let doubled = !body.is_empty() && query.iter().any(|(name, _)| name == "Action" || name == "Version");
    if doubled {
        return Err(Fault::common("InvalidAction", 400, "Action and Version must be given once"));
    }
    Ok(fields)
}

fn single<'a>(fields: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Fault::common("InvalidAction", 400, format!("{name} must be given once"))),
    }
}

fn speaking_query(
    services: &[&'static ServiceDef],
    wanted: impl Fn(&ServiceDef) -> bool,
) -> Option<&'static ServiceDef> {
    services.iter().copied().find(|service| query_kind(service).is_some() && wanted(service))
}

fn query_kind(service: &ServiceDef) -> Option<ProtocolKind> {
    let forms = [ProtocolKind::AwsQuery, ProtocolKind::Ec2Query];
    service.protocols.iter().copied().find(|kind| forms.contains(kind))
}
