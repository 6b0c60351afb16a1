//! A machine becomes a node: it shows the secret of a join token and a public key, and gets a certificate for that key.
//!
//! Whatever dies on the way, a repetition with the same key goes on where it was left: the token is the key's from the
//! first step on, node and pool are made under keys that are derived from it, and the certificate is kept as the answer.
//! So a used token is worth nothing to whoever finds it: it answers a certificate that they have no key for, and that ends
//! with the node's revocation.

mod claim;
mod renewal;

pub(crate) use renewal::renew;

use crate::{
    attempts::{Attempt, Attempts},
    authority::{Authority, RequestedKey},
    records,
    signer::{Signer, lock_of},
};
use actix_web::HttpRequest;
use cirro_models::{
    Context, Error, Id, Labels, Name, Principal, Result, Service, SiteRole, Verbs,
    compute::{Node, node::NewNode},
    identity::{Enrolment, EnrolmentRequest, JoinSecret, JoinToken, Secret},
    storage::{StoragePool, storage_pool::NewStoragePool},
};
use cirro_server::{
    Database, Tx,
    controller::service_subject,
    db::RequestNote,
    http::{Asked, Shared, client_address},
};
use claim::{Claim, Offer};
use std::sync::Arc;

/// Where the hash of a join token's proof is kept.
pub(crate) fn kept_as(token: Id<JoinToken>) -> String {
    format!("join:{token}")
}

/// Removes a join token with what is kept of it.
pub(crate) fn drop_token(tx: &mut Tx<'_>, token: &JoinToken) -> Result<()> {
    records::forget_secret(tx.connection(), &kept_as(token.id))?;
    claim::forget(tx.connection(), token.id)?;
    tx.remove(token)
}

fn wrong() -> Error {
    Error::unauthenticated(
        "the join token is unknown or has expired: ask an operator for another one, from `cirro node join-token`",
    )
}

/// One machine's joining.
#[derive(Clone)]
struct Joining {
    database: Arc<Database>,
    signer: Arc<Signer>,
    authority: Arc<Authority>,
    token: Id<JoinToken>,
    proof: Secret,
    key: RequestedKey,
    /// For the service's own work at others.
    ctx: Context,
}

/// Makes a node of the machine that asks, if it shows the secret of a join token.
pub(crate) async fn join(shared: &Shared, request: &HttpRequest, asked: EnrolmentRequest) -> Result<Enrolment> {
    let stores = &shared.stores;
    let authority = Authority::of(stores)?;
    let secret = JoinSecret::read(asked.secret.expose()).ok_or_else(wrong)?;
    let (database, signer) = (stores.part::<Database>()?, stores.part::<Signer>()?);
    prove(shared, request, &secret).await?;
    let key = RequestedKey::read(&asked.request)?;
    let id = Asked::of(request).request_id.clone();
    let note = Arc::new(RequestNote::of_stranger(id.clone(), "create", "enrolment"));
    let ctx = Context::verified(stores.clone(), service_subject(Service::Identity), None, id);
    let joining = Joining { database, signer, authority, token: secret.id, proof: secret.proof, key, ctx };
    let (token, claim) = joining.claim(asked).await?;
    let answered = token.node_id.zip(claim.certificate.clone());
    let (node, certificate) = if let Some(answered) = answered {
        answered
    } else {
        let node = joining.node(&token, &claim.offer).await?;
        (node, joining.finish(node, note).await?)
    };
    let authority = String::from_utf8(joining.authority.pem()?).map_err(Error::internal)?;
    Ok(Enrolment { node_id: node, site: joining.authority.site().clone(), certificate, authority })
}

/// Whether the proof is right, asked before anything that costs more; guesses are counted as logins are.
async fn prove(shared: &Shared, request: &HttpRequest, secret: &JoinSecret) -> Result<()> {
    let attempts = shared.stores.part::<Attempts>()?;
    let database = shared.stores.part::<Database>()?;
    let name = secret.id.to_string();
    let mut attempt = Attempt::new(&name, client_address(request)).with_drawn_secret();
    attempts.begin(&mut attempt).await?;
    let (owner, proof) = (kept_as(secret.id), secret.proof.clone());
    if database.read(move |c| records::is_secret_of(c, &owner, &proof)).await? {
        attempts.succeeded(&attempt).await;
        return Ok(());
    }
    attempts.failed(&attempt);
    Err(wrong())
}

