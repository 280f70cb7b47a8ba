//! What the faults of services have in common.

use longshore_wire::Fault;

/// Faults of a service's model (`def` in the scope of the call) that are made of a message alone: the function's name, the
/// model's, the code that is sent.
macro_rules! faults {
    ($($name:ident $def:ident $code:literal;)*) => {
        $(#[doc = concat!("`", $code, "`")]
        pub fn $name(message: impl Into<String>) -> longshore_wire::Fault {
            longshore_wire::Fault::new(&def::$def, message)
        })*
    };
}

pub(crate) use faults;

/// What AWS has and Longshore does not, yet.
pub fn not_built(what: &str) -> Fault {
    Fault::common("UnsupportedOperationException", 400, format!("Longshore does not implement {what} yet"))
}
