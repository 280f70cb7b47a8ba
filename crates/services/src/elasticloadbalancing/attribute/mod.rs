//! Attributes of load balancers, target groups and listeners. A record holds those that were set.

mod table;

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{Listener, LoadBalancer, Map, TargetGroup};
use longshore_wire::Fault;

use super::{fault, resolve};
use crate::Context;
use table::{Attribute, Form, Kind};

/// What has attributes: its table, its kind, and what both are called in faults.
struct Bearer<'a> {
    table: &'static [Attribute],
    kind: Kind,
    /// `Load balancer`
    called: &'static str,
    values: &'a Map,
    /// Whose protocol and targets say what [`table::PRESERVE`] and [`table::TERMINATION`] are at first.
    group: Option<&'a TargetGroup>,
}

fn kind(application: bool) -> Kind {
    if application { Kind::Application } else { Kind::Network }
}

fn of_balancer(row: &LoadBalancer) -> Bearer<'_> {
    let kind = kind(row.is_application());
    Bearer { table: table::BALANCER, kind, called: "Load balancer", values: &row.attributes, group: None }
}

fn of_group(row: &TargetGroup) -> Bearer<'_> {
    let kind = kind(row.is_http());
    Bearer { table: table::GROUP, kind, called: "Target group", values: &row.attributes, group: Some(row) }
}

fn of_listener(row: &Listener) -> Bearer<'_> {
    let kind = kind(matches!(row.protocol, api::ProtocolEnum::Http | api::ProtocolEnum::Https));
    Bearer { table: table::LISTENER, kind, called: "Listener", values: &row.attributes, group: None }
}

impl Bearer<'_> {
    /// The attributes that it has.
    fn table(&self) -> impl Iterator<Item = &'static Attribute> {
        let kind = self.kind;
        self.table.iter().filter(move |one| one.kind == kind || one.kind == Kind::Both)
    }

    fn value<'b>(&'b self, values: &'b Map, attribute: &Attribute) -> &'b str {
        let flag = |is: bool| if is { "true" } else { "false" };
        let usual = match (attribute.key, self.group) {
            (table::PRESERVE, Some(group)) => flag(group.preserves_client()),
            (table::TERMINATION, Some(group)) => flag(group.has_datagrams()),
            _ => attribute.usual,
        };
        values.get(attribute.key).map_or(usual, String::as_str)
    }

    /// All, with their values.
    fn all(&self, values: &Map) -> Vec<(String, String)> {
        self.table().map(|one| (one.key.to_owned(), self.value(values, one).to_owned())).collect()
    }

    /// The values with `asked` over them.
    ///
    /// # Errors
    /// `ValidationError` for a key that it has not, or twice, and for a value that is none of the attribute's;
    /// `UnsupportedOperationException` for a value that nothing would act on.
    fn changed(&self, asked: Vec<(Option<String>, Option<String>)>) -> Result<Map, Fault> {
        let mut values = self.values.clone();
        let mut seen = Vec::with_capacity(asked.len());
        for (key, value) in asked {
            let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
            let attribute = self.known(&key)?;
            if seen.contains(&attribute.key) {
                return Err(fault::invalid(format!("{} attribute key '{key}' is specified twice", self.called)));
            }
            check(self.called, attribute, &value)?;
            self.check_built(attribute, &value)?;
            seen.push(attribute.key);
            values.insert(key, value);
        }
        Ok(values)
    }

    /// Whether a value is the one at first, or something acts on it. No datagram begins with the proxy protocol.
    fn check_built(&self, attribute: &Attribute, value: &str) -> Result<(), Fault> {
        let has_datagrams = self.group.is_some_and(TargetGroup::has_datagrams);
        let is_built = attribute.is_built && !(attribute.key == table::PROXY && has_datagrams);
        match is_built || value == attribute.usual {
            true => Ok(()),
            false => Err(fault::not_built(&format!("'{}' other than '{}'", attribute.key, attribute.usual))),
        }
    }

    fn known(&self, key: &str) -> Result<&'static Attribute, Fault> {
        let called = self.called;
        let message = match self.table.iter().any(|one| one.key == key) {
            true => format!("{called} attribute key '{key}' is not supported for this {}", called.to_lowercase()),
            false => format!("{called} attribute key '{key:.256}' is not recognized"),
        };
        self.table().find(|one| one.key == key).ok_or_else(|| fault::invalid(message))
    }
}

/// Whether an attribute may have a value.
fn check(called: &str, attribute: &Attribute, value: &str) -> Result<(), Fault> {
    let number = || value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse::<i64>().ok()).flatten();
    let within = |least, most| number().is_some_and(|number| (least..=most).contains(&number));
    let (good, wanted) = match attribute.form {
        Form::Flag => (["true", "false"].contains(&value), "'true' or 'false'".to_owned()),
        Form::Number(least, most) => (within(least, most), format!("a number from {least} to {most}")),
        Form::NumberOr(least, most, word) => {
            (value == word || within(least, most), format!("'{word}' or a number from {least} to {most}"))
        }
        Form::OneOf(words) => (words.contains(&value), format!("one of '{}'", words.join("', '"))),
        Form::Text(most) => {
            let good = value.chars().count() <= most && !value.chars().any(char::is_control);
            (good, format!("a text of at most {most} characters"))
        }
    };
    let message = format!("{called} attribute '{}' must be {wanted}: '{value:.100}' is not", attribute.key);
    if good { Ok(()) } else { Err(fault::invalid(message)) }
}

