//! Who gets in, and what they may do then.

use super::{
    log,
    secure::{Secure, ask, status, trusting},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use cirro_client::{
    Credential,
    credential::{made_at, new_key},
};
use cirro_identity::authority::Authority;
use cirro_models::{Error, Id, Service, SiteRole, Timestamp};
use cirro_server::testkit::{Backend, document, eventually, operations};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    pkey::PKey,
    ssl::{SslConnector, SslMethod, SslVerifyMode},
    x509::{X509, X509Builder, X509NameBuilder, extension::SubjectAlternativeName},
};
use serde_json::json;
use std::{net::TcpStream, time::Duration};

/// A certificate that the authority would never make: signed by it, for any URI. No credential is made of a role in no
/// site, so it is read as a role in another.
fn forged(authority: &Authority, uri: &str) -> Credential {
    let folder = tempfile::tempdir().unwrap();
    authority.save(folder.path()).unwrap();
    let signs = PKey::private_key_from_pem(&std::fs::read(folder.path().join("ca.key")).unwrap()).unwrap();
    let ca = X509::from_pem(&authority.pem().unwrap()).unwrap();
    let key = new_key().unwrap();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder
        .set_serial_number(&BigNum::from_slice(Id::<()>::new().uuid().as_bytes()).unwrap().to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&X509NameBuilder::new().unwrap().build()).unwrap();
    builder.set_issuer_name(ca.subject_name()).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    let names = SubjectAlternativeName::new().uri(uri).build(&builder.x509v3_context(Some(&ca), None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&signs, MessageDigest::sha256()).unwrap();
    let pem = [builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap()].concat();
    Credential::from_pem(authority.pem().unwrap(), pem).unwrap()
}

async fn is_refused(secure: &Secure, shown: &Credential, why: &str) {
    let shown = trusting(shown, &secure.site.authority.pem().unwrap());
    let error = ask(&secure.peer(&shown), "GET", "/identity/v1/jwks", "", &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let uri = shown.role().uri(shown.site());
    let line = eventually(why, async || log::lines(&["tls.refused", &uri]).pop()).await;
    assert!(line.contains(why) && line.contains(" WARN "), "{line}");
}

#[tokio::test]
async fn only_certificates_of_the_sites_authority_in_force_and_of_this_site_are_let_in() {
    let secure = Secure::start(Backend::Sqlite).await;
    let node = || SiteRole::Node(Id::new());
    let authority = &secure.site.authority;
    assert_eq!(status(&secure.peer(&secure.credential(node())), &[]).await, 200);
    assert_eq!(status(&secure.server.http, &[]).await, 401, "without one a token is wanted");

    let now = Timestamp::now();
    let other = Authority::generate("lab".parse().unwrap()).unwrap();
    is_refused(&secure, &other.credential(node()).unwrap(), "certificate signature failure").await;
    let over = authority.credential_of(node(), now.plus_seconds(-31 * 86_400)).unwrap();
    is_refused(&secure, &over, "has expired").await;
    is_refused(&secure, &forged(authority, &node().uri(&"other".parse().unwrap())), "no role in the site lab").await;
    // an hour apart is too much, a few minutes are forgiven
    let early = authority.credential_of(node(), now.plus_seconds(3600)).unwrap();
    is_refused(&secure, &early, "check the clocks").await;
    let slightly = authority.credential_of(node(), now.plus_seconds(200)).unwrap();
    assert_eq!(status(&secure.peer(&slightly), &[]).await, 200);
    // and the other way round: a client whose clock is an hour behind says so
    secure
        .server
        .tls
        .as_ref()
        .unwrap()
        .swap(&authority.credential_of(super::secure::IDENTITY, now.plus_seconds(3600)).unwrap())
        .unwrap();
    let error = ask(&secure.peer(&slightly), "GET", "/identity/v1/jwks", "", &[]).await.unwrap_err().to_string();
    assert!(error.contains("check the clocks"), "{error}");
}

#[tokio::test]
async fn new_connections_are_shown_a_swapped_certificate() {
    let secure = Secure::start(Backend::Sqlite).await;
    let address = secure.server.url.strip_prefix("https://").unwrap().to_owned();
    let shown = async || {
        let address = address.clone();
        let look = move || {
            let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
            connector.set_verify(SslVerifyMode::NONE);
            let stream = TcpStream::connect(&address).unwrap();
            let stream = connector.build().connect("identity.cirro.internal", stream).unwrap();
            made_at(&stream.ssl().peer_certificate().unwrap()).unwrap()
        };
        tokio::task::spawn_blocking(look).await.unwrap()
    };
    let kept = secure.peer(&secure.credential(SiteRole::Node(Id::new())));
    assert_eq!(status(&kept, &[]).await, 200);
    let before = shown().await;
    let fresh =
        secure.site.authority.credential_of(super::secure::IDENTITY, Timestamp::now().plus_seconds(-60)).unwrap();
    secure.server.tls.as_ref().unwrap().swap(&fresh).unwrap();
    assert_eq!(shown().await, made_at(fresh.certificate()).unwrap());
    assert_ne!(shown().await, before);
    assert_eq!(status(&kept, &[]).await, 200, "an open connection goes on");
}

#[tokio::test]
async fn an_open_connection_ends_with_its_certificate() {
    let secure = Secure::start(Backend::Sqlite).await;
    let roles = [SiteRole::Node(Id::new()), SiteRole::Service(Service::Compute), SiteRole::Bus];
    let peers = roles.map(|role| secure.peer(&secure.credential(role)));
    let asked = ["/identity/v1/user/me", "/identity/v1/revocation", "/identity/v1/user/me"];
    let all = async || {
        let statuses = peers.iter().zip(asked).map(|(peer, path)| ask(peer, "GET", path, "", &[]));
        futures_util::future::join_all(statuses)
            .await
            .into_iter()
            .map(|answer| answer.unwrap().status)
            .collect::<Vec<_>>()
    };
    assert_eq!(all().await, [200, 200, 401], "the bus alone is nobody");
    secure.site.verifier.clock().advance(Duration::from_secs(30 * 86_400 + 1));
    assert_eq!(all().await, [401, 401, 401]);
}

#[tokio::test]
async fn a_token_says_nothing_over_a_nodes_connection_and_the_bus_is_nobody_without_one() {
    let secure = Secure::start(Backend::Sqlite).await;
    let operator = format!("Bearer {}", secure.site.operator().await.token);
    let shown = [("authorization", operator.as_str())];
    let node = secure.peer(&secure.credential(SiteRole::Node(Id::new())));
    assert_eq!((status(&node, &[]).await, status(&node, &shown).await), (200, 401));
    let bus = secure.peer(&secure.credential(SiteRole::Bus));
    assert_eq!((status(&bus, &[]).await, status(&bus, &shown).await), (401, 200));
    // a service that shows a user's token acts for the user
    let compute = secure.peer(&secure.credential(SiteRole::Service(Service::Compute)));
    let answer = ask(&compute, "GET", "/identity/v1/user/me", "", &shown).await.unwrap();
    assert!(String::from_utf8_lossy(&answer.body).contains("\"operator\":true"));
}

#[tokio::test]
async fn only_the_bus_is_believed_on_where_a_request_comes_from() {
    let secure = Secure::start(Backend::Sqlite).await;
    secure.site.person("ann", "member", "default").await;
    let proof = format!("Basic {}", STANDARD.encode("ann:wrong-password"));
    for (role, limited) in [(SiteRole::Service(Service::Images), true), (SiteRole::Bus, false)] {
        let peer = secure.peer(&secure.credential(role));
        let mut last = 0;
        for n in 0..11 {
            let from = format!("10.1.2.{n}");
            let headers = [("authorization", proof.as_str()), ("x-cirro-client", from.as_str())];
            last = ask(&peer, "POST", "/identity/v1/token", "{}", &headers).await.unwrap().status;
        }
        assert_eq!(last == 429, limited, "{role}: {last}");
    }
}

/// Asks every operation of identity's as this peer; tells those that have answered with more than a refusal.
async fn allowed(secure: &Secure, role: SiteRole, ids: &[(&str, String)]) -> Vec<String> {
    let (peer, document) = (secure.peer(&secure.credential(role)), document(&secure.site.identity));
    let mut allowed = Vec::new();
    for operation in operations(&document) {
        let model = operation.path.split('/').nth(3).unwrap();
        let unknown = uuid::Uuid::now_v7().to_string();
        let id = ids.iter().find(|(path, _)| *path == model).map_or(&unknown, |(_, id)| id);
        let batch = operation.path.ends_with("/batch");
        let body = if batch { json!({"ids": [id]}).to_string() } else { operation.body(&document) };
        let query = if model == "change" { "?model=user" } else { "" };
        let path = format!("{}{query}", operation.path_with(id));
        let answer = ask(&peer, &operation.method, &path, &body, &[]).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let empty = text.contains("\"items\":[]");
        if !([401, 403, 404].contains(&answer.status) || answer.status == 200 && empty) {
            allowed.push(operation.id);
        }
    }
    allowed
}

#[tokio::test]
async fn a_service_reads_revocations_and_keys_of_identitys_and_a_node_nothing() {
    let secure = Secure::start(Backend::Sqlite).await;
    let site = &secure.site;
    let ann = site.person("ann", "admin", "default").await;
    let operator = site.operator().await;
    secure.revoke(Id::new()).await;
    let first = async |path: &str| {
        let listed = site.call(&operator, "GET", path, serde_json::Value::Null).await.good();
        super::site::id(&listed["items"][0])
    };
    let ids = [
        ("user", ann.id.clone()),
        ("project", site.project_id("default").await),
        ("grant", ann.grant.clone()),
        ("revocation", first("revocation").await),
        ("tokenkey", first("tokenkey").await),
    ];
    // what takes no proof at all, and what is refused only for what it says
    let open = ["jwks", "site_authority", "renew_certificate"];
    let left = |allowed: Vec<String>| {
        let mut left: Vec<String> = allowed.into_iter().filter(|id| !open.contains(&id.as_str())).collect();
        left.sort();
        left
    };
    let service = left(allowed(&secure, SiteRole::Service(Service::Compute), &ids).await);
    let reads = ["revocation", "tokenkey"].map(|model| ["batch", "get", "list"].map(|verb| format!("{verb}_{model}")));
    let mut reads: Vec<String> = reads.concat();
    reads.push("me_user".to_owned());
    reads.sort();
    assert_eq!(service, reads);
    let node = left(allowed(&secure, SiteRole::Node(Id::new()), &ids).await);
    assert_eq!(node, ["me_user"], "who it is");
    let bus = left(allowed(&secure, SiteRole::Bus, &ids).await);
    assert_eq!(bus, Vec::<String>::new());
}
