//! Trails: made, changed, deleted, described, switched on and off.

use std::collections::BTreeMap;

use longshore_api::cloudtrail as api;
use longshore_model::trail::{Delivery, Selector, Trail, key};
use longshore_model::{Change, Place, State, TableName};
use longshore_wire::{Fault, Timestamp, TimestampFormat};

use super::{destination, fault, name, tag};
use crate::Context;

/// Trails that an account may have.
const MOST: usize = 5;

/// The trail is made, and does not log before StartLogging.
///
/// # Errors
/// `TrailAlreadyExistsException`, `MaximumNumberOfTrailsExceededException`, and those of what it is given.
pub fn create(context: &mut Context<'_>, request: api::CreateTrailRequest) -> Result<api::CreateTrailResponse, Fault> {
    let given = Given {
        bucket: request.s3_bucket_name,
        prefix: request.s3_key_prefix,
        global_events: request.include_global_service_events,
        multi_region: request.is_multi_region_trail,
        log_group: request.cloud_watch_logs_log_group_arn,
        log_role: request.cloud_watch_logs_role_arn,
        topic: request.sns_topic_name,
        kms_key: request.kms_key_id,
        validation: request.enable_log_file_validation,
        organization: request.is_organization_trail,
        recursive: request.recursive_logging,
    };
    let trail_name = request.name.unwrap_or_default();
    name::check_trail(&trail_name)?;
    given.check()?;
    let mut tags = BTreeMap::new();
    tag::add(&mut tags, request.tags_list.unwrap_or_default())?;
    let (place, now) = (context.place.clone(), context.now);
    let trail = context.transact(|state, changes, _| {
        let account = place.account.to_string();
        if state.trails.contains(&key(&place.account, &trail_name)) {
            return Err(fault::trail_exists(&trail_name, &account));
        }
        if state.trails.scan(&key(&place.account, "")).count() >= MOST {
            return Err(fault::too_many_trails(MOST));
        }
        let mut trail = fresh(account, trail_name, tags, now);
        given.apply(state, &place, &mut trail)?;
        changes.push(trail.clone().into());
        Ok(trail)
    })?;
    let shown = shape(&context.place, &trail);
    Ok(api::CreateTrailResponse {
        name: shown.name,
        s3_bucket_name: shown.s3_bucket_name,
        s3_key_prefix: shown.s3_key_prefix,
        include_global_service_events: shown.include_global_service_events,
        is_multi_region_trail: shown.is_multi_region_trail,
        trail_arn: shown.trail_arn,
        log_file_validation_enabled: shown.log_file_validation_enabled,
        cloud_watch_logs_log_group_arn: shown.cloud_watch_logs_log_group_arn,
        cloud_watch_logs_role_arn: shown.cloud_watch_logs_role_arn,
        is_organization_trail: shown.is_organization_trail,
        ..api::CreateTrailResponse::default()
    })
}

fn fresh(account: String, name: String, tags: BTreeMap<String, String>, now: Timestamp) -> Trail {
    Trail {
        account,
        name,
        created_at: now,
        bucket: String::new(),
        prefix: None,
        log_group: None,
        log_role: None,
        global_events: true,
        multi_region: false,
        tags,
        selectors: fresh_selectors(),
        logging: false,
        started_at: None,
        stopped_at: None,
        position: 0,
        log_position: 0,
        files: None,
        logs: None,
    }
}

/// What a request sets.
struct Given {
    bucket: Option<String>,
    prefix: Option<String>,
    global_events: Option<bool>,
    multi_region: Option<bool>,
    log_group: Option<String>,
    log_role: Option<String>,
    topic: Option<String>,
    kms_key: Option<String>,
    validation: Option<bool>,
    organization: Option<bool>,
    recursive: Option<bool>,
}

impl Given {
    /// What needs no state.
    fn check(&self) -> Result<(), Fault> {
        let is_given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        for (asked, feature) in [
            (is_given(&self.topic), "notifications by SNS"),
            (is_given(&self.kms_key), "encryption of files by KMS"),
            (self.validation == Some(true), "digest files; the log itself is a chain: `longshore audit verify`"),
            (self.organization == Some(true), "organizations"),
            (self.recursive == Some(false), "recursive logging: deliveries are not logged"),
        ] {
            if asked {
                return Err(fault::unsupported(feature));
            }
        }
        self.bucket.as_deref().map_or(Ok(()), name::check_bucket)?;
        self.prefix.as_deref().filter(|prefix| !prefix.is_empty()).map_or(Ok(()), name::check_prefix)
    }

