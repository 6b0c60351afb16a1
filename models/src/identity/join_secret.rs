//! The text that a node joins with: which site, whom to believe there, and the proof.

use crate::{
    Id, Name,
    identity::{join_token::JoinToken, secret::Secret},
};

/// What the text begins with.
const MARK: &str = "cirro-join";

/// What the secret of a join token says: `cirro-join:SITE:SHA256-OF-THE-AUTHORITY:ID:PROOF`.
///
/// The fingerprint lets a machine that knows nothing yet tell the site's identity service from anybody else, before it
/// shows the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinSecret {
    /// The site.
    pub site: Name,
    /// SHA-256 of the certificate (DER) of the site's authority.
    pub authority: [u8; 32],
    /// Which join token.
    pub id: Id<JoinToken>,
    /// What only its holder knows.
    pub proof: Secret,
}

impl JoinSecret {
    /// As text: this is the secret that is shown once.
    pub fn text(&self) -> Secret {
        let authority: String = self.authority.iter().map(|byte| format!("{byte:02x}")).collect();
        Secret::new(format!("{MARK}:{}:{authority}:{}:{}", self.site, self.id, self.proof.expose()))
    }
    /// What a text says, if it is one.
    pub fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        let [MARK, site, authority, id, proof] = parts[..] else { return None };
        let plain = (16..=128).contains(&proof.len()) && proof.bytes().all(|byte| byte.is_ascii_graphic());
        Some(Self {
            site: Name::parse(site).ok()?,
            authority: bytes(authority)?,
            id: id.parse().ok()?,
            proof: plain.then(|| Secret::new(proof))?,
        })
    }
}

/// 32 bytes, written in hexadecimal.
fn bytes(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let pairs: Vec<u8> = digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect();
    if digits.len() == 64 { pairs.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_nothing_else_is_one() {
        let secret = JoinSecret {
            site: Name::parse("lab").unwrap(),
            authority: std::array::from_fn(|n| u8::try_from(n * 7).unwrap()),
            id: Id::new(),
            proof: Secret::new("x".repeat(43)),
        };
        let text = secret.text();
        assert_eq!(JoinSecret::read(text.expose()), Some(secret.clone()));
        assert_eq!(JoinSecret::read(&format!("{}\n", text.expose())), Some(secret.clone()));
        let part = |n: usize, with: &str| {
            let mut parts: Vec<&str> = text.expose().split(':').collect();
            parts[n] = with;
            parts.join(":")
        };
        let cut = text.expose().rsplit_once(':').unwrap().0.to_owned();
        let long = format!("{}:", text.expose());
        for none in [
            "",
            "cirro-join",
            &cut,
            &long,
            &part(0, "x"),
            &part(1, "a b"),
            &part(2, "00"),
            &part(3, "1"),
            &part(2, &"é".repeat(32)),
            &part(4, "short"),
            &part(4, &"x".repeat(129)),
            &part(4, &"\n".repeat(20)),
        ] {
            assert_eq!(JoinSecret::read(none), None, "{none:?}");
        }
        assert!(!format!("{secret:?}").contains("xxx"));
    }
}
