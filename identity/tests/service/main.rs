//! The identity service with a real database (both kinds) and a real server: how people, scripts and nodes prove who they
//! are, what they may do then, and what ends that.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod api_keys;
mod audit;
mod bad_input;
mod elsewhere;
mod first_start;
mod grants;
mod groups;
mod joining;
mod keys;
mod login;
mod orphans;
mod projects;
mod revocations;
mod secrets;
mod shown_keys;
mod site;
mod tokens;
mod users;

use cirro_server::testkit::{Backend, schema_differences};

#[tokio::test]
async fn tables_are_what_the_models_say() {
    for backend in Backend::BOTH {
        let site = site::Site::new(backend).await;
        assert_eq!(schema_differences(&site.identity).await.unwrap(), Vec::<String>::new());
    }
}
