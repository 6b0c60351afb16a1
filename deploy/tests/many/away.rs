//! What a site stands on goes away and comes back.

use crate::{
    common::{LIMIT, until},
    kit::{Many, SERVICES},
    load::Load,
};
use std::time::{Duration, Instant};

/// How long etcd is away.
const AWAY: Duration = Duration::from_secs(60);
/// How often nginx is reloaded meanwhile.
const RELOADS: u32 = 20;

#[test]
fn etcd_is_away_for_a_minute_and_nginx_is_reloaded_twenty_times_and_no_call_fails() {
    let mut site = Many::start();
    let load = Load::start(site.client());
    site.etcd.stop();
    let start = Instant::now();
    let nginx = std::fs::read_to_string(site.data("bus/nginx.pid")).unwrap().trim().parse().unwrap();
    for n in 1..=RELOADS {
        crate::common::signal("HUP", nginx);
        until(LIMIT, "its turn has come", || (start.elapsed() >= AWAY * n / RELOADS).then_some(()));
    }
    site.etcd.revive();
    SERVICES.iter().for_each(|service| site.until_registered(service, 2));
    let outcomes = load.stop("etcd away, nginx reloaded");
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_good() && outcome.kind.repeatable()).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn postgresql_is_restarted_and_everything_goes_on() {
    let site = Many::start();
    let load = Load::start(site.client());
    let client = site.client();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    site.postgres.restart();
    // every service is asked again, by its own process, until it answers as before
    for (kind, what) in [
        (crate::load::Kind::Users, "identity"),
        (crate::load::Kind::Flavors, "compute"),
        (crate::load::Kind::Volumes, "storage"),
        (crate::load::Kind::Images, "images"),
    ] {
        until(LIMIT, &format!("{what} answers again"), || {
            let mut answers = (0..4).map(|_| runtime.block_on(client.call(kind, "")));
            answers.all(|answer| matches!(answer, Ok((200, _)))).then_some(())
        });
    }
    let outcomes = load.stop("PostgreSQL restarted");
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_good()) {
        assert_eq!(outcome.status, Ok(503), "{outcome:?}");
        assert!(outcome.body.contains("urn:cirro:problem:unavailable"), "{outcome:?}");
    }
    crate::deaths::nothing_is_lost(
        &site,
        &outcomes.into_iter().filter(crate::load::Outcome::is_good).collect::<Vec<_>>(),
    );
}