    /// Sets it on a trail. An empty text takes away what was set.
    fn apply(&self, state: &State, place: &Place, trail: &mut Trail) -> Result<(), Fault> {
        let text = |to: &mut Option<String>, from: &Option<String>| {
            if let Some(from) = from {
                *to = Some(from.clone()).filter(|from| !from.is_empty());
            }
        };
        trail.bucket = self.bucket.clone().unwrap_or(std::mem::take(&mut trail.bucket));
        text(&mut trail.prefix, &self.prefix);
        trail.global_events = self.global_events.unwrap_or(trail.global_events);
        trail.multi_region = self.multi_region.unwrap_or(trail.multi_region);
        if self.log_group.is_none() && self.log_role.is_none() {
            return Ok(());
        }
        if trail.log_group.is_none() {
            trail.log_position = trail.position;
        }
        text(&mut trail.log_group, &self.log_group);
        text(&mut trail.log_role, &self.log_role);
        match (&trail.log_group, &trail.log_role) {
            (None, None) => Ok(()),
            (Some(group), Some(role)) => destination::check(state, place, group, role).map(|_| ()),
            (None, Some(_)) => Err(fault::log_group("A role to write to a log group needs the log group.")),
            (Some(_), None) => Err(fault::log_role("A log group needs a role to write to it.")),
        }
    }
}

/// # Errors
/// `TrailNotFoundException`, and those of what it is given.
pub fn update(context: &mut Context<'_>, request: api::UpdateTrailRequest) -> Result<api::UpdateTrailResponse, Fault> {
    let given = Given {
        bucket: request.s3_bucket_name,
        prefix: request.s3_key_prefix,
        global_events: request.include_global_service_events,
        multi_region: request.is_multi_region_trail,
        log_group: request.cloud_watch_logs_log_group_arn,
        log_role: request.cloud_watch_logs_role_arn,
        topic: request.sns_topic_name,
        kms_key: request.kms_key_id,
        validation: request.enable_log_file_validation,
        organization: request.is_organization_trail,
        recursive: request.recursive_logging,
    };
    given.check()?;
    let place = context.place.clone();
    let trail = change(context, request.name, |state, trail| given.apply(state, &place, trail))?;
    let shown = shape(&context.place, &trail);
    Ok(api::UpdateTrailResponse {
        name: shown.name,
        s3_bucket_name: shown.s3_bucket_name,
        s3_key_prefix: shown.s3_key_prefix,
        include_global_service_events: shown.include_global_service_events,
        is_multi_region_trail: shown.is_multi_region_trail,
        trail_arn: shown.trail_arn,
        log_file_validation_enabled: shown.log_file_validation_enabled,
        cloud_watch_logs_log_group_arn: shown.cloud_watch_logs_log_group_arn,
        cloud_watch_logs_role_arn: shown.cloud_watch_logs_role_arn,
        is_organization_trail: shown.is_organization_trail,
        ..api::UpdateTrailResponse::default()
    })
}

/// Changes the trail of a name or an ARN.
///
/// # Errors
/// `TrailNotFoundException`, and those of the change.
pub(super) fn change(
    context: &mut Context<'_>,
    given: Option<String>,
    change: impl FnOnce(&State, &mut Trail) -> Result<(), Fault>,
) -> Result<Trail, Fault> {
    let place = context.place.clone();
    context.transact(|state, changes, _| {
        let mut trail = name::find(state, &place, &given.unwrap_or_default())?.as_ref().clone();
        change(state, &mut trail)?;
        changes.push(trail.clone().into());
        Ok(trail)
    })
}

/// What was delivered stays.
///
/// # Errors
/// `TrailNotFoundException`
pub fn delete(context: &mut Context<'_>, request: api::DeleteTrailRequest) -> Result<api::DeleteTrailResponse, Fault> {
    let place = context.place.clone();
    context.transact(|state, changes, _| {
        let trail = name::find(state, &place, &request.name.unwrap_or_default())?;
        changes.push(Change::Delete(TableName::Trail, key(&place.account, &trail.name)));
        Ok(api::DeleteTrailResponse {})
    })
}

/// Trails that are named and not there are left out.
///
/// # Errors
/// `InvalidTrailNameException`, `CloudTrailARNInvalidException`
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeTrailsRequest,
) -> Result<api::DescribeTrailsResponse, Fault> {
    let place = context.place.clone();
    let wanted = request.trail_name_list.unwrap_or_default();
    let wanted = wanted.iter().map(|given| name::of_trail(&place, given)).collect::<Result<Vec<_>, _>>()?;
    let state = context.read();
    let prefix = key(&place.account, "");
    let all = state.trails.scan(&prefix).map(|(_, trail)| trail);
    let shown = all.filter(|trail| wanted.is_empty() || wanted.contains(&&*trail.name));
    Ok(api::DescribeTrailsResponse { trail_list: Some(shown.map(|trail| shape(&place, trail)).collect()) })
}

