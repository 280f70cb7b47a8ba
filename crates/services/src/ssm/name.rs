//! Names of parameters: which may be, and what a request means by one.
//!
//! A name is one word, or a path of at most 15 words that begins with a slash. A request may follow it with a colon and a
//! version's number or label, and may give the ARN instead, which has no slash of its own before the path.

use std::sync::Arc;

use longshore_api::ssm::fault as def;
use longshore_model::parameter::{Parameter, ParameterVersion, parameter_key, version_key, version_prefix};
use longshore_model::{Arn, Place, State};
use longshore_wire::{Fault, Timestamp};

use super::fault;

/// Words of a path.
const LEVELS: usize = 15;

/// Characters of a name together with the ARN before it.
const LONGEST: usize = 1011;

const FORM: &str = "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of \
                    sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the \
                    following 3 symbols .-_";

/// What a request calls a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub name: String,
    /// An ARN of one word: the name may also have been made with a slash before it.
    spare: Option<String>,
    pub selector: Option<Selector>,
}

impl Reference {
    /// The names it may mean, the likelier first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [Some(self.name.as_str()), self.spare.as_deref()].into_iter().flatten()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    Version(i64),
    Label(String),
}

impl Selector {
    fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Self::Version(number),
            _ => Self::Label(text.to_owned()),
        }
    }

    /// As an answer repeats it: `:3`, `:live`.
    pub fn text(&self) -> String {
        match self {
            Self::Version(number) => format!(":{number}"),
            Self::Label(label) => format!(":{label}"),
        }
    }
}

/// `parameter/…`, the part of an ARN behind the account.
pub fn resource(name: &str) -> String {
    format!("parameter/{}", name.strip_prefix('/').unwrap_or(name))
}

pub fn arn(place: &Place, name: &str) -> String {
    place.arn("ssm", &resource(name))
}

/// Reads a name, an ARN, or either with a selector.
///
/// # Errors
/// `ValidationException` for what is none; `ParameterNotFound` for an ARN of another account or region.
pub fn parse(place: &Place, text: &str) -> Result<Reference, Fault> {
    if text.starts_with("arn:") {
        return of_arn(place, text);
    }
    let (name, selector) = split(text)?;
    check_form(name)?;
    Ok(Reference { name: name.to_owned(), spare: None, selector })
}

/// As [`parse`], where a selector has no meaning.
///
/// # Errors
/// As [`parse`].
pub fn parse_bare(place: &Place, text: &str) -> Result<Reference, Fault> {
    let reference = parse(place, text)?;
    match reference.selector {
        None => Ok(reference),
        Some(_) => Err(fault::validation(FORM)),
    }
}

fn of_arn(place: &Place, text: &str) -> Result<Reference, Fault> {
    let arn = Arn::parse_any(text).filter(|arn| arn.service == "ssm").ok_or_else(|| fault::validation(FORM))?;
    let rest = arn.resource.strip_prefix("parameter/").ok_or_else(|| fault::validation(FORM))?;
    if arn.partition != "aws" || arn.region != place.region || arn.account != place.account.as_str() {
        return Err(fault::not_found());
    }
    let (word, selector) = split(rest)?;
    let path = format!("/{word}");
    check_form(&path)?;
    Ok(match word.contains('/') {
        true => Reference { name: path, spare: None, selector },
        false => Reference { name: word.to_owned(), spare: Some(path), selector },
    })
}

fn split(text: &str) -> Result<(&str, Option<Selector>), Fault> {
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((name, selector)) if !selector.is_empty() && !selector.contains(':') => {
            Ok((name, Some(Selector::parse(selector))))
        }
        Some(_) => Err(fault::validation(
            "Invalid parameter name. Please use correct syntax for referencing a version/label <name>:<version/label>",
        )),
    }
}

fn check_form(name: &str) -> Result<(), Fault> {
    let good = |letter: u8| letter.is_ascii_alphanumeric() || b".-_".contains(&letter);
    let mut words = name.strip_prefix('/').unwrap_or(name).split('/');
    let formed = words.all(|word| !word.is_empty() && word.bytes().all(good));
    match formed && (name.starts_with('/') || !name.contains('/')) {
        true => Ok(()),
        false => Err(fault::validation(FORM)),
    }
}

