//! What it takes to sign in to somebody else's registry, for a node that pulls and for a registry that copies: what it asks for
//! ([`Challenge`]), the token that its server hands out ([`token`]), and the file that credentials are in ([`private_file`]).
//! Where a token server may be is whose it is to say who asks.

mod challenge;
mod file;

pub use challenge::{Challenge, token};
pub use file::private_file;
