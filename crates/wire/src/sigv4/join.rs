//! The header by which a machine that has no key yet joins.
//!
//! It is no Signature Version 4: it is told apart by its first word and shows the token itself.

const WORD: &str = "LONGSHORE-JOIN";

/// Longest token that is looked at.
const LONGEST: usize = 128;

/// The value of the `Authorization` header.
pub fn join_authorization(token: &str) -> String {
    format!("{WORD} {token}")
}

/// The token in the value of an `Authorization` header; `None` if it is another scheme's. One that is too long is empty.
pub fn join_token(value: &str) -> Option<&str> {
    let token = value.strip_prefix(WORD)?.strip_prefix(' ')?;
    Some(if token.len() <= LONGEST { token } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_no_other_scheme_is_one() {
        assert_eq!(join_token(&join_authorization("t-1")), Some("t-1"));
        assert_eq!(join_token(&join_authorization(&"x".repeat(129))), Some(""));
        for other in ["", "LONGSHORE-JOIN", "LONGSHORE-JOINT t", "AWS4-HMAC-SHA256 a b", "longshore-join t"] {
            assert_eq!(join_token(other), None, "{other}");
        }
    }
}
