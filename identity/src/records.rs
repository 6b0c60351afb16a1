//! What only this service keeps: hashes and keys. None of it is part of a model.

use cirro_models::{
    Error, Id, Result, Timestamp,
    identity::{Secret, User},
    sql::{AnyConnection, Both, Column},
};
use diesel::prelude::*;

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{Guid, Text};
        user_password (user_id) { user_id -> Guid, hash -> Text, }
    }
    diesel::table! {
        use cirro_models::sql::types::{Text, BigInt};
        secret_hash (owner) { owner -> Text, hash -> Text, expires_us -> BigInt, }
    }
    diesel::table! {
        use cirro_models::sql::types::{Text, BigInt};
        signing_key (kid) { kid -> Text, secret -> Text, created_us -> BigInt, }
    }
}
use tables::{secret_hash, signing_key, user_password};

fn failed(error: diesel::result::Error) -> Error {
    Error::internal(error)
}

pub(crate) fn set_password(c: &mut AnyConnection, user: Id<User>, hash: &str) -> Result<()> {
    let row = (user_password::user_id.eq(user.store()), user_password::hash.eq(hash));
    let insert = diesel::insert_into(user_password::table).values(row);
    let upsert = insert.on_conflict(user_password::user_id).do_update().set(user_password::hash.eq(hash));
    Both(upsert).execute(c).map(drop).map_err(failed)
}

pub(crate) fn password_of(c: &mut AnyConnection, user: Id<User>) -> Result<Option<String>> {
    user_password::table.find(user.store()).select(user_password::hash).first(c).optional().map_err(failed)
}

pub(crate) fn forget_password(c: &mut AnyConnection, user: Id<User>) -> Result<()> {
    diesel::delete(user_password::table.find(user.store())).execute(c).map(drop).map_err(failed)
}

/// Keeps the hash of a random secret, until it expires.
pub(crate) fn set_secret(c: &mut AnyConnection, owner: &str, secret: &Secret, expires: Timestamp) -> Result<()> {
    let (hash, expires) = (crate::password::digest(secret), expires.micros());
    let row = (secret_hash::owner.eq(owner), secret_hash::hash.eq(&hash), secret_hash::expires_us.eq(expires));
    let insert = diesel::insert_into(secret_hash::table).values(row);
    let set = (secret_hash::hash.eq(&hash), secret_hash::expires_us.eq(expires));
    Both(insert.on_conflict(secret_hash::owner).do_update().set(set)).execute(c).map(drop).map_err(failed)
}

/// Whether this is the owner's secret, and still good.
pub(crate) fn is_secret_of(c: &mut AnyConnection, owner: &str, secret: &Secret) -> Result<bool> {
    let kept: Option<(String, i64)> = secret_hash::table
        .find(owner)
        .select((secret_hash::hash, secret_hash::expires_us))
        .first(c)
        .optional()
        .map_err(failed)?;
    let given = crate::password::digest(secret);
    Ok(kept.is_some_and(|(hash, expires)| {
        openssl::memcmp::eq(hash.as_bytes(), given.as_bytes()) && expires > Timestamp::now().micros()
    }))
}

pub(crate) fn forget_secret(c: &mut AnyConnection, owner: &str) -> Result<usize> {
    diesel::delete(secret_hash::table.find(owner)).execute(c).map_err(failed)
}

/// Forgets the secrets whose owner begins with this, such as all refresh secrets of a user.
pub(crate) fn forget_secrets_of(c: &mut AnyConnection, prefix: &str) -> Result<()> {
    diesel::delete(secret_hash::table.filter(secret_hash::owner.like(format!("{prefix}%"))))
        .execute(c)
        .map(drop)
        .map_err(failed)
}

/// Whose secrets are kept, as their texts name them: `key:ID`, `refresh:USER:…`, `join:ID`.
pub(crate) fn secret_owners(c: &mut AnyConnection) -> Result<Vec<String>> {
    secret_hash::table.select(secret_hash::owner).load(c).map_err(failed)
}

/// The private half of a key that signs tokens, in base64.
pub(crate) fn signing_key(c: &mut AnyConnection, kid: &str) -> Result<Option<String>> {
    signing_key::table.find(kid).select(signing_key::secret).first(c).optional().map_err(failed)
}

pub(crate) fn add_signing_key(c: &mut AnyConnection, kid: &str, secret: &str, created: Timestamp) -> Result<()> {
    let row = (signing_key::kid.eq(kid), signing_key::secret.eq(secret), signing_key::created_us.eq(created.micros()));
    diesel::insert_into(signing_key::table).values(row).execute(c).map(drop).map_err(failed)
}

pub(crate) fn forget_signing_key(c: &mut AnyConnection, kid: &str) -> Result<()> {
    diesel::delete(signing_key::table.find(kid)).execute(c).map(drop).map_err(failed)
}