/// # Errors
/// `TrailNotFoundException`
pub fn get(context: &mut Context<'_>, request: api::GetTrailRequest) -> Result<api::GetTrailResponse, Fault> {
    let place = context.place.clone();
    let state = context.read();
    let trail = name::find(&state, &place, &request.name.unwrap_or_default())?;
    Ok(api::GetTrailResponse { trail: Some(shape(&place, trail)) })
}

/// All of them: an account has few.
///
/// # Errors
/// None.
pub fn list(context: &mut Context<'_>, _: api::ListTrailsRequest) -> Result<api::ListTrailsResponse, Fault> {
    let place = context.place.clone();
    let state = context.read();
    let info = |trail: &Trail| api::TrailInfo {
        trail_arn: Some(name::arn(&place, &trail.name)),
        name: Some(trail.name.clone()),
        home_region: Some(place.region.clone()),
    };
    let prefix = key(&place.account, "");
    let trails = state.trails.scan(&prefix).map(|(_, trail)| info(trail)).collect();
    Ok(api::ListTrailsResponse { trails: Some(trails), next_token: None })
}

fn shape(place: &Place, trail: &Trail) -> api::Trail {
    api::Trail {
        name: Some(trail.name.clone()),
        s3_bucket_name: Some(trail.bucket.clone()),
        s3_key_prefix: trail.prefix.clone(),
        include_global_service_events: Some(trail.global_events),
        is_multi_region_trail: Some(trail.multi_region),
        home_region: Some(place.region.clone()),
        trail_arn: Some(name::arn(place, &trail.name)),
        log_file_validation_enabled: Some(false),
        cloud_watch_logs_log_group_arn: trail.log_group.clone(),
        cloud_watch_logs_role_arn: trail.log_role.clone(),
        has_custom_event_selectors: Some(trail.selectors != fresh_selectors()),
        has_insight_selectors: Some(false),
        is_organization_trail: Some(false),
        ..api::Trail::default()
    }
}

/// All management events.
fn fresh_selectors() -> Vec<Selector> {
    vec![Selector { read_write: "All".to_owned(), management: true, excluded: Vec::new() }]
}

/// Calls from now on are delivered.
///
/// # Errors
/// `TrailNotFoundException`
pub fn start(context: &mut Context<'_>, request: api::StartLoggingRequest) -> Result<api::StartLoggingResponse, Fault> {
    let now = context.now;
    let newest = context.audit.map_or(0, longshore_store::audit::Audit::newest);
    change(context, request.name, |_, trail| {
        if !trail.logging {
            (trail.logging, trail.started_at) = (true, Some(now));
            trail.position = i64::try_from(newest).unwrap_or(i64::MAX);
            trail.log_position = trail.position;
        }
        Ok(())
    })?;
    Ok(api::StartLoggingResponse {})
}

/// What was called and not yet delivered is not delivered.
///
/// # Errors
/// `TrailNotFoundException`
pub fn stop(context: &mut Context<'_>, request: api::StopLoggingRequest) -> Result<api::StopLoggingResponse, Fault> {
    let now = context.now;
    change(context, request.name, |_, trail| {
        if trail.logging {
            (trail.logging, trail.stopped_at) = (false, Some(now));
        }
        Ok(())
    })?;
    Ok(api::StopLoggingResponse {})
}

/// # Errors
/// `TrailNotFoundException`
pub fn status(
    context: &mut Context<'_>,
    request: api::GetTrailStatusRequest,
) -> Result<api::GetTrailStatusResponse, Fault> {
    let place = context.place.clone();
    let state = context.read();
    let trail = name::find(&state, &place, &request.name.unwrap_or_default())?;
    let none = Delivery::default();
    let (files, logs) = (trail.files.as_ref().unwrap_or(&none), trail.logs.as_ref().unwrap_or(&none));
    let text = |time: Option<Timestamp>| time.map_or_else(String::new, |time| time.format(TimestampFormat::Iso8601));
    let succeeded = files.attempted_at.filter(|_| files.error.is_none());
    Ok(api::GetTrailStatusResponse {
        is_logging: Some(trail.logging),
        latest_delivery_error: files.error.clone(),
        latest_delivery_time: files.succeeded_at,
        start_logging_time: trail.started_at,
        stop_logging_time: trail.stopped_at,
        latest_cloud_watch_logs_delivery_error: logs.error.clone(),
        latest_cloud_watch_logs_delivery_time: logs.succeeded_at,
        latest_delivery_attempt_time: Some(text(files.attempted_at)),
        latest_delivery_attempt_succeeded: Some(text(succeeded)),
        latest_notification_attempt_time: Some(String::new()),
        latest_notification_attempt_succeeded: Some(String::new()),
        time_logging_started: Some(text(trail.started_at)),
        time_logging_stopped: Some(text(trail.stopped_at)),
        ..api::GetTrailStatusResponse::default()
    })
}
