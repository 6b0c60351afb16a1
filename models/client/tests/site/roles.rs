//! Mutual TLS: who may answer, who asks, and what changes while everything runs.

use crate::{
    connections::ask,
    pki::{Authority, Leaf},
    server::Server,
};
use cirro_client::{Http, Params, Place, Reach, Tls, pool::PoolParams};
use cirro_models::Service;
use std::{sync::Arc, time::Duration};

pub(crate) const COMPUTE: &str = "cirro://lab/service/compute";

/// Compute's client at a server; each call on a connection of its own.
pub(crate) fn client(server: &Server, tls: &Tls) -> Arc<Http> {
    let pool = PoolParams { age: Duration::ZERO, ..PoolParams::default() };
    let params = Params { pool, ..Params::default() };
    let reach = Reach { tls: Some(tls.clone()), site: Some("lab".to_owned()), params, ..Reach::default() };
    let place = format!("tcp://{}", server.address()).parse::<Place>().unwrap();
    Arc::new(Http::each_at(&[(Service::Compute, place)], &reach).unwrap())
}

pub(crate) fn shows(authority: &Authority, leaf: &Leaf) -> Tls {
    Tls::site(&authority.pem, Some(&leaf.identity())).unwrap()
}

#[tokio::test]
async fn the_right_role_is_believed_at_any_address_and_sees_who_asks() {
    let authority = Authority::new("ca");
    let server = Server::tls(&authority.issue(COMPUTE), &authority).await;
    let storage = authority.issue("cirro://lab/service/storage");
    let http = client(&server, &shows(&authority, &storage));
    assert_eq!(ask(&http).await.unwrap(), ["cirro://lab/service/storage", "HTTP/2.0"]);
    let nobody = client(&server, &Tls::site(&authority.pem, None).unwrap());
    assert_eq!(ask(&nobody).await.unwrap()[0], "nobody");
}

#[tokio::test]
async fn every_other_role_and_authority_is_refused_by_name() {
    let (authority, other) = (Authority::new("ca"), Authority::new("ca"));
    let me = authority.issue("cirro://lab/service/storage");
    let wrong = ["cirro://lab/service/images", "cirro://lab/node/compute", "cirro://other/service/compute"];
    for role in wrong.into_iter().chain(["cirro://lab/service/compute2", "cirro://lab/service/comput"]) {
        let server = Server::tls(&authority.issue(role), &authority).await;
        let error = ask(&client(&server, &shows(&authority, &me))).await.unwrap_err().to_string();
        assert!(error.contains(role) && error.contains("should be cirro://lab/service/compute"), "{error}");
    }
    let server = Server::tls(&other.issue(COMPUTE), &authority).await;
    let error = ask(&client(&server, &shows(&authority, &me))).await.unwrap_err().to_string();
    assert!(error.contains("its certificate is refused"), "{error}");
}

#[tokio::test]
async fn identity_and_authority_are_swapped_while_it_runs() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let server = Server::tls(&old.issue(COMPUTE), &old).await;
    let tls = shows(&old, &old.issue("cirro://lab/service/storage"));
    let http = client(&server, &tls);
    assert_eq!(ask(&http).await.unwrap()[0], "cirro://lab/service/storage");
    tls.swap(&old.pem, Some(&old.issue("cirro://lab/service/images").identity())).unwrap();
    assert_eq!(ask(&http).await.unwrap()[0], "cirro://lab/service/images");
    tls.swap(&new.pem, None).unwrap();
    assert!(ask(&http).await.is_err(), "the old authority has no say any more");
    let both = [old.pem.clone(), new.pem.clone()].concat();
    tls.swap(&both, None).unwrap();
    assert_eq!(ask(&http).await.unwrap()[0], "nobody");
}

#[test]
fn a_role_is_never_waived_because_nobody_speaks_tls() {
    let authority = Authority::new("ca");
    let refused = |place: &str, tls: Option<Tls>| {
        let reach = Reach { tls, site: Some("lab".to_owned()), ..Reach::default() };
        let error = Http::each_at(&[(Service::Compute, place.parse().unwrap())], &reach).err().unwrap().to_string();
        assert!(error.contains("must prove its role"), "{error}");
    };
    refused("http://127.0.0.1:1", Some(Tls::site(&authority.pem, None).unwrap()));
    refused("tcp://127.0.0.1:1", None);
}

#[test]
fn what_does_not_belong_together_is_refused_and_nothing_shows_a_key() {
    let authority = Authority::new("ca");
    let (one, two) = (authority.issue(COMPUTE), authority.issue(COMPUTE));
    let (certificate, key) = (one.certificate.to_pem().unwrap(), two.key.private_key_to_pem_pkcs8().unwrap());
    let error = cirro_client::Identity::from_pem(&certificate, &key).unwrap_err().to_string();
    assert!(error.contains("the key is not the certificate's"), "{error}");
    assert!(Tls::site(b"", None).is_err() && Tls::site(b"garbage", None).is_err());
    assert_eq!(format!("{:?}", one.identity()), "Identity of 1 certificates");
}
