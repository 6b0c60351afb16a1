//! The text that a script shows: which key, and the proof.

use crate::{
    Id,
    identity::{api_key::ApiKey, secret::Secret},
};

/// What the text begins with. It is what tools that look for leaked secrets know it by.
const MARK: &str = "cirro_key_";

/// What the secret of an API key says: `cirro_key_ID_PROOF`, plain enough for `Authorization: Bearer` (RFC 6750, 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySecret {
    /// Which key.
    pub id: Id<ApiKey>,
    /// What only its holder knows.
    pub proof: Secret,
}

impl KeySecret {
    /// As text: this is the secret that is shown once.
    pub fn text(&self) -> Secret {
        Secret::new(format!("{MARK}{}_{}", self.id, self.proof.expose()))
    }
    /// What a text says, if it is one. No token is: those begin with a brace in base64.
    pub fn read(text: &str) -> Option<Self> {
        let (id, proof) = text.strip_prefix(MARK)?.split_once('_')?;
        let plain = (16..=128).contains(&proof.len()) && proof.bytes().all(|byte| byte.is_ascii_graphic());
        Some(Self { id: id.parse().ok()?, proof: plain.then(|| Secret::new(proof))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_nothing_else_is_one() {
        let secret = KeySecret { id: Id::new(), proof: Secret::new("x_-".repeat(10)) };
        let text = secret.text();
        assert_eq!(KeySecret::read(text.expose()), Some(secret.clone()));
        let id = secret.id;
        for none in [
            String::new(),
            "cirro_key_".to_owned(),
            format!("cirro_key_{id}"),
            format!("cirro_key_{id}_short"),
            format!("cirro_key_{id}_{}", "x".repeat(129)),
            format!("cirro_key_{id}_{}", "x\n".repeat(20)),
            format!("cirro_key_1_{}", "x".repeat(32)),
            format!(" {}", text.expose()),
            "eyJhbGciOiJFZERTQSJ9.e30.c2ln".to_owned(),
        ] {
            assert_eq!(KeySecret::read(&none), None, "{none:?}");
        }
        assert!(!format!("{secret:?}").contains("x_-"));
    }
}
