//! The faults ACM answers with.

use longshore_api::acm::fault as def;

use crate::fault::faults;
pub use crate::fault::not_built;

faults! {
    validation VALIDATION_EXCEPTION "ValidationException";
    not_found RESOURCE_NOT_FOUND_EXCEPTION "ResourceNotFoundException";
    in_use RESOURCE_IN_USE_EXCEPTION "ResourceInUseException";
    limit LIMIT_EXCEEDED_EXCEPTION "LimitExceededException";
    parameter INVALID_PARAMETER_EXCEPTION "InvalidParameterException";
    domains INVALID_DOMAIN_VALIDATION_OPTIONS_EXCEPTION "InvalidDomainValidationOptionsException";
    tag INVALID_TAG_EXCEPTION "InvalidTagException";
    too_many_tags TOO_MANY_TAGS_EXCEPTION "TooManyTagsException";
}