/// How long a target of the group drains, in seconds.
pub fn deregistration_delay(group: &TargetGroup) -> i64 {
    number(&of_group(group), table::DELAY)
}

fn number(bearer: &Bearer<'_>, key: &str) -> i64 {
    let attribute = bearer.table().find(|one| one.key == key);
    attribute.and_then(|one| bearer.value(bearer.values, one).parse().ok()).unwrap_or(0)
}

/// What attributes of a balancer say together.
fn balancer_sound(values: &Map) -> Result<(), Fault> {
    let text = |key: &str| values.get(key).map(String::as_str).unwrap_or_default();
    let (enabled, bucket) = (table::ACCESS_LOGS, table::ACCESS_BUCKET);
    if text(enabled) == "true" && text(bucket).is_empty() {
        return Err(fault::configuration(format!("'{bucket}' must be set where '{enabled}' is 'true'")));
    }
    let buckets = [table::ACCESS_BUCKET, table::CONNECTION_BUCKET].map(text);
    if let Some(bucket) = buckets.iter().find(|bucket| !bucket.is_empty() && !is_bucket(bucket)) {
        return Err(fault::configuration(format!("The name of the bucket is not valid: '{bucket}'")));
    }
    let prefixes = [table::ACCESS_PREFIX, table::CONNECTION_PREFIX].map(text);
    match prefixes.iter().find(|prefix| !prefix.is_empty() && !is_prefix(prefix)) {
        Some(prefix) => Err(fault::configuration(format!("The prefix is not valid: '{prefix}'"))),
        None => Ok(()),
    }
}

/// By S3's rules for names.
fn is_bucket(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || b".-".contains(&byte))
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.ends_with(|last: char| last.is_ascii_alphanumeric())
        && !name.contains("..")
}

/// Whether its parts may be names of directories: logs are files here. AWS adds `AWSLogs` itself, and refuses it.
fn is_prefix(prefix: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
    let part = |part: &str| part.len() <= 255 && !part.starts_with('.') && part.bytes().all(plain);
    !prefix.contains("AWSLogs") && prefix.trim_matches('/').split('/').all(|name| !name.is_empty() && part(name))
}

/// What attributes of a group say together.
fn group_sound(group: &TargetGroup, values: &Map) -> Result<(), Fault> {
    let text = |key: &str| values.get(key).map(String::as_str).unwrap_or_default();
    let (algorithm, slow) = (text(table::ALGORITHM), text(table::SLOW_START));
    let slow: i64 = slow.parse().unwrap_or(0);
    if (1..30).contains(&slow) {
        return Err(fault::invalid(format!("'{}' must be 0 or a number from 30 to 900", table::SLOW_START)));
    }
    let plain = algorithm.is_empty() || algorithm == "round_robin";
    if slow > 0 && !plain {
        return Err(fault::configuration(format!("Slow start is not supported with the algorithm '{algorithm}'")));
    }
    if text(table::ANOMALY) == "on" && algorithm != "weighted_random" {
        return Err(fault::configuration("Anomaly mitigation is only supported with the algorithm 'weighted_random'"));
    }
    let by_cookie = text(table::STICKINESS) == "true" && text(table::STICKINESS_TYPE) == "app_cookie";
    if by_cookie && text(table::COOKIE).is_empty() {
        return Err(fault::configuration(format!("'{}' must be set for stickiness by it", table::COOKIE)));
    }
    if ["AWSALB", "AWSALBAPP", "AWSALBTG"].contains(&text(table::COOKIE)) {
        return Err(fault::configuration(format!("The cookie name '{}' is reserved", text(table::COOKIE))));
    }
    if group.has_datagrams() && text(table::PRESERVE) == "false" {
        let why = "cannot be false if the target group protocol is UDP or TCP_UDP";
        return Err(fault::configuration(format!("{} {why}", table::PRESERVE)));
    }
    Ok(())
}

/// Whoever comes by another zone would lose the target that their cookie names.
fn zones_sound(row: &TargetGroup, values: &Map) -> Result<(), Fault> {
    let is = |key: &str, value: &str| values.get(key).is_some_and(|is| is == value);
    match row.is_http() && is(table::CROSS_ZONE, "false") && is(table::STICKINESS, "true") {
        true => Err(fault::configuration("Stickiness is not supported when cross-zone load balancing is off")),
        false => Ok(()),
    }
}

/// # Errors
/// `LoadBalancerNotFound`
pub fn describe_balancer(
    context: &mut Context<'_>,
    request: api::DescribeLoadBalancerAttributesInput,
) -> Result<api::DescribeLoadBalancerAttributesOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.load_balancer_arn.unwrap_or_default());
    let row = resolve::balancer(&context.read(), &place, &arn)?;
    let attributes = balancer_shown(&of_balancer(&row), &row.attributes);
    Ok(api::DescribeLoadBalancerAttributesOutput { attributes: Some(attributes) })
}

