//! What goes wrong between bytes and shapes.

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A decoding error. The text is fit for the caller: it names members and kinds, never internals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not the format (JSON, form, XML) they claim to be.
    #[error("{message} at byte {offset}")]
    Syntax { message: &'static str, offset: usize },
    /// A well-formed value of a kind the shape does not take.
    #[error("{0}")]
    Kind(String),
    /// A member that has no default is absent.
    #[error("{shape} lacks {member}")]
    Missing { shape: &'static str, member: &'static str },
    /// A string that is none of an enumeration's values.
    #[error("{value:?} is not one of the values of {shape}")]
    Enum { shape: &'static str, value: String },
    /// An error below a member, with the member's name in front.
    #[error("{member}: {source}")]
    Member { member: &'static str, source: Box<Error> },
    /// A signature or credential that cannot be read.
    #[error("{0}")]
    Signature(String),
}

impl Error {
    /// `found` stands where `expected` should: the wording AWS uses for JSON values.
    pub fn mismatch(found: &str, expected: &str) -> Self {
        let article = if expected.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
        Error::Kind(format!("{found} can not be converted to {article} {expected}"))
    }

    /// The same error, seen from the structure that holds `member`.
    pub fn within(self, member: &'static str) -> Self {
        Error::Member { member, source: Box::new(self) }
    }
}
