//! Tokens that end before their time.

use crate::{Id, Meta, Model};

/// Ends what somebody's tokens are good for, as of when it was created: tokens that are made later are good. It stays
/// until the last of them would have expired.
#[derive(Model)]
#[model(service = Identity, path = "revocation", scope = Site)]
#[model(create = Operator, read = Operator, update = Nobody, delete = Nobody, services(read))]
pub struct Revocation {
    /// Its id.
    pub id: Id<Revocation>,
    /// Whose tokens: `user:ID`, `key:ID:USER`, `node:ID`; or one alone, `token:` and its `jti`.
    #[model(create, filter)]
    pub subject: String,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
