//! Closed lists of words ("running", "stopped") as enums that readers of a newer peer's answers survive.

/// A closed list of words. A reader keeps a word that it does not know as `Unknown`; a request that holds one is
/// refused with the nearest word that is known ([`crate::patch::Check`]).
pub trait Choice: Sized {
    /// Every known word, as on the wire.
    const WORDS: &'static [&'static str];
    /// The word on the wire.
    fn word(&self) -> &str;
    /// The value of this word, `Unknown` if it is none of [`Self::WORDS`].
    fn from_word(word: &str) -> Self;
    /// Whether this word is one of [`Self::WORDS`].
    fn is_known(&self) -> bool;
}

/// The sentence that refuses an unknown word and names the nearest known one.
pub fn refusal<C: Choice>(word: &str) -> String {
    let known = C::WORDS.join(", ");
    let shown: String = word.chars().take(64).collect();
    let nearest =
        C::WORDS.iter().max_by(|a, b| strsim::jaro_winkler(a, &shown).total_cmp(&strsim::jaro_winkler(b, &shown)));
    match nearest {
        Some(near) if strsim::jaro_winkler(near, &shown) > 0.7 => {
            format!("\"{shown}\" is not one of {known}; did you mean \"{near}\"?")
        }
        _ => format!("\"{shown}\" is not one of {known}"),
    }
}

/// Declares a [`Choice`] enum: `choice! { /// doc \n pub enum Power { /// doc \n Running = "running", … } }`.
#[macro_export]
macro_rules! choice {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word that this release does not know: written by a newer one.
            Unknown(String),
        }
        impl $crate::choice::Choice for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
            fn word(&self) -> &str {
                match self { $(Self::$variant => $word,)+ Self::Unknown(word) => word }
            }
            fn from_word(word: &str) -> Self {
                match word { $($word => Self::$variant,)+ other => Self::Unknown(other.to_owned()) }
            }
            fn is_known(&self) -> bool {
                !matches!(self, Self::Unknown(_))
            }
        }
        impl $crate::patch::Check for $name {
            fn check(&self) -> Result<(), String> {
                match self {
                    Self::Unknown(word) => Err($crate::choice::refusal::<Self>(word)),
                    _ => Ok(()),
                }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::choice::Choice::word(self))
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::Error;
            fn from_str(s: &str) -> Result<Self, $crate::Error> {
                let value = <Self as $crate::choice::Choice>::from_word(s);
                $crate::patch::Check::check(&value).map_err(|detail| $crate::Error::invalid(stringify!($name), detail))?;
                Ok(value)
            }
        }
        impl $crate::__private::serde::Serialize for $name {
            fn serialize<S: $crate::__private::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::choice::Choice::word(self))
            }
        }
        impl<'de> $crate::__private::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as $crate::__private::serde::Deserialize>::deserialize(deserializer)?;
                Ok(<Self as $crate::choice::Choice>::from_word(&word))
            }
        }
        impl $crate::__private::utoipa::PartialSchema for $name {
            fn schema() -> $crate::__private::utoipa::openapi::RefOr<$crate::__private::utoipa::openapi::Schema> {
                $crate::__private::utoipa::openapi::ObjectBuilder::new()
                    .schema_type($crate::__private::utoipa::openapi::schema::Type::String)
                    .enum_values(Some([$($word),+]))
                    .into()
            }
        }
        impl $crate::__private::utoipa::ToSchema for $name {}
    };
}
