//! The faults CloudTrail answers with.

use longshore_api::cloudtrail::fault as def;
use longshore_wire::Fault;

use crate::fault::faults;

faults! {
    lookup_attributes INVALID_LOOKUP_ATTRIBUTES_EXCEPTION "InvalidLookupAttributesException";
    trail_name INVALID_TRAIL_NAME_EXCEPTION "InvalidTrailNameException";
    log_group INVALID_CLOUD_WATCH_LOGS_LOG_GROUP_ARN_EXCEPTION "InvalidCloudWatchLogsLogGroupArnException";
    log_role INVALID_CLOUD_WATCH_LOGS_ROLE_ARN_EXCEPTION "InvalidCloudWatchLogsRoleArnException";
    selectors INVALID_EVENT_SELECTORS_EXCEPTION "InvalidEventSelectorsException";
    tag INVALID_TAG_PARAMETER_EXCEPTION "InvalidTagParameterException";
}

/// `InvalidTimeRangeException`
pub fn time_range() -> Fault {
    Fault::new(&def::INVALID_TIME_RANGE_EXCEPTION, "The start time must not be after the end time.")
}

/// `InvalidNextTokenException`
pub fn next_token() -> Fault {
    Fault::new(&def::INVALID_NEXT_TOKEN_EXCEPTION, "Invalid token: it is not one of this request's.")
}

/// `ThrottlingException`
pub fn busy() -> Fault {
    Fault::common("ThrottlingException", 400, "Rate exceeded")
}

/// What the audit log cannot do.
pub fn of_store(error: &longshore_store::Error) -> Fault {
    tracing::error!(error = error as &dyn std::error::Error, "the audit log was not read");
    Fault::internal()
}

/// `TrailNotFoundException`
pub fn trail_not_found(name: &str, account: &str) -> Fault {
    Fault::new(&def::TRAIL_NOT_FOUND_EXCEPTION, format!("Unknown trail: {name} for the user: {account}"))
}

/// `TrailAlreadyExistsException`
pub fn trail_exists(name: &str, account: &str) -> Fault {
    let message = format!("Trail {name} already exists for customer: {account}");
    Fault::new(&def::TRAIL_ALREADY_EXISTS_EXCEPTION, message)
}

/// `MaximumNumberOfTrailsExceededException`
pub fn too_many_trails(most: usize) -> Fault {
    let message = format!("The account has the maximum number of trails in the region: {most}");
    Fault::new(&def::MAXIMUM_NUMBER_OF_TRAILS_EXCEEDED_EXCEPTION, message)
}

/// `CloudTrailARNInvalidException`
pub fn trail_arn() -> Fault {
    Fault::new(&def::CLOUD_TRAIL_ARN_INVALID_EXCEPTION, "This is not the ARN of a trail of this account and region.")
}

/// `InvalidS3BucketNameException`
pub fn bucket() -> Fault {
    let message = "The bucket's name must be 3 to 63 small letters, digits, periods and hyphens, and no address.";
    Fault::new(&def::INVALID_S3_BUCKET_NAME_EXCEPTION, message)
}

/// `InvalidS3PrefixException`
pub fn prefix() -> Fault {
    let message = "The prefix must be at most 200 characters: parts of letters, digits and !-_.*'() between slashes.";
    Fault::new(&def::INVALID_S3_PREFIX_EXCEPTION, message)
}

/// `UnsupportedOperationException`: a feature that is left out.
pub fn unsupported(feature: &str) -> Fault {
    let message = format!("Longshore's trails have no {feature}");
    Fault::new(&def::UNSUPPORTED_OPERATION_EXCEPTION, message)
}

/// `ResourceNotFoundException`
pub fn resource_not_found() -> Fault {
    Fault::new(&def::RESOURCE_NOT_FOUND_EXCEPTION, "There is no such trail.")
}

/// `TagsLimitExceededException`
pub fn too_many_tags(most: usize) -> Fault {
    Fault::new(&def::TAGS_LIMIT_EXCEEDED_EXCEPTION, format!("A trail may have at most {most} tags."))
}
