//! Certificates are renewed for what their holder is, in time, and nothing is started again for it.

use super::{
    secure::{IDENTITY, Secure, renewed, status},
    site::Login,
};
use cirro_client::{
    Credential,
    credential::{made_at, role_of},
    renewal::{Looked, Renewal},
};
use cirro_models::{Error, Id, Service, SiteRole, Timestamp, alert::Alert};
use cirro_server::testkit::{Backend, Server};
use openssl::x509::X509;
use serde_json::Value;
use std::{
    path::Path,
    sync::{Arc, Mutex},
};

#[tokio::test]
async fn everybody_gets_the_next_certificate_of_their_own_role() {
    for backend in Backend::BOTH {
        let secure = Secure::start(backend).await;
        let node = Id::new();
        for role in [SiteRole::Node(node), SiteRole::Service(Service::Storage), SiteRole::Bus] {
            let old = secure.credential(role);
            let told = renewed(&secure.peer(&old), &old).await.unwrap();
            let fresh = old.renewed(told.certificate.as_bytes()).unwrap();
            assert_eq!((fresh.role(), fresh.site()), (role, old.site()));
            assert!(made_at(fresh.certificate()) >= made_at(old.certificate()));
        }
        // a request with somebody else's key is the caller's own role too
        let (mine, other) = (secure.credential(SiteRole::Node(node)), secure.credential(IDENTITY));
        let told = renewed(&secure.peer(&mine), &other).await.unwrap();
        let made = X509::from_pem(told.certificate.as_bytes()).unwrap();
        assert_eq!(role_of(&made).unwrap().1, SiteRole::Node(node));
        // and without a certificate nobody gets one
        let refused = renewed(&secure.server.http, &mine).await.unwrap_err();
        assert!(matches!(refused, Error::Unauthenticated { .. }), "{refused:?}");
        let operator: Login = secure.site.operator().await;
        let audit = secure.site.call(&operator, "GET", "auditrecord?limit=1000", Value::Null).await.text;
        for who in [format!("node:{node}"), "service:storage".to_owned(), "service:bus".to_owned()] {
            assert!(audit.contains(&who), "{who} is not in the audit");
        }
    }
}

/// A renewal of the credential in this folder, and the credentials that it has swapped in.
fn renewal(secure: &Secure, held: &Credential, folder: &Path) -> (Renewal, Arc<Mutex<Vec<Credential>>>) {
    let swapped = Arc::new(Mutex::new(Vec::new()));
    let (tells, server) = (swapped.clone(), secure.server.tls.clone().unwrap());
    let swap = move |fresh: &Credential| {
        server.swap(fresh)?;
        tells.lock().unwrap().push(fresh.clone());
        Ok(())
    };
    (Renewal::new(held.clone(), folder.to_owned(), secure.peer(held), Box::new(swap)), swapped)
}

#[tokio::test]
async fn a_credential_is_renewed_in_its_folder_and_by_each_process_that_holds_it() {
    let secure = Secure::start(Backend::Sqlite).await;
    let now = Timestamp::now();
    // a third of its life is left, and a little less
    let held = secure.site.authority.credential_of(IDENTITY, now.plus_seconds(-21 * 86_400)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    held.save(folder.path()).unwrap();
    let ((mut first, of_first), (mut second, of_second)) =
        (renewal(&secure, &held, folder.path()), renewal(&secure, &held, folder.path()));
    assert_eq!(first.look(now.plus_seconds(-2 * 86_400)).await.unwrap(), Looked::Good);
    assert_eq!(first.look(now).await.unwrap(), Looked::Renewed);
    let kept = Credential::load(folder.path()).unwrap();
    assert!(kept.ends_at().unwrap() > held.ends_at().unwrap() && kept.key().unwrap().public_eq(&held.key().unwrap()));
    assert_eq!(of_first.lock().unwrap().len(), 1);
    assert_eq!(second.look(now).await.unwrap(), Looked::Found);
    let taken = of_second.lock().unwrap()[0].certificate().to_owned();
    assert_eq!(made_at(&taken), made_at(kept.certificate()));
    for renewal in [&mut first, &mut second] {
        assert_eq!(renewal.look(now).await.unwrap(), Looked::Good);
    }
    assert_eq!(status(&secure.peer(&kept), &[]).await, 200);
    // a folder that is gone takes nothing away
    folder.close().unwrap();
    assert_eq!(first.look(now).await.unwrap(), Looked::Good);
}

#[tokio::test]
async fn one_that_can_not_be_renewed_is_told_when_a_quarter_is_left() {
    let secure = Secure::start(Backend::Sqlite).await;
    let now = Timestamp::now();
    let held = secure.site.authority.credential_of(IDENTITY, now.plus_seconds(-20 * 86_400)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    held.save(folder.path()).unwrap();
    let (mut renewal, swapped) = renewal(&secure, &held, folder.path());
    // identity is gone
    let Secure { server, site } = secure;
    let gone: Server = server;
    drop(gone);
    drop(site);
    let before = Alert::CertificateExpires.raised();
    renewal.look(now.plus_seconds(86_400)).await.unwrap_err();
    assert_eq!(Alert::CertificateExpires.raised(), before);
    renewal.look(now.plus_seconds(3 * 86_400)).await.unwrap_err();
    assert_eq!(Alert::CertificateExpires.raised(), before + 1);
    assert!(swapped.lock().unwrap().is_empty());
}
