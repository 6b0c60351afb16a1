//! The compute service with a real database (both kinds) and a real server: what is accepted and refused, what races end
//! in, what nodes are told, and what they may say.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod assignments;
mod bad_input;
mod batches;
mod claims;
mod compromised;
mod dead;
mod deletions;
mod elsewhere;
mod fences;
mod heartbeats;
mod launches;
mod machine;
mod orphans;
mod overdue;
mod plans;
mod powers;
mod quotas;
mod rebuilds;
mod reports;
mod resizes;
mod several;
mod site;
mod small;
mod stops;
mod stuck;
mod unclaimed;
mod user_data;
mod watchdogs;
mod why_not;

use cirro_server::testkit::{Backend, schema_differences};

#[tokio::test]
async fn tables_are_what_the_models_say() {
    for backend in Backend::BOTH {
        let site = site::Site::new(backend).await;
        assert_eq!(schema_differences(&site.compute).await.unwrap(), Vec::<String>::new());
    }
}