/// # Errors
/// `LoadBalancerNotFound`, `ValidationError`, `InvalidConfigurationRequest`, `UnsupportedOperationException`.
pub fn modify_balancer(
    context: &mut Context<'_>,
    request: api::ModifyLoadBalancerAttributesInput,
) -> Result<api::ModifyLoadBalancerAttributesOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.load_balancer_arn.unwrap_or_default());
    let asked = request.attributes.unwrap_or_default().into_iter().map(|one| (one.key, one.value)).collect();
    let attributes = context.transact(|state, changes, _| {
        let mut row = LoadBalancer::clone(&*resolve::balancer(state, &place, &arn)?);
        let values = of_balancer(&row).changed(asked)?;
        balancer_sound(&values)?;
        let shown = balancer_shown(&of_balancer(&row), &values);
        row.attributes = values;
        changes.push(row.into());
        Ok::<_, Fault>(shown)
    })?;
    Ok(api::ModifyLoadBalancerAttributesOutput { attributes: Some(attributes) })
}

fn balancer_shown(bearer: &Bearer<'_>, values: &Map) -> Vec<api::LoadBalancerAttribute> {
    let shown = |(key, value)| api::LoadBalancerAttribute { key: Some(key), value: Some(value) };
    bearer.all(values).into_iter().map(shown).collect()
}

/// # Errors
/// `TargetGroupNotFound`
pub fn describe_group(
    context: &mut Context<'_>,
    request: api::DescribeTargetGroupAttributesInput,
) -> Result<api::DescribeTargetGroupAttributesOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.target_group_arn.unwrap_or_default());
    let row = resolve::group(&context.read(), &place, &arn)?;
    let attributes = group_shown(&of_group(&row), &row.attributes);
    Ok(api::DescribeTargetGroupAttributesOutput { attributes: Some(attributes) })
}

/// # Errors
/// `TargetGroupNotFound`, `ValidationError`, `InvalidConfigurationRequest`, `UnsupportedOperationException`.
pub fn modify_group(
    context: &mut Context<'_>,
    request: api::ModifyTargetGroupAttributesInput,
) -> Result<api::ModifyTargetGroupAttributesOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.target_group_arn.unwrap_or_default());
    let asked = request.attributes.unwrap_or_default().into_iter().map(|one| (one.key, one.value)).collect();
    let attributes = context.transact(|state, changes, _| {
        let mut row = TargetGroup::clone(&*resolve::group(state, &place, &arn)?);
        let values = of_group(&row).changed(asked)?;
        group_sound(&row, &values)?;
        zones_sound(&row, &values)?;
        let shown = group_shown(&of_group(&row), &values);
        row.attributes = values;
        changes.push(row.into());
        Ok::<_, Fault>(shown)
    })?;
    Ok(api::ModifyTargetGroupAttributesOutput { attributes: Some(attributes) })
}

fn group_shown(bearer: &Bearer<'_>, values: &Map) -> Vec<api::TargetGroupAttribute> {
    let shown = |(key, value)| api::TargetGroupAttribute { key: Some(key), value: Some(value) };
    bearer.all(values).into_iter().map(shown).collect()
}

/// # Errors
/// `ListenerNotFound`
pub fn describe_listener(
    context: &mut Context<'_>,
    request: api::DescribeListenerAttributesInput,
) -> Result<api::DescribeListenerAttributesOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.listener_arn.unwrap_or_default());
    let (_, row) = resolve::listener(&context.read(), &place, &arn)?;
    let attributes = listener_shown(&of_listener(&row), &row.attributes);
    Ok(api::DescribeListenerAttributesOutput { attributes: Some(attributes) })
}

/// # Errors
/// `ListenerNotFound`, `ValidationError`, `UnsupportedOperationException`.
pub fn modify_listener(
    context: &mut Context<'_>,
    request: api::ModifyListenerAttributesInput,
) -> Result<api::ModifyListenerAttributesOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.listener_arn.unwrap_or_default());
    let asked = request.attributes.unwrap_or_default().into_iter().map(|one| (one.key, one.value)).collect();
    let attributes = context.transact(|state, changes, _| {
        let mut row = Listener::clone(&*resolve::listener(state, &place, &arn)?.1);
        let values = of_listener(&row).changed(asked)?;
        let shown = listener_shown(&of_listener(&row), &values);
        row.attributes = values;
        changes.push(row.into());
        Ok::<_, Fault>(shown)
    })?;
    Ok(api::ModifyListenerAttributesOutput { attributes: Some(attributes) })
}

fn listener_shown(bearer: &Bearer<'_>, values: &Map) -> Vec<api::ListenerAttribute> {
    let shown = |(key, value)| api::ListenerAttribute { key: Some(key), value: Some(value) };
    bearer.all(values).into_iter().map(shown).collect()
}
