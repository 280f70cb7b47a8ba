//! Filters of DescribeParameters and GetParametersByPath: which may be, and what they take.

use longshore_api::ssm::{ParameterStringFilter, fault as def};
use longshore_model::parameter::{Parameter, ParameterVersion};
use longshore_wire::Fault;

use super::{fault, name, path};

/// Keys that an operation takes, besides `tag:…`.
#[derive(Clone, Copy)]
pub struct Keys {
    keys: &'static [&'static str],
    tags: bool,
}

pub const OF_PATH: Keys = Keys { keys: &["Type", "KeyId", "Label", "DataType"], tags: false };
pub const OF_DESCRIBE: Keys = Keys { keys: &["Path", "Name", "Type", "KeyId", "Tier", "DataType"], tags: true };

/// Filters of one request. AWS's number for tags; it says none for all.
const MOST: usize = 50;

const TYPES: &[&str] = &["String", "StringList", "SecureString"];
const TIERS: &[&str] = &["Standard", "Advanced", "Intelligent-Tiering"];

/// A filter that may be. All of a request's must take a parameter.
#[derive(Clone, Debug)]
pub struct Filter {
    pub key: String,
    pub option: String,
    /// Any of them; of a tag none means any value.
    pub values: Vec<String>,
}

/// # Errors
/// `InvalidFilterKey`, `InvalidFilterOption`, `InvalidFilterValue`, `ValidationException` for a key that stands twice.
pub fn read(given: Vec<ParameterStringFilter>, keys: Keys) -> Result<Vec<Filter>, Fault> {
    let mut filters: Vec<Filter> = Vec::new();
    for filter in given {
        let filter = read_one(filter, keys)?;
        if filters.iter().any(|other| other.key == filter.key) {
            return Err(fault::validation(format!(
                "The following filter is duplicated in the request: {}. A request can contain only one occurrence of a \
                 specific filter.",
                filter.key
            )));
        }
        if filters.len() == MOST {
            return Err(fault::validation(format!("A request can contain {MOST} filters at most.")));
        }
        filters.push(filter);
    }
    Ok(filters)
}

fn read_one(given: ParameterStringFilter, keys: Keys) -> Result<Filter, Fault> {
    let key = given.key.unwrap_or_default();
    let is_tag = keys.tags && key.starts_with("tag:");
    if !is_tag && !keys.keys.contains(&key.as_str()) {
        let listed = keys.keys.join(", ");
        return Err(fault::of(
            &def::INVALID_FILTER_KEY,
            format!("The following filter key is not valid: {key}. Valid filter keys include: [{listed}]."),
        ));
    }
    let options = options(&key);
    let option = given.option.unwrap_or_else(|| if key == "Path" { "OneLevel" } else { "Equals" }.to_owned());
    if !options.contains(&option.as_str()) {
        let listed = options.join(", ");
        return Err(fault::of(
            &def::INVALID_FILTER_OPTION,
            format!("The following filter option is not valid: {option}. Valid options include: [{listed}]."),
        ));
    }
    let values = given.values.unwrap_or_default();
    if values.is_empty() && !is_tag {
        return Err(fault::of(
            &def::INVALID_FILTER_VALUE,
            format!("The following filter values are missing : null for filter key {key}"),
        ));
    }
    check_values(&key, &values)?;
    Ok(Filter { key, option, values })
}

fn options(key: &str) -> &'static [&'static str] {
    match key {
        "Path" => &["Recursive", "OneLevel"],
        "Name" => &["BeginsWith", "Equals", "Contains"],
        "Label" | "Tier" | "DataType" => &["Equals"],
        _ => &["BeginsWith", "Equals"],
    }
}

fn check_values(key: &str, values: &[String]) -> Result<(), Fault> {
    let known = match key {
        "Type" => TYPES,
        "Tier" => TIERS,
        "Path" => return values.iter().try_for_each(|path| check_path(path)),
        _ => return Ok(()),
    };
    match values.iter().find(|value| !known.contains(&value.as_str())) {
        None => Ok(()),
        Some(value) => Err(fault::of(
            &def::INVALID_FILTER_VALUE,
            format!("The following filter value is not valid: {value}. Valid values include: [{}].", known.join(", ")),
        )),
    }
}

fn check_path(path: &str) -> Result<(), Fault> {
    let small = path.to_ascii_lowercase();
    if small.starts_with("/aws") || small.starts_with("/ssm") {
        return Err(fault::validation(
            "Filters for common parameters can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).",
        ));
    }
    name::check_path(path).map(drop)
}

impl Filter {
    /// Whether any of the values takes a version of a parameter.
    pub fn takes(&self, head: &Parameter, row: &ParameterVersion) -> bool {
        let text = match self.key.as_str() {
            "Path" => return self.values.iter().any(|path| self.is_below(&head.name, path)),
            "Name" => return self.values.iter().any(|value| self.is_named(&head.name, value)),
            "Label" => return self.values.iter().any(|value| row.labels.contains(value)),
            "Type" => &row.kind,
            "KeyId" => row.key_id.as_deref().unwrap_or_default(),
            "Tier" => &row.tier,
            "DataType" => &row.data_type,
            tag => match head.tags.get(tag.strip_prefix("tag:").unwrap_or_default()) {
                Some(value) => value,
                None => return false,
            },
        };
        self.values.is_empty() || self.values.iter().any(|value| self.compare(text, value))
    }

    fn compare(&self, text: &str, value: &str) -> bool {
        match self.option.as_str() {
            "BeginsWith" => text.starts_with(value),
            "Contains" => text.contains(value),
            _ => text == value,
        }
    }

    /// A name may be sought with or without the slash before its first word.
    fn is_named(&self, name: &str, value: &str) -> bool {
        let bare = name.strip_prefix('/').unwrap_or(name);
        self.compare(name, value) || self.compare(bare, value)
    }

    fn is_below(&self, name: &str, given: &str) -> bool {
        let path = format!("{}/", given.strip_suffix('/').unwrap_or(given));
        match self.option.as_str() {
            "Recursive" => path == "/" || name.starts_with(&path),
            _ => path::is_child(name, &path),
        }
    }
}
