//! A node's standing leave to write the log events of one task, for a log sender that cannot sign each request.
//!
//! A task's supervisor outlives the agent and holds no key. It sends one header, made by the agent, as long as the task
//! lives. The header is no Signature Version 4: it is told apart by its first word, proves that a key's holder made it for
//! this task, and is good for nothing but the operations that write logs ([`Standing::OPERATIONS`]). Who then writes, the task's
//! execution role or the node, is for the receiver to say.

use super::{Signer, is_equal};

const WORD: &str = "LONGSHORE-STANDING";

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    pub access_key: &'a str,
    /// ARN of the task.
    pub task: &'a str,
    proof: &'a str,
}

impl<'a> Standing<'a> {
    /// The operations of `logs` that it is good for.
    pub const OPERATIONS: &'static [&'static str] = &["CreateLogGroup", "CreateLogStream", "PutLogEvents"];

    /// The value of the `Authorization` header.
    pub fn authorization(access_key: &str, secret_key: &str, region: &str, task: &str) -> String {
        format!("{WORD} {access_key} {task} {}", proof(access_key, secret_key, region, task))
    }

    /// Reads the value of an `Authorization` header; `None` if it is another scheme's.
    pub fn parse(value: &'a str) -> Option<Self> {
        let mut fields = value.strip_prefix(WORD)?.strip_prefix(' ')?.split(' ');
        let [Some(access_key), Some(task), Some(proof), None] = std::array::from_fn(|_| fields.next()) else {
            return None;
        };
        Some(Standing { access_key, task, proof })
    }

    /// Whether the holder of `secret_key` made it for this region. Takes the same time wherever it differs.
    pub fn is_by(&self, secret_key: &str, region: &str) -> bool {
        is_equal(&proof(self.access_key, secret_key, region, self.task), self.proof)
    }
}

/// Keyed like a signature for a scope that no request can have, so that neither can stand for the other.
fn proof(access_key: &str, secret_key: &str, region: &str, task: &str) -> String {
    Signer { secret_key, timestamp: WORD, region, service: "logs" }.key().sign(&format!("{access_key} {task}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_its_makers_alone() {
        let value = Standing::authorization("AKIDEXAMPLE", "secret", "us-east-1", "arn:task/1");
        let standing = Standing::parse(&value).unwrap();
        assert_eq!((standing.access_key, standing.task), ("AKIDEXAMPLE", "arn:task/1"));
        assert!(standing.is_by("secret", "us-east-1"));
        assert!(!standing.is_by("Secret", "us-east-1"));
        assert!(!standing.is_by("secret", "eu-west-1"));
        for other in [value.replace("AKIDEXAMPLE", "AKIDEXAMPLF"), value.replace("task/1", "task/2")] {
            assert!(!Standing::parse(&other).unwrap().is_by("secret", "us-east-1"), "{other}");
        }
        for other in [
            "",
            "LONGSHORE-STANDING",
            "LONGSHORE-STANDING a",
            "LONGSHORE-STANDING a b",
            "LONGSHORE-STANDING a b c d",
            "AWS4-HMAC-SHA256 a b c",
        ] {
            assert_eq!(Standing::parse(other), None, "{other}");
        }
    }
}
