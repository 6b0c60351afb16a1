//! Passwords as argon2id hashes (RFC 9106), computed off the async threads, a few at a time.

use argon2::{
    Argon2, PasswordHash, PasswordHasher, PasswordVerifier,
    password_hash::{SaltString, rand_core::OsRng},
};
use cirro_models::{Error, Result, identity::Secret};
use tokio::sync::Semaphore;

/// Each hash takes 19 MiB (argon2's default): more at once would let logins eat the memory.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What an unknown user's password is compared with, so that the answer takes as long as for a known one.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Ri+Ht5hp4mpt1lHrFYxzR1HZPjgqLXCQqLSWyyy3Obk";

/// The hash to keep.
pub(crate) async fn hash(password: Secret) -> Result<String> {
    let _turn = AT_ONCE.acquire().await.map_err(Error::internal)?;
    let work = move || {
        let salt = SaltString::generate(&mut OsRng);
        Argon2::default().hash_password(password.expose().as_bytes(), &salt).map(|hash| hash.to_string())
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
