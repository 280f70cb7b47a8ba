//! The grammar of filter patterns.
//!
//! ```text
//! terms      = term*                     term   = ["?" | "-"] (quoted | regex | word)
//! json       = "{" any "}"               any    = every ("||" every)*     every = test ("&&" test)*
//! test       = "(" any ")" | selector ("IS" kind | "EXISTS" | "NOT" "EXISTS" | operator literal)
//! selector   = "$" ("." name | ["."] "['" name "']" | "[" number "]" | "[*]")+
//! fields     = "[" field ("," field)* "]"      field  = "..." | name | conditions on that name | nothing
//! literal    = quoted | regex | number | word  (`*` in a quoted text or word is a wildcard, `\` takes the next as it is)
//! ```

use std::ops::RangeInclusive;

use regex::{Regex, RegexBuilder};
use winnow::ascii::{Caseless, digit1, multispace0, multispace1};
use winnow::combinator::{alt, cut_err, delimited, fail, opt, preceded, repeat, separated, terminated};
use winnow::prelude::*;
use winnow::token::{any, one_of, take_till, take_while};

use super::Invalid;
use super::fields::{Field, Fields};
use super::glob::Glob;
use super::json::{Condition, Step, Test};
use super::terms::{Sign, Term, Terms};
use super::value::{Comparison, Literal, Operator};

pub(super) type Input<'a> = &'a str;

/// Bytes that a compiled regular expression may take.
const REGEX_BYTES: usize = 1024 * 1024;

/// What `parser` makes of the whole text.
pub(super) fn all<'a, T>(
    text: &'a str,
    mut parser: impl FnMut(&mut Input<'a>) -> ModalResult<T>,
) -> Result<T, Invalid> {
    let whole = |input: &mut Input<'a>| parser(input);
    terminated(whole, multispace0).parse(text).map_err(|_| Invalid)
}

pub(super) fn terms(input: &mut Input<'_>) -> ModalResult<Terms> {
    let signed = (sign, term);
    separated(1.., signed, multispace1).map(Terms::new).parse_next(input)
}

fn sign(input: &mut Input<'_>) -> ModalResult<Sign> {
    let sign = opt(one_of(['?', '-'])).parse_next(input)?;
    Ok(match sign {
        Some('?') => Sign::Optional,
        Some(_) => Sign::Excluded,
        None => Sign::Required,
    })
}

fn term(input: &mut Input<'_>) -> ModalResult<Term> {
    alt((
        quoted.map(|parts| Term::Text(parts.join("*"))),
        regex.map(Term::Regex),
        take_while(1.., |character: char| !character.is_whitespace() && character != '"')
            .map(|word: &str| Term::Text(word.to_owned())),
    ))
    .parse_next(input)
}

pub(super) fn json(input: &mut Input<'_>) -> ModalResult<Condition> {
    delimited(lexeme("{"), any_of, lexeme("}")).parse_next(input)
}

fn any_of(input: &mut Input<'_>) -> ModalResult<Condition> {
    separated(1.., every_of, lexeme("||")).map(|parts| one_or(parts, Condition::Any)).parse_next(input)
}

fn every_of(input: &mut Input<'_>) -> ModalResult<Condition> {
    separated(1.., test, lexeme("&&")).map(|parts| one_or(parts, Condition::All)).parse_next(input)
}

