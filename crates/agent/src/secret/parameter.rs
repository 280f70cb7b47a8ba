//! Parameters of SSM's Parameter Store: names and ARNs, with or without a version or label.

use serde_json::{Value, json};

use super::{Reader, Values};
use crate::api::SSM;

/// Names of one GetParameters.
const AT_ONCE: usize = 10;

/// # Errors
/// Why one of them is not there or may not be read.
pub(super) async fn read(reader: &Reader<'_>, names: Vec<&str>) -> Result<Values, String> {
    let mut values = Values::new();
    for names in names.chunks(AT_ONCE) {
        let input = json!({"Names": names, "WithDecryption": true});
        let answer = reader.call(SSM, "GetParameters", &input).await.map_err(|refused| refused.words(""))?;
        let found = answer["Parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        for name in names {
            let parameter = found.iter().find(|parameter| is_named(parameter, name));
            let value = parameter.and_then(|parameter| parameter["Value"].as_str());
            values.insert((*name).to_owned(), value.ok_or_else(|| format!("invalid parameters: {name}"))?.to_owned());
        }
    }
    Ok(values)
}

/// Whether this is what was asked for by a name or an ARN.
fn is_named(parameter: &Value, asked: &str) -> bool {
    let selector = parameter["Selector"].as_str().unwrap_or_default();
    let Some(bare) = asked.strip_suffix(selector) else { return false };
    let text = |member: &str| parameter[member].as_str() == Some(bare);
    text("Name") || text("ARN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_by_what_was_asked() {
        let arn = "arn:aws:ssm:us-east-1:000000000000:parameter/a/b";
        let newest = json!({"Name": "/a/b", "ARN": arn});
        let third = json!({"Name": "/a/b", "ARN": arn, "Selector": ":3"});
        assert!(is_named(&newest, "/a/b") && is_named(&newest, arn));
        assert!(!is_named(&newest, "/a/b:3") && !is_named(&newest, "/a"));
        assert!(is_named(&third, "/a/b:3") && is_named(&third, &format!("{arn}:3")));
        assert!(!is_named(&third, "/a/b") && !is_named(&third, "/a/b:4"));
    }
}
