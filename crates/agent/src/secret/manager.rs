//! Secrets of Secrets Manager: `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME[:json-key[:version-stage[:version-id]]]`,
//! where a part may be empty.

use serde_json::{Map, Value, json};

use super::{Reader, Values};
use crate::api::SECRETS_MANAGER;

/// What a `valueFrom` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked<'a> {
    arn: &'a str,
    key: Option<&'a str>,
    stage: Option<&'a str>,
    version: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// # Errors
    /// If it is not of the form.
    fn parse(from: &'a str) -> Result<Self, String> {
        let colons: Vec<usize> = from.match_indices(':').map(|(at, _)| at).collect();
        let wrong = || format!("unexpected ARN format with parameters when trying to retrieve ASM secret: {from}");
        if colons.len() < 6 || colons.len() > 9 || from.split(':').nth(5) != Some("secret") {
            return Err(wrong());
        }
        let arn = colons.get(6).map_or(from, |end| &from[..*end]);
        let mut rest = from[arn.len()..].split(':').skip(1).map(|part| Some(part).filter(|part| !part.is_empty()));
        let mut next = || rest.next().flatten();
        Ok(Self { arn, key: next(), stage: next(), version: next() })
    }

    fn input(&self) -> Value {
        let mut input = Map::from_iter([("SecretId".to_owned(), json!(self.arn))]);
        input.extend(self.stage.map(|stage| ("VersionStage".to_owned(), json!(stage))));
        input.extend(self.version.map(|version| ("VersionId".to_owned(), json!(version))));
        Value::Object(input)
    }

    /// The value in an answer. What the secret holds is in no error.
    ///
    /// # Errors
    /// If it has no text, is no JSON, or has no such key.
    fn value(&self, answer: &Value) -> Result<String, String> {
        let arn = self.arn;
        let text = answer["SecretString"].as_str();
        let text = text.ok_or_else(|| format!("retrieved secret {arn} from Secrets Manager has no SecretString"))?;
        let Some(key) = self.key else { return Ok(text.to_owned()) };
        let parsed: Option<Map<String, Value>> = serde_json::from_str(text).ok();
        let parsed = parsed.ok_or_else(|| format!("retrieved secret {arn} from Secrets Manager is no JSON object"))?;
        match parsed.get(key) {
            Some(Value::String(value)) => Ok(value.clone()),
            Some(other) => Ok(other.to_string()),
            None => Err(format!("retrieved secret from Secrets Manager did not contain json key {key}")),
        }
    }
}

/// # Errors
/// Why one of them is not there or may not be read.
pub(super) async fn read(reader: &Reader<'_>, from: Vec<&str>) -> Result<Values, String> {
    let mut values = Values::new();
    let mut last: Option<(Value, Value)> = None;
    for from in from {
        let asked = Asked::parse(from)?;
        let input = asked.input();
        // Those of one secret stand beside each other: they are in order.
        let answer = match last.take().filter(|(before, _)| *before == input) {
            Some((_, answer)) => answer,
            None => reader.call(SECRETS_MANAGER, "GetSecretValue", &input).await.map_err(|refused| {
                refused.words(&format!("failed to fetch secret {} from secrets manager: ", asked.arn))
            })?,
        };
        values.insert(from.to_owned(), asked.value(&answer)?);
        last = Some((input, answer));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf";

    #[test]
    fn every_form_of_a_reference_reads() {
        let bare = Asked { arn: ARN, key: None, stage: None, version: None };
        let rows = [
            ("", bare),
            (":password::", Asked { key: Some("password"), ..bare }),
            ("::AWSPREVIOUS:", Asked { stage: Some("AWSPREVIOUS"), ..bare }),
            (":::9d4c", Asked { version: Some("9d4c"), ..bare }),
            (
                ":password:AWSCURRENT:9d4c",
                Asked { arn: ARN, key: Some("password"), stage: Some("AWSCURRENT"), version: Some("9d4c") },
            ),
            (":password", Asked { key: Some("password"), ..bare }),
        ];
        for (behind, wanted) in rows {
            assert_eq!(Asked::parse(&format!("{ARN}{behind}")), Ok(wanted), "{behind}");
        }
        let version = Asked { stage: Some("AWSPREVIOUS"), ..bare };
        assert_eq!(version.input(), json!({"SecretId": ARN, "VersionStage": "AWSPREVIOUS"}));
        for wrong in [
            "arn:aws:secretsmanager:us-east-1:1:db",
            "arn:aws:secretsmanager:us-east-1:1:other:db",
            &format!("{ARN}:a:b:c:d"),
        ] {
            assert!(Asked::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_taken_out_and_nothing_secret_is_told() {
        let answer = json!({"SecretString": r#"{"password":"planted","port":5432}"#});
        let of = |key: Option<&'static str>, answer: &Value| {
            Asked { arn: ARN, key, stage: None, version: None }.value(answer)
        };
        assert_eq!(of(Some("password"), &answer).as_deref(), Ok("planted"));
        assert_eq!(of(Some("port"), &answer).as_deref(), Ok("5432"));
        assert_eq!(of(None, &answer).as_deref(), Ok(r#"{"password":"planted","port":5432}"#));
        let plain = json!({"SecretString": "planted"});
        let binary = json!({"SecretBinary": "planted"});
        for (key, answer, wanted) in [
            (Some("user"), &answer, "did not contain json key user"),
            (Some("user"), &plain, "is no JSON object"),
            (None, &binary, "has no SecretString"),
        ] {
            let told = of(key, answer).unwrap_err();
            assert!(told.ends_with(wanted) && !told.contains("planted"), "{told}");
        }
    }
}