/// A list of one is its only part.
fn one_or<T>(mut parts: Vec<T>, join: impl Fn(Vec<T>) -> T) -> T {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

fn test(input: &mut Input<'_>) -> ModalResult<Condition> {
    let nested = delimited(lexeme("("), cut_err(any_of), cut_err(lexeme(")")));
    let plain = (selector, what).map(|(steps, what)| Condition::Test(steps, what));
    alt((nested, plain)).parse_next(input)
}

fn what(input: &mut Input<'_>) -> ModalResult<Test> {
    alt((
        preceded(keyword("IS"), cut_err(kind)),
        (keyword("NOT"), keyword("EXISTS")).value(Test::NotExists),
        keyword("EXISTS").value(Test::Exists),
        comparison.map(Test::Is),
    ))
    .parse_next(input)
}

fn kind(input: &mut Input<'_>) -> ModalResult<Test> {
    alt((
        keyword("NULL").value(Test::IsNull),
        keyword("TRUE").value(Test::IsTrue),
        keyword("FALSE").value(Test::IsFalse),
    ))
    .parse_next(input)
}

fn selector(input: &mut Input<'_>) -> ModalResult<Vec<Step>> {
    let steps = repeat(1.., alt((bracketed_member, member, element)));
    delimited((multispace0, "$"), cut_err(steps), multispace0).parse_next(input)
}

fn member(input: &mut Input<'_>) -> ModalResult<Step> {
    let name = take_while(1.., |character: char| !character.is_whitespace() && !".[](){}=!<>&|\"'".contains(character));
    preceded('.', name).map(|name: &str| Step::Member(name.to_owned())).parse_next(input)
}

fn bracketed_member(input: &mut Input<'_>) -> ModalResult<Step> {
    let single = delimited('\'', take_till(0.., '\''), '\'');
    let double = delimited('"', take_till(0.., '"'), '"');
    delimited((opt('.'), '['), alt((single, double)), ']')
        .map(|name: &str| Step::Member(name.to_owned()))
        .parse_next(input)
}

fn element(input: &mut Input<'_>) -> ModalResult<Step> {
    let index = alt(('*'.value(Step::EachElement), digit1.parse_to().map(Step::Element)));
    delimited('[', index, ']').parse_next(input)
}

pub(super) fn fields(input: &mut Input<'_>) -> ModalResult<Fields> {
    let list = separated(1.., field, lexeme(","));
    delimited(lexeme("["), list, lexeme("]")).verify_map(split_at_ellipsis).parse_next(input)
}

/// `None` when there are two.
fn split_at_ellipsis(list: Vec<Option<Field>>) -> Option<Fields> {
    let mut parts = list.split(Option::is_none);
    let mut next = || {
        let part = parts.next()?;
        Some(part.iter().flatten().cloned().collect::<Vec<Field>>())
    };
    let (first, last) = (next()?, next());
    next().is_none().then_some(Fields { first, last })
}

/// `None` for the ellipsis.
fn field(input: &mut Input<'_>) -> ModalResult<Option<Field>> {
    let conditions = any_field.verify_map(|(name, field)| {
        let lone = matches!(field, Field::Anything);
        (lone || name.is_some()).then_some(Some(field))
    });
    alt((lexeme("...").value(None), conditions, multispace0.value(Some(Field::Anything)))).parse_next(input)
}

/// A condition and the one name it is about; names that differ are refused, since a field is one word.
type Named<'a> = (Option<&'a str>, Field);

fn any_field<'a>(input: &mut Input<'a>) -> ModalResult<Named<'a>> {
    separated(1.., every_field, lexeme("||")).verify_map(|parts| same_name(parts, Field::Any)).parse_next(input)
}

fn every_field<'a>(input: &mut Input<'a>) -> ModalResult<Named<'a>> {
    separated(1.., one_field, lexeme("&&")).verify_map(|parts| same_name(parts, Field::All)).parse_next(input)
}

fn same_name<'a>(parts: Vec<Named<'a>>, join: fn(Vec<Field>) -> Field) -> Option<Named<'a>> {
    let name = parts.first()?.0;
    let alike = parts.iter().all(|(other, _)| *other == name);
    let fields = parts.into_iter().map(|(_, field)| field).collect();
    alike.then(|| (name, one_or(fields, join)))
}

fn one_field<'a>(input: &mut Input<'a>) -> ModalResult<Named<'a>> {
    let nested = delimited(lexeme("("), cut_err(any_field), cut_err(lexeme(")")));
    let name = take_while(1.., |character: char| character.is_alphanumeric() || "_-.$@".contains(character));
    let name = delimited(multispace0, name, multispace0).verify(|name: &str| !name.starts_with("..."));
    let plain = (name, opt(comparison)).map(|(name, comparison)| {
        let field = comparison.map_or(Field::Anything, Field::Is);
        (Some(name), field)
    });
    alt((nested, plain)).parse_next(input)
}

