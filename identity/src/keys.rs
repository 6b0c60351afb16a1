//! The keys that sign tokens, one after the other: the next is made and published before the one before it ends, and
//! each stays published until the last token that it signed has expired.

use crate::records;
use base64::{Engine, engine::general_purpose::STANDARD};
use cirro_models::{
    Error, Labels, Model, Result, Timestamp,
    identity::{
        TokenKey,
        token_key::{NewTokenKey, TokenKeyFilter},
    },
    meta::Meta,
    model::Seed,
    sql::{AnyConnection, Table},
};
use cirro_server::{
    Tx,
    token::{KEPT_S, SigningKey},
};
use std::sync::Arc;
use uuid::Uuid;

/// How long a key signs, in seconds: a stolen one is of use for a day at most.
pub const SIGNS_S: i64 = 24 * 3600;
/// How long before it signs the next key is published, in seconds: far longer than a verifier needs to hear of it.
pub const AHEAD_S: i64 = 3600;
/// The most keys at once: a token is refused by who has not heard of its key, so they are not to come faster.
const MOST: usize = 8;
/// Held by every transaction that makes a key or takes one away.
const KEYS: i64 = 0x1de_0002;

/// A key with its private half.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) row: TokenKey,
    pub(crate) key: Arc<SigningKey>,
}

/// All keys, the one that signs last at the end.
pub(crate) fn held(c: &mut AnyConnection) -> Result<Vec<Held>> {
    let reach = cirro_models::Reach::All;
    let rows = TokenKey::page(c, &TokenKeyFilter::default(), &reach, None, 1000).map_err(Error::internal)?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        // one that is just going has no secret left
        if let Some(secret) = records::signing_key(c, &row.kid)? {
            let key = SigningKey::from_bytes(&STANDARD.decode(secret).map_err(Error::internal)?)?;
            all.push(Held { row, key: Arc::new(key) });
        }
    }
    all.sort_by_key(|held| held.row.signs_from);
    Ok(all)
}

/// The key to sign with at this moment: the newest whose time has come.
pub(crate) fn signing(keys: &[Held], now: Timestamp) -> Option<&Held> {
    keys.iter().rev().find(|held| held.row.signs_from <= now).or_else(|| keys.first())
}

/// Whether there is something to do: a key to be made or one to go.
pub(crate) fn is_due(keys: &[Held], now: Timestamp) -> bool {
    let next = keys.last().is_none_or(|last| last.row.signs_from.plus_seconds(SIGNS_S - AHEAD_S) <= now);
    next || keys.iter().any(|held| held.row.ends_at <= now)
}

fn all(tx: &mut Tx<'_>) -> Result<Vec<TokenKey>> {
    tx.exclusive(KEYS)?;
    let mut keys = tx.list::<TokenKey>(&TokenKeyFilter::default(), 1000)?;
    keys.sort_by_key(|key| key.signs_from);
    Ok(keys)
}

/// Makes the next key when it is time, and removes those that have ended.
pub(crate) fn renew(tx: &mut Tx<'_>, now: Timestamp) -> Result<()> {
    let keys = all(tx)?;
    let from = match keys.last().map(|last| last.signs_from.plus_seconds(SIGNS_S)) {
        Some(end) if end.plus_seconds(-AHEAD_S) > now => None,
        // the site may have been off for days
        Some(end) => Some(end.max(now)),
        None => Some(now),
    };
    if let Some(from) = from {
        let seed = Seed { id: Uuid::now_v7(), project: None, user: None, meta: Meta::created(tx.by()) };
        add(tx, TokenKey::build(NewTokenKey { labels: Labels::default() }, seed)?, from)?;
    }
    // the key that was just made is none of these
    for ended in keys.iter().filter(|key| key.ends_at <= now) {
        remove(tx, ended)?;
    }
    Ok(())
}

/// A new key that signs at once.
pub(crate) fn rotate(tx: &mut Tx<'_>, draft: TokenKey, now: Timestamp) -> Result<TokenKey> {
    let keys = all(tx)?;
    if keys.len() >= MOST {
        return Err(Error::TooManyRequests {
            detail: format!("there are {MOST} keys already, with tokens that still live: delete one, or wait"),
            retry_after_s: 60,
        });
    }
    add(tx, draft, now)
}

/// Takes a key away with all that it has signed; if it was the one to sign with, another is made.
pub(crate) fn retire(tx: &mut Tx<'_>, key: &TokenKey, now: Timestamp) -> Result<()> {
    let others = all(tx)?.into_iter().filter(|other| other.id != key.id);
    remove(tx, key)?;
    if !others.into_iter().any(|other| other.signs_from <= now) {
        let seed = Seed { id: Uuid::now_v7(), project: None, user: None, meta: Meta::created(tx.by()) };
        add(tx, TokenKey::build(NewTokenKey { labels: Labels::default() }, seed)?, now)?;
    }
    Ok(())
}

fn remove(tx: &mut Tx<'_>, key: &TokenKey) -> Result<()> {
    records::forget_signing_key(tx.connection(), &key.kid)?;
    tx.remove(key)
}

/// Makes a key that signs from this moment on; those before it end when their last token has.
fn add(tx: &mut Tx<'_>, mut row: TokenKey, from: Timestamp) -> Result<TokenKey> {
    for before in all(tx)? {
        let end = from.plus_seconds(KEPT_S);
        if before.signs_from <= from && before.ends_at > end {
            tx.change_from(&before, |key| key.ends_at = end)?;
        }
    }
    let key = SigningKey::generate()?;
    let jwk = key.jwk()?;
    records::add_signing_key(tx.connection(), &jwk.kid, &STANDARD.encode(key.to_bytes()?), from)?;
    (row.kid, row.public_key) = (jwk.kid, jwk.x);
    (row.signs_from, row.ends_at) = (from, from.plus_seconds(SIGNS_S + KEPT_S));
    tx.insert(&row).map(|()| row)
}
