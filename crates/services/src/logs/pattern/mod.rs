//! CloudWatch's filter patterns: which log events are meant.
//!
//! ```text
//!   ERROR "out of memory" -debug     all of these words, none with a minus         (terms)
//!   ?timeout ?refused                any of these words
//!   %5[0-9]{2}%                      a regular expression, also in the two forms below
//!   { $.status >= 500 && $.user IS NULL }                                          (json)
//!   [ip, user, ..., status = 4*, bytes > 100]                                      (fields)
//! ```
//!
//! Words are found anywhere in a message, case matters. The empty pattern means every event. Matching takes time in
//! proportion to the message: globs never go back, regular expressions are automata.
//!
//! Pure, and knows nothing of log groups. Left out: metric extraction and what only metric filters have.

mod fields;
mod glob;
mod json;
mod parse;
mod terms;
#[cfg(test)]
mod tests;
mod value;

/// Parentheses that may nest.
const MAX_DEPTH: usize = 32;

/// Regular expressions in one json or fields pattern.
const MAX_REGEXES: usize = 2;

/// The text is no filter pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// A filter pattern, ready to match.
#[derive(Debug)]
pub struct Pattern(Form);

#[derive(Debug)]
enum Form {
    All,
    Terms(terms::Terms),
    Json(json::Condition),
    Fields(fields::Fields),
}

impl Pattern {
    /// The pattern that a text spells. AWS takes up to 1024 characters; longer ones are refused before this.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if depth(text) > MAX_DEPTH {
            return Err(Invalid);
        }
        let form = match text.chars().next() {
            None => Form::All,
            Some('{') => {
                let condition = parse::all(text, parse::json)?;
                let regexes = condition.regexes();
                Form::Json(few_regexes(condition, regexes)?)
            }
            Some('[') => {
                let fields = parse::all(text, parse::fields)?;
                let regexes = fields.regexes();
                Form::Fields(few_regexes(fields, regexes)?)
            }
            Some(_) => Form::Terms(parse::all(text, parse::terms)?),
        };
        Ok(Self(form))
    }

    /// Whether an event with this message is meant.
    pub fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Form::All => true,
            Form::Terms(terms) => terms.matches(message),
            Form::Json(condition) => condition.matches(message),
            Form::Fields(fields) => fields.matches(message),
        }
    }
}

/// How deep parentheses nest, at most: those in quotes count too.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The text's form, unless it has more regular expressions than AWS takes.
fn few_regexes<T>(form: T, regexes: usize) -> Result<T, Invalid> {
    match regexes <= MAX_REGEXES {
        true => Ok(form),
        false => Err(Invalid),
    }
}