fn comparison(input: &mut Input<'_>) -> ModalResult<Comparison> {
    (operator, literal).verify_map(|(operator, literal)| Comparison::new(operator, literal)).parse_next(input)
}

fn operator(input: &mut Input<'_>) -> ModalResult<Operator> {
    alt((
        lexeme("!=").value(Operator::NotEqual),
        lexeme(">=").value(Operator::GreaterOrEqual),
        lexeme("<=").value(Operator::LessOrEqual),
        lexeme("=").value(Operator::Equal),
        lexeme(">").value(Operator::Greater),
        lexeme("<").value(Operator::Less),
    ))
    .parse_next(input)
}

fn literal(input: &mut Input<'_>) -> ModalResult<Literal> {
    let word = take_while(1.., |character: char| !character.is_whitespace() && !"(){}[],=!<>&|\"%".contains(character));
    let literal =
        alt((quoted.map(|parts| Literal::Text(Glob::new(parts))), regex.map(Literal::Regex), word.map(number_or_text)));
    delimited(multispace0, literal, multispace0).parse_next(input)
}

fn number_or_text(word: &str) -> Literal {
    let digits = word.trim_start_matches(['-', '+', '.']);
    let number = word.parse::<f64>().ok();
    match number.filter(|_| digits.starts_with(|first: char| first.is_ascii_digit())) {
        Some(number) => Literal::Number(number, Glob::of(word)),
        None => Literal::Text(Glob::of(word)),
    }
}

/// A text in double quotes, cut at its wildcards.
fn quoted(input: &mut Input<'_>) -> ModalResult<Vec<String>> {
    let escaped = preceded('\\', any).map(Some);
    let plain = any.verify_map(|character| match character {
        '"' => None,
        '*' => Some(None),
        other => Some(Some(other)),
    });
    let pieces = repeat(0.., alt((escaped, plain))).fold(
        || vec![String::new()],
        |mut parts: Vec<String>, piece| {
            match piece {
                Some(character) => parts.last_mut().expect("never empty").push(character),
                None => parts.push(String::new()),
            }
            parts
        },
    );
    delimited('"', pieces, cut_err('"')).parse_next(input)
}

/// A regular expression between percent signs, of the few constructs that AWS takes.
fn regex(input: &mut Input<'_>) -> ModalResult<Regex> {
    let text = delimited('%', take_till(1.., '%'), '%').parse_next(input)?;
    match is_supported(text).then(|| build(text)).flatten() {
        Some(regex) => Ok(regex),
        None => cut_err(fail).parse_next(input),
    }
}

fn build(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build().ok()
}

/// Letters, digits, some signs and operators; no groups. After a backslash, any sign or a class of characters.
fn is_supported(text: &str) -> bool {
    const CONTROL: RangeInclusive<char> = '\0'..='\x1f';
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let fine = match character {
            '\\' => characters
                .next()
                .is_some_and(|next| next.is_ascii_punctuation() || "dDsSwWbBxtnr0123456789".contains(next)),
            other => {
                other.is_ascii_alphanumeric() || (" :_#=@/;,-^$?[]{}|*+.".contains(other) && !CONTROL.contains(&other))
            }
        };
        if !fine {
            return false;
        }
    }
    true
}

fn lexeme<'a>(
    text: &'static str,
) -> impl Parser<Input<'a>, &'a str, winnow::error::ErrMode<winnow::error::ContextError>> {
    delimited(multispace0, text, multispace0)
}

fn keyword<'a>(
    text: &'static str,
) -> impl Parser<Input<'a>, &'a str, winnow::error::ErrMode<winnow::error::ContextError>> {
    let end = winnow::combinator::not(one_of(|next: char| next.is_alphanumeric()));
    delimited(multispace0, terminated(Caseless(text), end), multispace0)
}
