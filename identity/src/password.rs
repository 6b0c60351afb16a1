//! Passwords as argon2id hashes (RFC 9106), computed off the async threads, a few at a time.

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::{SaltString, rand_core::OsRng},
};
use cirro_models::{Error, Result, identity::Secret};
use tokio::sync::Semaphore;

/// KiB of memory for one hash, and passes over it: of the equally strong pairs that OWASP's password storage cheat sheet
/// recommends, the one above 32 MiB. From there on glibc asks the kernel for each block and gives it back afterwards;
/// 19 MiB would stay with the process for ever.
const MEMORY: u32 = 47_104;
const PASSES: u32 = 1;

/// More hashes at once would let logins eat the memory.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What an unknown user's password is compared with, so that the answer takes as long as for a known one. How much work
/// a comparison is, the hash itself says.
const NOBODY: &str =
    "$argon2id$v=19$m=47104,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$Ri+Ht5hp4mpt1lHrFYxzR1HZPjgqLXCQqLSWyyy3Obk";

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY, PASSES, 1, None).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The hash to keep.
pub(crate) async fn hash(password: Secret) -> Result<String> {
    let _turn = AT_ONCE.acquire().await.map_err(Error::internal)?;
    let argon2 = argon2()?;
    let work = move || {
        let salt = SaltString::generate(&mut OsRng);
        argon2.hash_password(password.expose().as_bytes(), &salt).map(|hash| hash.to_string())
    };
    let hashed = tokio::task::spawn_blocking(work).await.map_err(Error::internal)?;
    hashed.map_err(|error| Error::internal(error.to_string()))
}

/// Whether the password is the one that was hashed; with nothing to compare it takes as long and says no.
pub(crate) async fn matches(password: Secret, hash: Option<String>) -> Result<bool> {
    let _turn = AT_ONCE.acquire().await.map_err(Error::internal)?;
    let work = move || {
        let known = hash.is_some();
        let text = hash.unwrap_or_else(|| NOBODY.to_owned());
        let right = PasswordHash::new(&text)
            .is_ok_and(|parsed| Argon2::default().verify_password(password.expose().as_bytes(), &parsed).is_ok());
        right && known
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

/// A secret that nobody can guess: 24 random bytes as 32 characters.
pub(crate) fn random_secret() -> Result<Secret> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = [0; 24];
    openssl::rand::rand_bytes(&mut bytes).map_err(Error::internal)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// The hash of a random secret: it needs no salt and no work factor.
pub(crate) fn digest(secret: &Secret) -> String {
    use std::fmt::Write;
    openssl::sha::sha256(secret.expose().as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        // writing to a text can't fail
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

    use super::*;

    #[tokio::test]
    async fn an_unknown_user_costs_what_a_known_one_does() {
        let kept = hash(Secret::new("a password")).await.unwrap();
        let work = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(work(&kept), work(NOBODY));
        assert!(matches(Secret::new("a password"), Some(kept.clone())).await.unwrap());
        assert!(!matches(Secret::new("another"), Some(kept)).await.unwrap());
        assert!(!matches(Secret::new("a password"), None).await.unwrap());
    }
}
