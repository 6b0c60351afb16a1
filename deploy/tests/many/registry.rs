//! Who gets to the site's registry.

use crate::{
    common::Typed,
    kit::{Many, SERVICES},
};
use cirro_identity::authority::Authority;
use cirro_models::{Name, SiteRole};

#[test]
fn the_registry_is_for_who_has_a_certificate_of_the_site() {
    let site = Many::start();
    let listed = site.cirro(&["site", "registry", "-o", "json", "--data", site.data("").to_str().unwrap()]).json();
    let own = Authority::load(&site.data("site/authority")).unwrap();
    let other = Authority::generate(Name::parse("many").unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reads = |credential| {
        let registry = site.registry_as("compute", &credential).unwrap();
        runtime.block_on(registry.members()).is_ok()
    };
    assert_eq!(listed["items"].as_array().unwrap().len(), 2 * SERVICES.len());
    assert!(reads(own.credential(SiteRole::Bus).unwrap()));
    assert!(!reads(other.credential(SiteRole::Bus).unwrap()), "another site's opens nothing here");

    let clear = site.etcd.url().replace("etcds:", "etcd:") + "/cirro/many";
    let refused = site.cirro(&["site", "registry", "--registry", &clear]);
    assert_eq!(refused.code, 5, "{refused:?}");
    let unnamed = site.cirro(&["site", "registry", "--registry", &format!("{}/cirro/many", site.etcd.url())]);
    assert!(unnamed.code != 0 && unnamed.err.contains("--credential"), "{unnamed:?}");
}
