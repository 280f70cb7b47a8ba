//! Comparisons of a value with a literal, as both structured forms have them.

use regex::Regex;

use super::glob::Glob;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Operator {
    /// Whether it orders, which takes a number.
    pub fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Literal {
    Text(Glob),
    /// A number, and how it was written.
    Number(f64, Glob),
    Regex(Regex),
}

/// `= "x*"`, `>= 4.5`, `= %re%`
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    operator: Operator,
    literal: Literal,
}

impl Comparison {
    /// `None` for an order of texts.
    pub fn new(operator: Operator, literal: Literal) -> Option<Self> {
        let sound = !operator.orders() || matches!(literal, Literal::Number(..));
        sound.then_some(Self { operator, literal })
    }

    /// Regular expressions in it.
    pub fn regexes(&self) -> usize {
        usize::from(matches!(self.literal, Literal::Regex(_)))
    }

    /// Whether it holds for anything that is there.
    pub fn is_presence(&self) -> bool {
        let any = matches!(&self.literal, Literal::Text(glob) if glob.is_any());
        any && self.operator == Operator::Equal
    }

    pub fn holds_for_number(&self, number: f64, written: &str) -> bool {
        match &self.literal {
            Literal::Number(wanted, _) => self.operator.holds(number, *wanted),
            _ => self.holds_for_text(written),
        }
    }

    /// A text that reads as a number may equal one; only a number itself has an order.
    pub fn holds_for_text(&self, text: &str) -> bool {
        let equal = match &self.literal {
            Literal::Text(glob) => glob.matches(text),
            Literal::Number(_, written) => written.matches(text),
            Literal::Regex(regex) => regex.is_match(text),
        };
        match self.operator {
            Operator::Equal => equal,
            Operator::NotEqual => !equal,
            _ => false,
        }
    }
}
