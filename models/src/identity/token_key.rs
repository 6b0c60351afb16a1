//! The public halves of the keys that tokens are signed with.

use crate::{Id, Meta, Model, Timestamp};

/// A key that signs tokens, as everybody may know it. Identity makes the next one in time; creating one here signs with it
/// at once, and deleting one ends every token that it has signed.
#[derive(Model)]
#[model(service = Identity, path = "tokenkey", scope = Site)]
#[model(create = Operator, read = Anyone, update = Nobody, delete = Operator, services(read))]
pub struct TokenKey {
    /// Its id.
    pub id: Id<TokenKey>,
    /// What tokens call it (`kid`).
    #[model(system)]
    pub kid: String,
    /// The public key (Ed25519), base64url.
    #[model(system)]
    pub public_key: String,
    /// Tokens are signed with it from here on, until the next one takes over.
    #[model(system, default = Timestamp::now())]
    pub signs_from: Timestamp,
    /// Then the last token that it can have signed has expired, and it goes.
    #[model(system, default = Timestamp::now())]
    pub ends_at: Timestamp,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
