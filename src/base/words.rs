//! Enums that are words on the wire and in the store.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown word `{0}` ")]
pub struct UnknownWord(pub String);

/// Declares an enum with one word per variant, for serde, `Display` and `FromStr` alike.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::base::words::UnknownWord;
            fn from_str(text: &str) -> Result<Self, $crate::base::words::UnknownWord> {
                match text { $($text => Ok($name::$variant),)+ _ => Err($crate::base::words::UnknownWord(text.to_owned())) }
            }
        }
    };
}

pub(crate) use text_enum;
