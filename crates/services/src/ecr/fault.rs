//! The faults ECR answers with, in its words.

use longshore_api::ecr::fault as def;
use longshore_model::AccountId;
use longshore_model::registry::Image;
use longshore_store::blobs;
use longshore_wire::{Fault, FaultDef};

pub fn of(def: &'static FaultDef, message: impl Into<String>) -> Fault {
    Fault::new(def, message)
}

/// `InvalidParameterException`
pub fn parameter(name: &str, constraint: impl AsRef<str>) -> Fault {
    let constraint = constraint.as_ref();
    let message = format!("Invalid parameter at '{name}' failed to satisfy constraint: '{constraint}'");
    of(&def::INVALID_PARAMETER_EXCEPTION, message)
}

/// `InvalidParameterException`: what was pushed is no manifest that is taken.
pub fn manifest(constraint: impl AsRef<str>) -> Fault {
    parameter("ImageManifest", constraint)
}

/// `ValidationException`
pub fn validation(message: impl Into<String>) -> Fault {
    of(&def::VALIDATION_EXCEPTION, message)
}

/// `RepositoryNotFoundException`
pub fn no_repository(registry: &AccountId, name: &str) -> Fault {
    let message = format!("The repository with name '{name}' does not exist in the registry with id '{registry}'");
    of(&def::REPOSITORY_NOT_FOUND_EXCEPTION, message)
}

/// `ImageNotFoundException`; an image that nothing is known of but its tag or its digest.
pub fn no_image(registry: &AccountId, name: &str, digest: Option<&str>, tag: Option<&str>) -> Fault {
    let quoted = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), |text| format!("'{text}'"));
    let (digest, tag) = (quoted(digest), quoted(tag));
    let message = format!(
        "The image with imageId {{imageDigest:{digest}, imageTag:{tag}}} does not exist within the repository with name \
         '{name}' in the registry with id '{registry}'"
    );
    of(&def::IMAGE_NOT_FOUND_EXCEPTION, message)
}

/// Names of a list that are told; the others are counted.
const TOLD: usize = 10;

fn listed(digests: &[&str]) -> String {
    let told = digests.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
    match digests.len().saturating_sub(TOLD) {
        0 => told,
        more => format!("{told}, and {more} more"),
    }
}

/// `LayersNotFoundException`
pub fn no_layers(registry: &AccountId, name: &str, digests: &[&str]) -> Fault {
    let message = format!(
        "Layers with digests '[{}]' required for pushing image into repository with name '{name}' in the registry with id \
         '{registry}' do not exist",
        listed(digests)
    );
    of(&def::LAYERS_NOT_FOUND_EXCEPTION, message)
}

/// `LayersNotFoundException`, of a layer that is asked for.
pub fn no_layer(registry: &AccountId, name: &str, digest: &str) -> Fault {
    let message = format!(
        "The layer with digest '{digest}' does not exist in the repository with name '{name}' in the registry with id \
         '{registry}'"
    );
    of(&def::LAYERS_NOT_FOUND_EXCEPTION, message)
}

/// `ReferencedImagesNotFoundException`
pub fn no_images(registry: &AccountId, name: &str, digests: &[&str]) -> Fault {
    let message = format!(
        "Images with digests '[{}]' required for pushing image into repository with name '{name}' in the registry with id \
         '{registry}' do not exist",
        listed(digests)
    );
    of(&def::REFERENCED_IMAGES_NOT_FOUND_EXCEPTION, message)
}

/// `ImageTagAlreadyExistsException`
pub fn immutable(name: &str, tag: &str) -> Fault {
    let message = format!(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is \
         immutable."
    );
    of(&def::IMAGE_TAG_ALREADY_EXISTS_EXCEPTION, message)
}

/// `ImageAlreadyExistsException`
pub fn same_image(registry: &AccountId, name: &str, digest: &str, tag: Option<&str>) -> Fault {
    let tagged = tag.map_or_else(|| "no tag".to_owned(), |tag| format!("tag '{tag}'"));
    let message = format!(
        "Image with digest '{digest}' and {tagged} already exists in the repository with name '{name}' in registry with id \
         '{registry}'"
    );
    of(&def::IMAGE_ALREADY_EXISTS_EXCEPTION, message)
}

/// `ImageDigestDoesNotMatchException`
pub fn other_digest(given: &str, found: &str) -> Fault {
    let message = format!("The digest of the manifest is '{found}', not '{given}'");
    of(&def::IMAGE_DIGEST_DOES_NOT_MATCH_EXCEPTION, message)
}

/// `LimitExceededException`
pub fn limit(message: impl Into<String>) -> Fault {
    of(&def::LIMIT_EXCEEDED_EXCEPTION, message)
}

/// `UploadNotFoundException`
pub fn no_upload(registry: &AccountId, name: &str, id: &str) -> Fault {
    let message = format!(
        "The upload '{id}' could not be found, or it is not valid for the repository with name '{name}' in the registry \
         with id '{registry}'"
    );
    of(&def::UPLOAD_NOT_FOUND_EXCEPTION, message)
}

/// `ScanNotFoundException`
pub fn no_scan(registry: &AccountId, name: &str, digest: &str, tag: Option<&str>) -> Fault {
    let tag = tag.map_or_else(|| "null".to_owned(), |tag| format!("'{tag}'"));
    let message = format!(
        "Image scan does not exist for the image with '{{imageDigest:'{digest}', imageTag:{tag}}}' in the repository with \
         name '{name}' in the registry with id '{registry}'"
    );
    of(&def::SCAN_NOT_FOUND_EXCEPTION, message)
}

/// `UnsupportedImageTypeException`
pub fn unscannable(image: &Image) -> Fault {
    let kind = image.artifact_type.as_ref().filter(|_| image.images.is_empty()).unwrap_or(&image.media_type);
    let message = format!("The image with digest '{}' is of type '{kind}', which cannot be scanned", image.digest);
    of(&def::UNSUPPORTED_IMAGE_TYPE_EXCEPTION, message)
}

/// Bytes that could not be kept or read: ours to mend, but for a full disk and a bucket that is away, which go by.
pub fn bytes(error: &blobs::Error) -> Fault {
    match error {
        blobs::Error::TooMany { .. } | blobs::Error::TooLarge { .. } => limit(error.to_string()),
        blobs::Error::Crowded => Fault::common("ServiceUnavailable", 503, error.to_string()),
        blobs::Error::Full => Fault::common("ServiceUnavailable", 503, "The disk is full."),
        error if error.is_of_bucket() => {
            tracing::error!(error = error as &dyn std::error::Error, "the registry's bucket failed");
            Fault::common("ServiceUnavailable", 503, "The registry's bucket does not answer as it should.")
        }
        _ => {
            tracing::error!(error = error as &dyn std::error::Error, "the registry's bytes failed");
            of(&def::SERVER_EXCEPTION, "The request has failed because of a failure of the registry.")
        }
    }
}
