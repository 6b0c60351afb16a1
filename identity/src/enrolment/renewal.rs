//! Whoever has a certificate gets the next one, for what they are and for nothing else.

use crate::{
    authority::{Authority, RequestedKey},
    signer::Signer,
};
use actix_web::HttpRequest;
use cirro_models::{
    Error, Principal, Result, Service, SiteRole, Timestamp,
    identity::{Certificate, CertificateRequest, Revocation, revocation::RevocationFilter},
};
use cirro_server::{
    Database, Tx,
    controller::service_subject,
    db::RequestNote,
    http::{Asked, Shared},
    tls::Peer,
};
use std::sync::Arc;

/// More revocations than one node ever collects while they are kept.
const MANY: i64 = 10_000;

/// A new certificate for the one who is connected, whatever the request asks for.
pub(crate) async fn renew(
    shared: &Shared,
    request: &HttpRequest,
    peer: Peer,
    asked: CertificateRequest,
) -> Result<Certificate> {
    let authority = Authority::of(&shared.stores)?;
    let (database, signer) = (shared.stores.part::<Database>()?, shared.stores.part::<Signer>()?);
    let key = RequestedKey::read(&asked.request)?;
    let id = Asked::of(request).request_id.clone();
    let note = Arc::new(RequestNote::of_stranger(id, "create", "certificate"));
    let give = move |tx: &mut Tx<'_>| {
        let who = principal(peer.role);
        // no revocation comes between this moment and the end of the transaction
        let made = signer.moment(tx, &who.to_string())?;
        if is_revoked(tx, &who, peer.made_at)? {
            return Err(Error::unauthenticated(
                "the certificate of this node was revoked: let it join again, with a token from `cirro node join-token`",
            ));
        }
        tx.note_as(&who);
        authority.certificate(peer.role, &key, made).map(|certificate| Certificate { certificate })
    };
    database.write(&service_subject(Service::Identity), Some(note), give).await
}

/// Under which name the audit finds it.
fn principal(role: SiteRole) -> Principal {
    match role {
        SiteRole::Node(id) => Principal::Node(id),
        SiteRole::Service(service) => Principal::Service(service.name()),
        SiteRole::Bus => Principal::Service("bus"),
        SiteRole::Registry => Principal::Service("registry"),
    }
}

/// Whether what was made at this moment has ended, as the table says: the verifier may hear of it a moment later.
fn is_revoked(tx: &mut Tx<'_>, who: &Principal, made_at: Timestamp) -> Result<bool> {
    let of_it = RevocationFilter { subject: Some(who.to_string()), ..RevocationFilter::default() };
    Ok(tx.list::<Revocation>(&of_it, MANY)?.iter().any(|row| row.meta.created_at >= made_at))
}
