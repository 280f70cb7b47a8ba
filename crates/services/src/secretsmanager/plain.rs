//! Values in clear, while a request lasts.

use longshore_wire::{Blob, Fault};

use super::fault;

/// Bytes of a value.
const MOST: usize = 65_536;

/// A value: text or binary. It has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain {
    pub text: bool,
    pub bytes: Vec<u8>,
}

impl Plain {
    /// The value of a request, if it has one.
    ///
    /// # Errors
    /// `InvalidParameterException` for two, `ValidationException` for one that is too long.
    pub fn given(text: Option<String>, binary: Option<Blob>) -> Result<Option<Self>, Fault> {
        let (value, member) = match (text, binary) {
            (Some(_), Some(_)) => {
                return Err(fault::parameter(
                    "You can't specify both a binary secret value and a string secret value.",
                ));
            }
            (Some(text), None) => (Self { text: true, bytes: text.into_bytes() }, "secretString"),
            (None, Some(binary)) => (Self { text: false, bytes: binary.0 }, "secretBinary"),
            (None, None) => return Ok(None),
        };
        match value.bytes.len() > MOST {
            true => Err(fault::validation(format!(
                "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length \
                 less than or equal to {MOST}"
            ))),
            false => Ok(Some(value)),
        }
    }

    /// As answers carry it: `SecretString` and `SecretBinary`.
    pub fn shown(self) -> (Option<String>, Option<Blob>) {
        match self.text {
            true => (Some(String::from_utf8_lossy(&self.bytes).into_owned()), None),
            false => (None, Some(Blob(self.bytes))),
        }
    }
}
