//! GetRandomPassword.

use aws_lc_rs::rand;
use longshore_api::secretsmanager as api;
use longshore_wire::Fault;

use super::fault;
use crate::Context;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Characters where nobody said.
const USUAL: i64 = 32;

pub fn get(
    _: &mut Context<'_>,
    request: api::GetRandomPasswordRequest,
) -> Result<api::GetRandomPasswordResponse, Fault> {
    let length = usize::try_from(request.password_length.unwrap_or(USUAL)).map_err(|_| Fault::internal())?;
    let kinds = kinds(&request);
    let all: Vec<char> = kinds.concat();
    if all.is_empty() {
        return Err(fault::parameter("There are no characters left to make a password of."));
    }
    let required = if request.require_each_included_type.unwrap_or(true) { &kinds[..] } else { &[] };
    if required.len() > length {
        return Err(fault::parameter(format!(
            "The password length must be at least {} to hold a character of each included type.",
            required.len()
        )));
    }
    let mut password: Vec<char> = required.iter().map(|kind| pick(kind)).collect::<Result<_, _>>()?;
    while password.len() < length {
        password.push(pick(&all)?);
    }
    shuffle(&mut password)?;
    Ok(api::GetRandomPasswordResponse { random_password: Some(password.into_iter().collect()) })
}

/// The kinds of characters that are included, without those that are excluded; none is empty.
fn kinds(request: &api::GetRandomPasswordRequest) -> Vec<Vec<char>> {
    let excluded = request.exclude_characters.as_deref().unwrap_or_default();
    let kinds = [
        (LOWER, !request.exclude_lowercase.unwrap_or_default()),
        (UPPER, !request.exclude_uppercase.unwrap_or_default()),
        (DIGITS, !request.exclude_numbers.unwrap_or_default()),
        (PUNCTUATION, !request.exclude_punctuation.unwrap_or_default()),
        (" ", request.include_space.unwrap_or_default()),
    ];
    let included = kinds.iter().filter(|(_, included)| *included);
    let left = included.map(|(kind, _)| kind.chars().filter(|letter| !excluded.contains(*letter)).collect());
    left.filter(|kind: &Vec<char>| !kind.is_empty()).collect()
}

fn pick(letters: &[char]) -> Result<char, Fault> {
    letters.get(below(letters.len())?).copied().ok_or_else(Fault::internal)
}

fn shuffle(letters: &mut [char]) -> Result<(), Fault> {
    for last in (1..letters.len()).rev() {
        letters.swap(last, below(last + 1)?);
    }
    Ok(())
}

/// A number below `limit` (at most 2³²), each as likely as any other.
fn below(limit: usize) -> Result<usize, Fault> {
    let limit = u32::try_from(limit).map_err(|_| Fault::internal())?;
    let whole = u32::MAX - u32::MAX % limit;
    loop {
        let mut bytes = [0; 4];
        rand::fill(&mut bytes).map_err(|_| Fault::internal())?;
        let number = u32::from_be_bytes(bytes);
        if number < whole {
            return Ok((number % limit) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_limit_and_reach_it() {
        let mut seen = [false; 5];
        for _ in 0..500 {
            seen[below(5).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
