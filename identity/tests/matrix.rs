//! Who may do what with identity's models: measured, and committed to be read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_models::{
    Id, Model,
    identity::{ApiKey, Grant, Group, GroupMember, JoinToken, Project, Revocation, TokenKey, User},
    meta::Meta,
    model::Seed,
};
use cirro_server::{
    OwnerContext,
    testkit::{Actor, Actors, Backend, Matrix, Server},
};
use serde_json::{Value, json};
use uuid::Uuid;

fn build<M: Model>(id: Uuid, user: Option<&Actor>, new: Value) -> M {
    let (user, meta) = (user.and_then(|actor| actor.subject().user()), Meta::created("service:test"));
    let seed = Seed { id, project: None, user: user.or(Some(Id::new())), meta };
    M::build(serde_json::from_value(new).unwrap(), seed).unwrap()
}

#[tokio::test]
async fn who_may_do_what() {
    let site = site::Site::without_admin(Backend::Sqlite).await;
    // people with fixed roles, whom identity's own key has not signed for
    let actors = Actors::new();
    let server = Server::start(vec![site.identity.clone()], &actors).await;
    let project = actors.project;
    let home: Project = build(project.uuid(), None, json!({"name": "home"}));
    let elsewhere: Project = build(actors.elsewhere.uuid(), None, json!({"name": "elsewhere"}));
    // a new person for each grant: nobody is granted the same twice
    let people = (0..200).map(|n| build(person(n), None, json!({"name": format!("person{n}")}))).collect::<Vec<User>>();
    site.identity
        .own_context()
        .write(move |tx| {
            tx.insert_all(&[home.clone(), elsewhere.clone()])?;
            tx.insert_all(&people)
        })
        .await
        .unwrap();

    let name = |n: u32| json!({"name": format!("n{n}")});
    let key = |n: u32| site::key(&format!("n{n}"), "viewer", &project.to_string());
    let mut matrix = Matrix::new(&server, &site.identity, &actors);
    matrix.model::<User>("user, somebody else", |n, _| build(Uuid::now_v7(), None, name(n)), name).await;
    let own = |actor: Option<&Actor>| {
        actor.and_then(|actor| actor.subject().user()).map_or_else(Uuid::now_v7, cirro_models::Id::uuid)
    };
    matrix.model::<User>("user, oneself", |n, actor| build(own(actor), None, name(n)), name).await;
    matrix.model::<Project>("project, another", |n, _| build(Uuid::now_v7(), None, name(n)), name).await;
    for (title, role, place) in [
        ("grant, in the project", "viewer", Some(project)),
        ("grant, elsewhere", "viewer", Some(actors.elsewhere)),
        ("grant, on the site", "operator", None),
    ] {
        let new = |n: u32| json!({"user_id": person(n), "project_id": place, "role": role});
        matrix.model::<Grant>(title, |n, _| build(Uuid::now_v7(), None, new(n)), new).await;
    }
    matrix.model::<ApiKey>("apikey, somebody else's", |n, _| build(Uuid::now_v7(), None, key(n)), key).await;
    matrix.model::<ApiKey>("apikey, one's own", |n, actor| build(Uuid::now_v7(), actor, key(n)), key).await;
    matrix.model::<Group>("group", |n, _| build(Uuid::now_v7(), None, name(n)), name).await;
    let one: Group = build(person(1000), None, json!({"name": "team"}));
    site.identity.own_context().write(move |tx| tx.insert(&one)).await.unwrap();
    let others = |n: u32| json!({"group_id": person(1000), "user_id": person(n)});
    matrix.model::<GroupMember>("groupmember", |n, _| build(Uuid::now_v7(), None, others(n)), others).await;
    let revoked = |n: u32| json!({"subject": format!("user:{}", person(n))});
    matrix.model::<Revocation>("revocation", |n, _| build(Uuid::now_v7(), None, revoked(n)), revoked).await;
    let none = |_: u32| json!({});
    matrix.model::<TokenKey>("tokenkey", |n, _| build(Uuid::now_v7(), None, none(n)), none).await;
    matrix.model::<JoinToken>("jointoken", |n, _| build(Uuid::now_v7(), None, none(n)), none).await;
    insta::assert_snapshot!(matrix.text);
}

fn person(n: u32) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_9000_0000_0000_0000 + u128::from(n))
}
