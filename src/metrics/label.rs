//! Labels: closed sets of values, each with a number. A metric with a label is an array, and a
//! value's number is its place there: no name is hashed or compared while requests are served.

/// A label of a metric.
pub trait Label: Copy {
    /// Its name in the exposition.
    const NAME: &'static str;

    /// All its values, in the order of their numbers.
    fn values() -> Vec<&'static str>;

    /// The place of this value among all.
    fn number(self) -> usize;
}

/// Defines a label as an enum: each variant with its text in the exposition.
macro_rules! label {
    ($(#[$about:meta])* $label:ident = $text:literal { $($(#[$of:meta])* $value:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $label { $($(#[$of])* $value,)+ }

        impl $label {
            /// All its values.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// Its text in the exposition.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }
        }

        impl $crate::metrics::label::Label for $label {
            const NAME: &'static str = $text;

            fn values() -> Vec<&'static str> {
                vec![$($name,)+]
            }

            fn number(self) -> usize {
                self as usize
            }
        }
    };
}

pub(crate) use label;
