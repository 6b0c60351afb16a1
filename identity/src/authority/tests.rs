use super::*;
use cirro_client::credential::{made_at, role_of};
use cirro_models::Service;
use openssl::{
    hash::MessageDigest,
    nid::Nid,
    stack::Stack,
    x509::{X509NameBuilder, X509Req, extension::SubjectAlternativeName},
};

fn authority() -> Authority {
    Authority::generate("lab".parse().unwrap()).unwrap()
}

/// A request of this key that asks for a role.
fn request(key: &PKey<Private>, uri: &str) -> String {
    let mut builder = X509Req::builder().unwrap();
    builder.set_pubkey(key).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "compute.cirro.internal").unwrap();
    builder.set_subject_name(&name.build()).unwrap();
    let mut extensions = Stack::new().unwrap();
    let wanted = SubjectAlternativeName::new().uri(uri).build(&builder.x509v3_context(None)).unwrap();
    extensions.push(wanted).unwrap();
    builder.add_extensions(&extensions).unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    String::from_utf8(builder.build().to_pem().unwrap()).unwrap()
}

#[test]
fn a_credential_says_its_role_and_when_it_was_made_and_is_signed_by_the_authority() {
    let authority = authority();
    let before = Timestamp::now().micros() - 1000;
    let credential = authority.credential(SiteRole::Service(Service::Images)).unwrap();
    assert_eq!((credential.site().as_str(), credential.role()), ("lab", SiteRole::Service(Service::Images)));
    let made = made_at(credential.certificate()).unwrap().micros();
    assert!((before..=Timestamp::now().micros()).contains(&made));
    assert!(credential.certificate().verify(&authority.key).unwrap());
    let left = credential.ends_at().unwrap().micros() - Timestamp::now().micros();
    let life = i64::try_from(LIFE.as_micros()).unwrap();
    assert!((life - 10_000_000..=life).contains(&left), "{left}");
    let renew = credential.renew_at().unwrap();
    assert!(renew > Timestamp::now() && renew < credential.ends_at().unwrap());
}

#[test]
fn an_edge_of_ours_is_due_after_two_thirds_of_its_life_and_somebody_elses_never() {
    let (ours, other) = (authority(), authority());
    let names = ["cloud.example".to_owned(), "10.0.0.1".to_owned()];
    let (made, foreign) = (ours.edge(&names).unwrap(), other.edge(&names).unwrap());
    let after = |days: i64| Timestamp::now().plus_seconds(days * 86_400);
    for (days, due) in [(0, false), (263, false), (266, true), (500, true)] {
        assert_eq!(ours.edge_is_due(&made, after(days)).unwrap(), due, "{days} days");
        assert!(!ours.edge_is_due(&foreign, after(days)).unwrap());
    }
    assert!(ours.edge_is_due(b"no certificate", after(0)).is_err());
}

#[test]
fn a_request_gets_the_role_that_was_decided_on_and_not_the_one_that_it_asks_for() {
    let (authority, key) = (authority(), new_key().unwrap());
    let node = SiteRole::Node(cirro_models::Id::new());
    let asked = RequestedKey::read(&request(&key, "cirro://lab/service/identity")).unwrap();
    let moment = Timestamp::now().plus_seconds(-5);
    let pem = authority.certificate(node, &asked, moment).unwrap();
    let made = X509::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(made_at(&made).unwrap().micros(), moment.micros() / 1000 * 1000);
    assert_eq!(role_of(&made).unwrap().1, node);
    assert_eq!(made.subject_name().entries().count(), 0);
    assert!(made.public_key().unwrap().public_eq(&key));
}

#[test]
fn a_request_that_can_t_be_used_is_refused_with_what_to_send() {
    let key = new_key().unwrap();
    let rsa = PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
    let mut forged = X509Req::builder().unwrap();
    forged.set_pubkey(&key).unwrap();
    forged.sign(&new_key().unwrap(), MessageDigest::sha256()).unwrap();
    let forged = String::from_utf8(forged.build().to_pem().unwrap()).unwrap();
    let long = format!("{}{}", request(&key, "x:y"), " ".repeat(8192));
    for bad in [String::new(), "x".to_owned(), request(&rsa, "x:y"), forged, long] {
        let error = RequestedKey::read(&bad).err().unwrap().to_string();
        assert!(error.contains("send a PKCS #10") || error.contains("P-256"), "{error}");
    }
}

#[test]
fn it_is_kept_in_a_folder_and_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let kept = authority();
    kept.save(folder.path()).unwrap();
    let loaded = Authority::load(folder.path()).unwrap();
    assert_eq!((loaded.site(), loaded.pem().unwrap()), (kept.site(), kept.pem().unwrap()));
    assert!(authority().save(folder.path()).is_err(), "another one would end everybody's trust");
    let credential = loaded.credential(SiteRole::Bus).unwrap();
    let at = folder.path().join("bus");
    credential.save(&at).unwrap();
    let again = Credential::load(&at).unwrap();
    assert_eq!(again.role(), SiteRole::Bus);
    let renewed =
        again.renewed(&loaded.certify(SiteRole::Bus, &again.key().unwrap(), Timestamp::now()).unwrap()).unwrap();
    assert!(made_at(renewed.certificate()).unwrap() >= made_at(again.certificate()).unwrap());
}
