//! Who may do what, measured: every action on a model, by everybody, through a real server.

use crate::{
    controller::OwnerContext,
    owner::Running,
    testkit::{Actor, Actors, Server},
};
use cirro_models::{Id, Role, identity::ApiKey, sql::Table, subject::Principal};
use serde_json::{Value, json};
use std::fmt::Write;

/// The table that grows model by model.
pub struct Matrix<'s> {
    server: &'s Server,
    running: &'s Running,
    actors: &'s Actors,
    /// What was measured so far.
    pub text: String,
    made: u32,
}

impl<'s> Matrix<'s> {
    /// An empty table.
    pub fn new(server: &'s Server, running: &'s Running, actors: &'s Actors) -> Self {
        Self { server, running, actors, text: String::new(), made: 0 }
    }
    /// Everybody: a scoped key of the admin, and one who shows no token, are among them.
    pub fn everybody(actors: &Actors) -> Vec<(&'static str, Option<Actor>)> {
        let admin = actors.admin();
        let user = admin.subject().user().unwrap_or_default();
        let key = Principal::ApiKey(Id::<ApiKey>::new(), user);
        let mut claims = actors.claims(&key, Some((actors.project, Role::Member)), false);
        claims.scoped = true;
        vec![
            ("operator", Some(actors.operator())),
            ("admin", Some(admin)),
            ("member", Some(actors.member())),
            ("viewer", Some(actors.viewer())),
            ("key (member)", Some(actors.sign(claims))),
            ("outsider", Some(actors.outsider())),
            ("stranger", Some(actors.stranger())),
            ("node", Some(actors.node())),
            ("nobody", None),
        ]
    }
    /// Adds a model: `row` makes one that is there already, `new` a body to create one. Each is told a number that is
    /// never told twice, and who acts.
    pub async fn model<M: Table>(
        &mut self,
        title: &str,
        row: impl Fn(u32, Option<&Actor>) -> M,
        new: impl Fn(u32) -> Value,
    ) {
        let root = format!("/{}/v1/{}", M::SERVICE.name(), M::PATH);
        let _ = writeln!(self.text, "{title}\n{:<14}create  read  list  update  delete", "");
        for (name, actor) in Self::everybody(self.actors) {
            let mut number = || {
                self.made += 1;
                self.made
            };
            let there = row(number(), actor.as_ref());
            let new = new(number());
            let (kept, path) = (there.clone(), format!("{root}/{}", there.id()));
            self.running.own_context().write(move |tx| tx.insert(&kept)).await.expect("the row can be made");
            let (server, actor) = (self.server, actor.as_ref());
            let ask = async |method: &str, path: String, body: Option<Value>| {
                server.call(actor, method, &path, body.as_ref()).await
            };
            let create = ask("POST", root.clone(), Some(new)).await.status;
            let read = ask("GET", path.clone(), None).await.status;
            let list = ask("GET", format!("{root}?limit=1000"), None).await;
            let seen = list.text.contains(&there.id().to_string());
            let update = ask("PATCH", path.clone(), Some(json!({"labels": {"a": "b"}}))).await.status;
            let delete = ask("DELETE", path, None).await.status;
            let list =
                if list.status == 200 { if seen { "seen" } else { "-" }.to_owned() } else { list.status.to_string() };
            let _ = writeln!(self.text, "{name:<14}{create:<8}{read:<6}{list:<6}{update:<8}{delete}");
            // what the actor could not delete must not be in the next one's way
            let (id, service) = (there.id(), self.running.own_context());
            let away = service.write(move |tx| match tx.find::<M>(id)? {
                Some(row) => tx.remove(&row),
                None => Ok(()),
            });
            away.await.expect("the row can be removed");
        }
        self.text.push('\n');
    }
}