impl Joining {
    /// Takes the token for this key, or finds that it was taken for it before.
    async fn claim(&self, asked: EnrolmentRequest) -> Result<(JoinToken, Claim)> {
        let joining = self.clone();
        let take = move |tx: &mut Tx<'_>| {
            let token = joining.token(tx)?;
            let key_hash = joining.key.hash();
            match claim::find(tx.connection(), token.id)? {
                Some(claim) if claim.key_hash == key_hash => return Ok((token, claim)),
                Some(_) => return Err(used()),
                None => {}
            }
            let claim = Claim { key_hash, offer: Offer::approved(&asked, &token), certificate: None };
            claim::add(tx.connection(), token.id, &claim)?;
            Ok((token, claim))
        };
        self.database.write(&service_subject(Service::Identity), None, take).await
    }
    /// The token, while nobody else uses it, if the proof is still good.
    fn token(&self, tx: &mut Tx<'_>) -> Result<JoinToken> {
        let owner = kept_as(self.token);
        tx.exclusive(lock_of(&owner))?;
        if !records::is_secret_of(tx.connection(), &owner, &self.proof)? {
            return Err(wrong());
        }
        let token = tx.find::<JoinToken>(self.token)?.ok_or_else(wrong)?;
        if token.expires_at <= self.signer.clock().now() { Err(wrong()) } else { Ok(token) }
    }
    /// The node of this machine, with its pool: made now, unless the token is for one that there is.
    async fn node(&self, token: &JoinToken, offer: &Offer) -> Result<Id<Node>> {
        if let Some(node) = token.node_id {
            return match Node::get(&self.ctx, node).await {
                Err(error) if error.is_not_found() => Err(Error::conflict(format!(
                    "the node {node} that this join token is for was deleted: ask an operator for a token for a new node"
                ))),
                found => found.map(|node| node.id),
            };
        }
        let made = self.make(offer).await;
        if matches!(made, Err(Error::Conflict { .. } | Error::Invalid { .. })) {
            // nothing was made: the machine may come again under another name
            let joining = self.clone();
            let release = move |tx: &mut Tx<'_>| claim::release(tx.connection(), joining.token, &joining.key.hash());
            self.database.write(&service_subject(Service::Identity), None, release).await?;
        }
        made
    }
    async fn make(&self, offer: &Offer) -> Result<Id<Node>> {
        let step = |what: &str| self.ctx.clone().keyed(format!("join/{}/{}/{what}", self.token, self.key.hash()));
        let new = NewNode {
            name: offer.name.clone(),
            vcpus: offer.vcpus,
            memory_mib: offer.memory_mib,
            disk_gib: offer.disk_gib,
            mode: None,
            labels: Labels::default(),
        };
        let node = Node::create(&step("node"), new).await?.model.id;
        if offer.disk_gib.get() > 0 {
            let new = NewStoragePool {
                name: Name::parse(&format!("local-{}", node.uuid().simple())).map_err(Error::internal)?,
                kind: None,
                node_id: node,
                capacity_gib: offer.disk_gib,
                accepting: None,
                labels: Labels::default(),
            };
            // the node is there: what is wrong with its pool is no reason to give the token back
            StoragePool::create(&step("pool"), new).await.map_err(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, %node, "a new node gets no pool");
                Error::unavailable(format!("the pool of the new node {node} can't be made ({error}): try again"))
            })?;
        }
        Ok(node)
    }
    /// The certificate: the one that was given already, or a new one.
    async fn finish(&self, node: Id<Node>, note: Arc<RequestNote>) -> Result<String> {
        let joining = self.clone();
        let give = move |tx: &mut Tx<'_>| {
            let token = joining.token(tx)?;
            let claim = claim::find(tx.connection(), token.id)?;
            let claim = claim.filter(|claim| claim.key_hash == joining.key.hash()).ok_or_else(used)?;
            if let Some(certificate) = claim.certificate {
                return Ok(certificate);
            }
            let who = Principal::Node(node);
            let made = joining.signer.moment(tx, &who.to_string())?;
            let certificate = joining.authority.certificate(SiteRole::Node(node), &joining.key, made)?;
            claim::finish(tx.connection(), token.id, &certificate)?;
            tx.change_from(&token, |token| {
                token.node_id = Some(node);
                token.used_at = Some(made);
            })?;
            tx.note_as(&who);
            Ok(certificate)
        };
        self.database.write(&service_subject(Service::Identity), Some(note), give).await
    }
}

fn used() -> Error {
    Error::conflict(
        "this join token was used by another machine: if that was none of yours, revoke the node that it became \
         (`cirro node revoke`); ask an operator for another token",
    )
}
