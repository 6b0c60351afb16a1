//! What nginx does with requests on their way to a service: whom it passes them on to, and what it refuses itself.

use crate::{
    bus::{Bus, Process},
    models::{Boat, new_boat},
    site::{Site, Way},
    wire::{Sent, Wire},
};
use cirro_models::{Error, Service, Verbs};
use cirro_server::testkit::{Backend, Server};

const BOATS: &str = "/compute/v1/boat";

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_another_services_certificate_gets_no_request() {
    let site = Site::open(Backend::Sqlite).await;
    let member = site.actors.member();
    let registered = |shows| vec![Process { running: site.compute.clone(), shows }];
    let own = Bus::before(registered(Service::Compute), &site.actors.verifier).await;
    let other = Bus::before(registered(Service::Storage), &site.actors.verifier).await;

    let taken = Sent::new(&Wire::through(&own, &member), "GET", BOATS).send().await;
    assert_eq!(taken.status, 200, "{taken:?}");
    assert_eq!(own.servers[0].requests(), [format!("GET {BOATS}")]);

    for (method, body) in [("GET", ""), ("POST", "{\"name\": \"one\"}")] {
        let refused = Sent::new(&Wire::through(&other, &member), method, BOATS).body(body).send().await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
        assert!(refused.problem().contains("no process of this service answered"), "{refused:?}");
    }
    let ctx = cirro_client::context(other.http.clone(), Some(member.token.clone()));
    let refused = Boat::create(&ctx, new_boat("two")).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert_eq!(other.servers[0].requests(), Vec::<String>::new());
    assert_eq!(site.count::<Boat>().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_leads_to_the_service_that_it_begins_with_and_no_other_to_any() {
    let site = Site::open(Backend::Sqlite).await;
    let wire = Wire::of(&site, Way::Bus).await;
    for path in [BOATS, "/identity/v1/voyage"] {
        assert_eq!(Sent::new(&wire, "GET", path).send().await.status, 200, "{path}");
    }
    for path in ["/elsewhere", "/malformed", "/compute2/v1/boat"] {
        let unknown = Sent::new(&wire, "GET", path).send().await;
        assert_eq!(unknown.status, 404, "{path}");
        assert!(unknown.problem().contains("no service has this path"), "{unknown:?}");
    }
    let asked: Vec<_> = site.bus().await.servers.iter().map(Server::requests).collect();
    assert_eq!(asked, [vec![format!("GET {BOATS}")], vec!["GET /identity/v1/voyage".to_owned()], vec![], vec![]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nginx_can_not_read_goes_no_further_and_its_sender_is_told() {
    let site = Site::open(Backend::Sqlite).await;
    let wire = Wire::of(&site, Way::Bus).await;
    let long = "x".repeat(9000);
    let unreadable = [
        Sent::new(&wire, "GET", "/compute/v1/boat/%zz"),
        Sent::new(&wire, "GET", "/compute/v1/boat/%00"),
        Sent::new(&wire, "GET", "/compute/v1/../../identity/v1/voyage"),
        Sent::new(&wire, "GET", "/../compute/v1/boat"),
        Sent::new(&wire, "GET", &format!("{BOATS}?name={long}")),
        Sent::new(&wire, "POST", BOATS).body("{}").header("idempotency-key", &long),
        Sent::new(&wire, "TRACE", BOATS),
    ];
    for sent in unreadable {
        let told = sent.send().await;
        assert_eq!(told.status, 400, "{told:?}");
        assert!(told.problem().contains("the bus can't read this request"), "{told:?}");
    }
    assert!(site.bus().await.servers.iter().all(|server| server.requests().is_empty()));
}