/// Whether a parameter may be made under this name.
///
/// # Errors
/// `ValidationException`; `AccessDeniedException` for a path of AWS's; `HierarchyLevelLimitExceededException`.
pub fn check_new(place: &Place, name: &str) -> Result<(), Fault> {
    let small = name.to_ascii_lowercase();
    let first = small.strip_prefix('/').unwrap_or(&small);
    let is_path = name.starts_with('/') && name.matches('/').count() > 1;
    if first.starts_with("aws") && is_path {
        let message = format!("No access to reserved parameter name: {name}.");
        return Err(Fault::common("AccessDeniedException", 400, message));
    }
    if (first.starts_with("aws") || first.starts_with("ssm")) && !is_path {
        let message = "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).";
        return Err(fault::validation(message));
    }
    if first.starts_with("ssm") {
        return Err(fault::validation(FORM));
    }
    check_form(name)?;
    if first.split('/').count() > LEVELS {
        let message = format!("A parameter name hierarchy can have a maximum of {LEVELS} levels.");
        return Err(fault::of(&def::HIERARCHY_LEVEL_LIMIT_EXCEEDED_EXCEPTION, message));
    }
    match arn(place, name).len() > LONGEST {
        true => Err(fault::validation(format!(
            "Parameter name: can't be longer than {LONGEST} characters, including those of the ARN that precede it."
        ))),
        false => Ok(()),
    }
}

/// The path of GetParametersByPath and of filters: `/`, or words with a slash before each; one behind is of no meaning.
///
/// # Errors
/// `ValidationException`.
pub fn check_path(path: &str) -> Result<&str, Fault> {
    let bare = path.strip_suffix('/').unwrap_or(path);
    match path.starts_with('/') && (bare.is_empty() || check_form(bare).is_ok()) {
        true => Ok(bare),
        false => Err(fault::validation(
            "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward \
             slash \"/\". It can't be prefixed with \\\"aws\\\" or \\\"ssm\\\" (case-insensitive). It must use only letters, \
             numbers, or the following symbols: . (period), - (hyphen), _ (underscore). Special characters are not \
             allowed. All sub-paths, if specified, must use the forward slash symbol \"/\". Valid example: \
             /get/parameters2-/by1./path0_.",
        )),
    }
}

/// The parameter that a request means.
pub fn find<'a>(state: &'a State, place: &Place, wanted: &Reference, now: Timestamp) -> Option<&'a Arc<Parameter>> {
    let found = wanted.names().find_map(|name| state.parameters.get(&parameter_key(&place.account, name)))?;
    found.is_alive(now).then_some(found)
}

/// The version of a parameter that a request means: the newest, unless it says otherwise.
///
/// # Errors
/// `ParameterVersionNotFound`.
pub fn version<'a>(
    state: &'a State,
    place: &Place,
    parameter: &Parameter,
    selector: Option<&Selector>,
) -> Result<&'a Arc<ParameterVersion>, Fault> {
    match selector {
        None => numbered(state, place, &parameter.name, parameter.latest),
        Some(Selector::Version(number)) => numbered(state, place, &parameter.name, *number),
        Some(Selector::Label(label)) => {
            labelled(state, place, &parameter.name, label).ok_or_else(|| fault::no_label(label, &parameter.name))
        }
    }
}

/// # Errors
/// `ParameterVersionNotFound`.
pub fn numbered<'a>(
    state: &'a State,
    place: &Place,
    name: &str,
    number: i64,
) -> Result<&'a Arc<ParameterVersion>, Fault> {
    let row = state.parameter_versions.get(&version_key(&place.account, name, number));
    row.ok_or_else(|| fault::no_version(number, name))
}

/// The version that has a label.
pub fn labelled<'a>(state: &'a State, place: &Place, name: &str, label: &str) -> Option<&'a Arc<ParameterVersion>> {
    let prefix = version_prefix(&place.account, name);
    let mut rows = state.parameter_versions.scan_back(&prefix, None).map(|(_, row)| row);
    let number = rows.find(|row| row.labels.iter().any(|one| one == label))?.number;
    numbered(state, place, name, number).ok()
}
