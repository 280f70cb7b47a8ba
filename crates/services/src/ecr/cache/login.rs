//! What an upstream knows this registry by: a secret of the account's Secrets Manager.
//!
//! Whoever makes a rule with a secret must be allowed to read it. Later it is read as the account, so that what the secret's
//! own policy refuses to everybody is refused to the cache too.

use longshore_api::ecr::fault as def;
use longshore_model::Place;
use longshore_model::policy::Context as Conditions;
use longshore_wire::{Fault, json};

use crate::access::{Needed, judge_one};
use crate::ecr::fault;
use crate::{Context, secretsmanager};

longshore_wire::record! {
    /// What is in the secret.
    struct Written {
        username: Option<String> = "username",
        access_token: Option<String> = "accessToken",
    }
}

/// A user of an upstream. Its token never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub token: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Reads the secret as the caller.
///
/// # Errors
/// `SecretNotFoundException`, `UnableToAccessSecretException`, `UnableToDecryptSecretValueException`,
/// `ValidationException` if it holds no login.
pub fn read(context: &mut Context<'_>, arn: &str) -> Result<Login, Fault> {
    may_read(context, arn)?;
    let text = secretsmanager::text(context, arn).map_err(refused)?.ok_or_else(bare)?;
    let written: Written = json::from_slice(text.as_bytes()).map_err(|_| bare())?;
    match (written.username, written.access_token) {
        // A colon ends the name where name and token are shown together.
        (Some(user), Some(token)) if !user.is_empty() && !user.contains(':') && !token.is_empty() => {
            Ok(Login { user, token })
        }
        _ => Err(bare()),
    }
}

fn may_read(context: &mut Context<'_>, arn: &str) -> Result<(), Fault> {
    if !context.judged {
        return Ok(());
    }
    let place: Place = context.place.clone();
    let needed = Needed {
        action: "secretsmanager:GetSecretValue",
        resource: arn.to_owned(),
        owner: place.account.clone(),
        context: Conditions::default(),
    };
    let (caller, conditions) = (context.caller.clone(), context.conditions.clone());
    judge_one(&context.read(), &needed, &caller, &conditions).map_err(|_| inaccessible())
}

fn inaccessible() -> Fault {
    let words = "The secret is unable to be accessed. Verify the resource permissions for the secret and try again.";
    fault::of(&def::UNABLE_TO_ACCESS_SECRET_EXCEPTION, words)
}

fn bare() -> Fault {
    fault::validation("The secret must hold JSON with a username and an accessToken.")
}

fn refused(cause: Fault) -> Fault {
    match cause.name {
        "ResourceNotFoundException" => fault::of(
            &def::SECRET_NOT_FOUND_EXCEPTION,
            "The ARN of the secret specified in the pull through cache rule was not found. Update the pull through cache \
             rule with a valid secret ARN and try again.",
        ),
        "DecryptionFailure" => fault::of(
            &def::UNABLE_TO_DECRYPT_SECRET_VALUE_EXCEPTION,
            "The secret is accessible but is unable to be decrypted. Verify the resource permissions and try again.",
        ),
        _ if cause.sender => inaccessible(),
        _ => cause,
    }
}
