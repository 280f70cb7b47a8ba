//! Log groups: made, deleted, described.

use longshore_api::logs::{
    CreateLogGroupRequest, DeleteLogGroupRequest, DescribeLogGroupsRequest, DescribeLogGroupsResponse, LogGroup,
    LogGroupClass,
};
use longshore_model::setting::{self, log_group_key};
use longshore_model::{Change, TableName};
use longshore_wire::Fault;

use super::{Done, fault, resolve, tag, token};
use crate::Context;

/// Groups on a page, unless the request asks for fewer.
const PAGE: usize = 50;

/// # Errors
/// `ResourceAlreadyExistsException`; `InvalidParameterException` for a reserved name, tags that may not be, or a KMS key
/// (there are none yet).
pub fn create(context: &mut Context<'_>, request: CreateLogGroupRequest) -> Result<Done, Fault> {
    let name = request.log_group_name.unwrap_or_default();
    if name.to_ascii_lowercase().starts_with("aws/") {
        return Err(fault::invalid_parameter("Log groups starting with AWS/ are reserved for AWS."));
    }
    if request.kms_key_id.is_some() {
        let arn = context.place.log_group(&name);
        return Err(fault::invalid_parameter(format!(
            "The specified KMS Key Id does not exist or is not allowed to be used with LogGroup '{arn}'."
        )));
    }
    let tags = request.tags.unwrap_or_default();
    tag::check(&tags)?;
    let (account, now) = (context.account().clone(), context.now);
    context.transact(|state, changes, mint| {
        if state.log_groups.contains(&log_group_key(&account, &name)) {
            return Err(fault::group_exists());
        }
        let group = setting::LogGroup {
            account: account.to_string(),
            name,
            uid: mint.hex32(),
            created_at: now,
            retention_days: None,
            kms_key: None,
            class: request.log_group_class.map(|class| class.to_string()),
            deletion_protected: request.deletion_protection_enabled.unwrap_or_default(),
            tags,
        };
        changes.push(group.into());
        Ok(Done)
    })
}

/// # Errors
/// `ResourceNotFoundException`; `ValidationException` for a group protected from deletion.
pub fn delete(context: &mut Context<'_>, request: DeleteLogGroupRequest) -> Result<Done, Fault> {
    let name = request.log_group_name.unwrap_or_default();
    let place = context.place.clone();
    context.transact(|state, changes, _| {
        let group = resolve::in_state(state, &place, &name)?;
        if group.deletion_protected {
            return Err(fault::validation("The log group is protected from deletion."));
        }
        changes.push(Change::Delete(TableName::LogGroup, log_group_key(&place.account, &name)));
        Ok(Done)
    })
}

/// # Errors
/// `InvalidParameterException` for filters that exclude each other, or a token that is not one.
pub fn describe(
    context: &mut Context<'_>,
    request: DescribeLogGroupsRequest,
) -> Result<DescribeLogGroupsResponse, Fault> {
    let choice = Choice::of(context, &request)?;
    let scope = token::Scope { operation: "DescribeLogGroups", about: &choice.text() };
    let after = token::open_name(context, scope, request.next_token.as_deref())?;
    let limit = request.limit.map_or(PAGE, |limit| limit.clamp(1, PAGE as i32) as usize);
    let account = context.account().clone();
    let key = |name: &str| log_group_key(&account, name);
    let mut groups: Vec<_> = {
        let state = context.read();
        let prefix = key(choice.prefix.as_deref().unwrap_or(""));
        let after = after.as_deref().map(key);
        let rows = state.log_groups.scan_after(&prefix, after.as_deref());
        let chosen = rows.map(|(_, group)| group).filter(|group| choice.takes(group));
        chosen.take(limit + 1).cloned().collect()
    };
    let more = groups.len() > limit;
    groups.truncate(limit);
    let last = groups.last().filter(|_| more);
    let next_token = last.map(|last| token::name(context, scope, &last.name));
    let describe = |group: &_| match choice.pattern {
        Some(_) => Ok(outline(context, group)),
        None => full(context, group),
    };
    let log_groups = groups.iter().map(|group| describe(group)).collect::<Result<_, _>>()?;
    Ok(DescribeLogGroupsResponse { log_groups: Some(log_groups), next_token })
}

/// Which groups a request asks for.
struct Choice {
    prefix: Option<String>,
    pattern: Option<String>,
    names: Option<Vec<String>>,
    class: Option<LogGroupClass>,
}

impl Choice {
    fn of(context: &Context<'_>, request: &DescribeLogGroupsRequest) -> Result<Self, Fault> {
        let (prefix, pattern) = (&request.log_group_name_prefix, &request.log_group_name_pattern);
        if prefix.is_some() && pattern.is_some() {
            return Err(fault::invalid_parameter(
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
            ));
        }
        let identifiers = request.log_group_identifiers.as_deref();
        if identifiers.is_some() && (prefix.is_some() || pattern.is_some() || request.log_group_class.is_some()) {
            return Err(fault::invalid_parameter("LogGroup identifiers cannot be combined with other filters."));
        }
        let name = |identifier: &String| resolve::from_identifier(&context.place, identifier);
        let names = identifiers.map(|identifiers| identifiers.iter().map(name).collect::<Result<_, _>>());
        Ok(Self {
            prefix: prefix.clone(),
            pattern: pattern.clone(),
            names: names.transpose()?,
            class: request.log_group_class,
        })
    }

    /// What a page token is good for.
    fn text(&self) -> String {
        format!("{:?} {:?} {:?} {:?}", self.prefix, self.pattern, self.names, self.class)
    }

    fn takes(&self, group: &setting::LogGroup) -> bool {
        let named = self.names.as_ref().is_none_or(|names| names.contains(&group.name));
        let pattern = self.pattern.as_ref().is_none_or(|part| group.name.contains(part));
        let class = self.class.is_none_or(|wanted| is_of(class(group), wanted));
        named && pattern && class
    }
}

/// Asking for one of the two cheap classes means both.
fn is_of(class: LogGroupClass, wanted: LogGroupClass) -> bool {
    let cheap = [LogGroupClass::InfrequentAccess, LogGroupClass::Essentials];
    class == wanted || (cheap.contains(&class) && cheap.contains(&wanted))
}

fn class(group: &setting::LogGroup) -> LogGroupClass {
    let class = group.class.as_deref().and_then(|class| class.parse().ok());
    class.unwrap_or(LogGroupClass::Standard)
}

/// What an answer to a search by pattern has.
fn outline(context: &Context<'_>, group: &setting::LogGroup) -> LogGroup {
    LogGroup {
        log_group_name: Some(group.name.clone()),
        arn: Some(format!("{}:*", context.place.log_group(&group.name))),
        creation_time: Some(group.created_at.millis()),
        ..LogGroup::default()
    }
}

fn full(context: &Context<'_>, group: &setting::LogGroup) -> Result<LogGroup, Fault> {
    let stored_bytes = context.logs.stored_bytes(&group.uid).map_err(fault::of_store)?;
    Ok(LogGroup {
        log_group_arn: Some(context.place.log_group(&group.name)),
        retention_in_days: group.retention_days,
        metric_filter_count: Some(0),
        stored_bytes: Some(stored_bytes),
        kms_key_id: group.kms_key.clone(),
        log_group_class: Some(class(group)),
        deletion_protection_enabled: Some(group.deletion_protected),
        ..outline(context, group)
    })
}
