//! Types with a place in the shape tables, by declaration.

/// Declares a hand-made structure: stored records and messages.
///
/// Derives `Clone`, `Debug`, `PartialEq`; ask for more (`#[derive(Default)]`) above it. A field is absent from the wire
/// when it is `None`, `false`, or an empty list or map; absent numbers, strings, flags and collections read as their
/// default, while absent timestamps, blobs, enumerations and structures are an error unless they are in an `Option`.
///
/// ```
/// longshore_wire::record! {
///     /// A thing.
///     #[derive(Default)]
///     pub struct Thing {
///         /// How many.
///         pub count: i64 = "count",
///         pub labels: Vec<String> = "labels",
///         pub parent: Option<String> = "parentArn",
///     }
/// }
/// let thing = Thing { count: 2, ..Thing::default() };
/// assert_eq!(longshore_wire::json::to_vec(&thing), br#"{"count":2}"#);
/// ```
#[macro_export]
macro_rules! record {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty = $wire:literal),* $(,)?
    })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }

        $crate::shape_of_structure! {
            $name,
            $crate::ShapeDef::structure(stringify!($name)),
            { $($field = $crate::MemberDef::new($wire, $crate::ShapeRef::of::<$type>()),)* }
        }
    )+};
}

/// Declares a structure of a service model: every member an `Option`. For the code generator.
#[macro_export]
macro_rules! structure {
    ($name:ident, $def:expr, { $($field:ident : $type:ty = $member:expr,)* }) => {
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $(pub $field: Option<$type>,)*
        }

        $crate::shape_of_structure! { $name, $def, { $($field = $member,)* } }
    };
}

/// The [`Shape`](crate::Shape) of a struct whose fields stand in the order of the members.
#[doc(hidden)]
#[macro_export]
macro_rules! shape_of_structure {
    ($name:ident, $def:expr, { $($field:ident = $member:expr,)* }) => {
        impl $crate::Shape for $name {
            fn def() -> &'static $crate::ShapeDef {
                static DEF: $crate::ShapeDef = $def.members(&[$($member,)*]);
                &DEF
            }

            #[allow(unused_mut, unused_variables)]
            fn from_value(value: $crate::Value) -> $crate::Result<Self> {
                let mut fields = value.into_fields(Self::def())?;
                Ok($name { $($field: fields.take()?,)* })
            }

            #[allow(unused_mut, unused_variables, unused_assignments)]
            fn write(&self, writer: &mut dyn $crate::Writer) {
                let def = Self::def();
                writer.structure(def);
                let mut members = def.members.iter();
                $($crate::write_member(&mut members, &self.$field, writer);)*
                writer.end();
            }
        }
    };
}

/// Declares an enumeration of strings.
///
/// ```
/// longshore_wire::string_enum! {
///     /// Where a task is.
///     pub enum Status { Running = "RUNNING", Stopped = "STOPPED" }
/// }
/// assert_eq!("RUNNING".parse(), Ok(Status::Running));
/// assert_eq!(Status::ALL.len(), 2);
/// assert_eq!(Status::Stopped.to_string(), "STOPPED");
/// ```
#[macro_export]
macro_rules! string_enum {
    ($($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $wire:literal),* $(,)?
    })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// Every spelling, in order of declaration.
            pub const VALUES: &'static [&'static str] = &[$($wire,)*];

            /// The spelling on the wire.
            pub const fn as_str(self) -> &'static str {
                Self::VALUES[self as usize]
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(text: &str) -> ::std::result::Result<Self, $crate::Error> {
                match Self::VALUES.iter().position(|value| *value == text) {
                    Some(index) => Ok(Self::ALL[index]),
                    None => Err($crate::Error::Enum { shape: stringify!($name), value: text.to_owned() }),
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::Shape for $name {
            fn def() -> &'static $crate::ShapeDef {
                static DEF: $crate::ShapeDef =
                    $crate::ShapeDef::new(stringify!($name), $crate::Kind::String).values($name::VALUES);
                &DEF
            }

            fn from_value(value: $crate::Value) -> $crate::Result<Self> {
                <String as $crate::Shape>::from_value(value)?.parse()
            }

            fn write(&self, writer: &mut dyn $crate::Writer) {
                writer.string(self.as_str());
            }
        }
    )+};
}

/// Declares a string with a type of its own: ids, names, ARNs. Absent is an error unless it is in an `Option`.
#[macro_export]
macro_rules! string_newtype {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name(String);

        impl $name {
            /// The text as it is; whoever makes one has checked it.
            pub fn new(text: impl Into<String>) -> Self {
                $name(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, owned.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl ::std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl $crate::Shape for $name {
            fn def() -> &'static $crate::ShapeDef {
                static DEF: $crate::ShapeDef =
                    $crate::ShapeDef::new(stringify!($name), $crate::Kind::String);
                &DEF
            }

            fn from_value(value: $crate::Value) -> $crate::Result<Self> {
                <String as $crate::Shape>::from_value(value).map($name)
            }

            fn write(&self, writer: &mut dyn $crate::Writer) {
                writer.string(&self.0);
            }
        }
    )+};
}

/// Declares an enum with one payload per variant, written as a structure with exactly one member.
///
/// ```
/// longshore_wire::union! {
///     pub enum Step { Wait(i64) = "wait", Run(String) = "run" }
/// }
/// assert_eq!(longshore_wire::json::to_vec(&Step::Wait(3)), br#"{"wait":3}"#);
/// assert_eq!(longshore_wire::json::from_slice::<Step>(br#"{"run":"x"}"#), Ok(Step::Run("x".into())));
/// ```
#[macro_export]
macro_rules! union {
    ($($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident($type:ty) = $wire:literal),* $(,)?
    })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $name {
            $($(#[$variant_meta])* $variant($type),)*
        }

        impl $crate::Shape for $name {
            fn def() -> &'static $crate::ShapeDef {
                static DEF: $crate::ShapeDef = $crate::ShapeDef::structure(stringify!($name)).union().members(&[
                    $($crate::MemberDef::new($wire, $crate::ShapeRef::of::<$type>()),)*
                ]);
                &DEF
            }

            fn from_value(value: $crate::Value) -> $crate::Result<Self> {
                let mut fields = value.into_fields(Self::def())?;
                let mut found = None;
                $(if let Some(payload) = fields.take::<Option<$type>>()? {
                    found = Some($name::$variant(payload));
                })*
                found.ok_or($crate::Error::Missing { shape: stringify!($name), member: "a variant" })
            }

            fn write(&self, writer: &mut dyn $crate::Writer) {
                let def = Self::def();
                writer.structure(def);
                $(if let $name::$variant(payload) = self
                    && let Some(member) = def.members.iter().find(|member| member.name == $wire)
                {
                    writer.member(member);
                    $crate::Shape::write(payload, writer);
                })*
                writer.end();
            }
        }
    )+};
}

/// Writes one field if it is present; `members` stands at the field's table entry.
#[doc(hidden)]
pub fn write_member<T: crate::Shape>(
    members: &mut std::slice::Iter<'static, crate::MemberDef>,
    field: &T,
    writer: &mut dyn crate::Writer,
) {
    let Some(member) = members.next() else { return };
    if field.is_present() {
        writer.member(member);
        field.write(writer);
    }
}
