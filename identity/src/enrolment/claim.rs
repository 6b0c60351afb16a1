//! Which machine uses a join token: a record that makes a repetition the same joining.

use cirro_models::{
    Error, GiB, Id, MiB, Name, Result, Vcpus,
    identity::{EnrolmentRequest, JoinToken},
    sql::{AnyConnection, Column},
};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{Guid, Text, Nullable};
        join_claim (token_id) { token_id -> Guid, key_hash -> Text, offer -> Text, certificate -> Nullable<Text>, }
    }
}
use tables::join_claim;

/// What a machine offers, as far as its join token approves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) name: Name,
    pub(super) vcpus: Vcpus,
    pub(super) memory_mib: MiB,
    pub(super) disk_gib: GiB,
}

/// The use of a join token.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// SHA-256 of the machine's public key.
    pub(super) key_hash: String,
    pub(super) offer: Offer,
    /// What it was answered, once it is a node.
    pub(super) certificate: Option<String>,
}

impl Offer {
    /// What is asked for, at most what is approved.
    pub(super) fn approved(asked: &EnrolmentRequest, token: &JoinToken) -> Self {
        Self {
            name: token.name.clone().unwrap_or_else(|| asked.name.clone()),
            vcpus: token.vcpus.map_or(asked.vcpus, |most| asked.vcpus.min(most)),
            memory_mib: token.memory_mib.map_or(asked.memory_mib, |most| asked.memory_mib.min(most)),
            disk_gib: token.disk_gib.map_or(asked.disk_gib, |most| asked.disk_gib.min(most)),
        }
    }
}

fn failed(error: diesel::result::Error) -> Error {
    Error::internal(error)
}

pub(super) fn find(c: &mut AnyConnection, token: Id<JoinToken>) -> Result<Option<Claim>> {
    let kept: Option<(String, String, Option<String>)> = join_claim::table
        .find(token.store())
        .select((join_claim::key_hash, join_claim::offer, join_claim::certificate))
        .first(c)
        .optional()
        .map_err(failed)?;
    let claim = |(key_hash, offer, certificate): (String, String, _)| {
        let offer = serde_json::from_str(&offer).map_err(Error::internal)?;
        Ok(Claim { key_hash, offer, certificate })
    };
    kept.map(claim).transpose()
}

pub(super) fn add(c: &mut AnyConnection, token: Id<JoinToken>, claim: &Claim) -> Result<()> {
    let offer = serde_json::to_string(&claim.offer).map_err(Error::internal)?;
    let row = (
        join_claim::token_id.eq(token.store()),
        join_claim::key_hash.eq(&claim.key_hash),
        join_claim::offer.eq(offer),
        join_claim::certificate.eq(&claim.certificate),
    );
    diesel::insert_into(join_claim::table).values(row).execute(c).map(drop).map_err(failed)
}

pub(super) fn finish(c: &mut AnyConnection, token: Id<JoinToken>, certificate: &str) -> Result<()> {
    let kept = join_claim::table.find(token.store());
    diesel::update(kept).set(join_claim::certificate.eq(certificate)).execute(c).map(drop).map_err(failed)
}

/// Gives the token back, unless its machine is a node by now.
pub(super) fn release(c: &mut AnyConnection, token: Id<JoinToken>, key_hash: &str) -> Result<()> {
    let begun = join_claim::key_hash.eq(key_hash).and(join_claim::certificate.is_null());
    diesel::delete(join_claim::table.find(token.store()).filter(begun)).execute(c).map(drop).map_err(failed)
}

/// Forgets it with its token.
pub(super) fn forget(c: &mut AnyConnection, token: Id<JoinToken>) -> Result<()> {
    diesel::delete(join_claim::table.find(token.store())).execute(c).map(drop).map_err(failed)
}
