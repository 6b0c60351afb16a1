//! A secret is in no answer but the one that tells it, in no table, in no feed, in no note and in no `Debug`.

use super::site::{Login, Site, key, password_of};
use cirro_models::identity::{Secret, token::TokenRequest, user::NewUser};
use cirro_server::testkit::Backend;
use serde_json::{Value, json};
use std::fs;

/// Every byte that the database has on disk.
fn files(site: &Site) -> String {
    let path = site.databases[0].url.strip_prefix("sqlite:").unwrap();
    let read = |end: &str| fs::read(format!("{path}{end}")).unwrap_or_default();
    [read(""), read("-wal")].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}

#[tokio::test]
async fn nothing_that_was_given_or_told_in_confidence_is_kept_or_shown_again() {
    let site = Site::new(Backend::Sqlite).await;
    let ann = site.person("ann", "member", "default").await;
    let home = site.project_id("default").await;
    let path = format!("user/{}", ann.id);
    let operator = site.operator().await;
    let changed = json!({"password": "a changed password", "full_name": "Ann B."});
    site.keyed(&operator, "PATCH", &path, changed, Some("a change")).await.good();
    let ann = Login::of(site.ask("ann", "a changed password", None).await.good());
    let made = site.keyed(&ann, "POST", "apikey", key("ci", "member", &home), Some("a key")).await.good();
    let told = made["secret"].as_str().unwrap().to_owned();
    let next = Login::of(site.renew(&ann.refresh).await.good());

    let secrets = [
        ("password of the first administrator", site.admin.password.expose().to_owned()),
        ("first password", password_of("ann")),
        ("changed password", "a changed password".to_owned()),
        ("secret of a key", told),
        ("spent refresh secret", ann.refresh.clone()),
        ("refresh secret", next.refresh.clone()),
        ("token", next.token.clone()),
    ];
    let kept = files(&site);
    assert!(kept.contains("Ann B."), "the database was not looked at");
    let mut shown = String::new();
    for path in ["user", "project", "grant", "apikey", "user/me", "change?model=user", "change?model=apikey"] {
        shown += &site.call(&operator, "GET", path, Value::Null).await.text;
        shown += &site.call(&next, "GET", path, Value::Null).await.text;
    }
    assert!(shown.contains("Ann B.") && !shown.contains("argon2"));
    for (what, secret) in &secrets {
        assert!(!kept.contains(secret), "the {what} is in the database");
        assert!(!shown.contains(secret), "the {what} is in an answer");
    }
}

#[test]
fn no_debug_shows_a_secret() {
    let secret = || Secret::new("a well kept one");
    let new: NewUser = serde_json::from_value(json!({"name": "ann", "password": "a well kept one"})).unwrap();
    let asked = TokenRequest { refresh: Some(secret()), ..TokenRequest::default() };
    for shown in [format!("{:?}", secret()), format!("{new:?}"), format!("{asked:#?}")] {
        assert!(shown.contains("Secret(…)") && !shown.contains("well kept"), "{shown}");
    }
}
