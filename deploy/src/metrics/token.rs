//! What proves that a scraper may read the metrics: a token of its own, which opens nothing else.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use cirro_models::{Error, Result};
use openssl::sha::sha256;
use std::{fs, path::Path};

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;

/// A token, of which only the digest is kept.
pub(super) struct Token([u8; 32]);

impl Token {
    /// Reads it from its file. Blocks.
    pub(super) fn load(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).map_err(|error| {
            Error::unavailable(format!("the token for metrics {} can't be read ({error})", file.display()))
        })?;
        Self::new(text.trim()).ok_or_else(|| {
            let what = format!("{} holds less than {SHORTEST} characters: `cirro site init` makes one", file.display());
            Error::invalid("metrics_token_file", what)
        })
    }
    fn new(text: &str) -> Option<Self> {
        (text.len() >= SHORTEST).then(|| Self(sha256(text.as_bytes())))
    }
    /// Whether a request shows it. How long that takes tells nothing of it.
    pub(super) fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        shown.is_some_and(|shown| openssl::memcmp::eq(&sha256(shown.as_bytes()), &self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn only_the_whole_token_is_one() {
        let token = Token::new("0123456789abcdef").unwrap();
        let shows = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            token.is_shown(&headers)
        };
        assert!(shows("Bearer 0123456789abcdef"));
        for wrong in ["", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef"] {
            assert!(!shows(wrong), "{wrong}");
        }
        assert!(!token.is_shown(&HeaderMap::new()));
        assert!(Token::new("short").is_none());
    }
}
