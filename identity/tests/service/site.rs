//! A site with identity as the service under test; the others only hold rows.

use base64::{Engine, engine::general_purpose::STANDARD};
use cirro_identity::{
    authority::Authority,
    bootstrap::{FirstAdmin, first_start},
};
use cirro_models::{
    Id, Model, Service,
    compute::{Instance, Node},
    identity::{Project, Secret},
    images::MachineImage,
    meta::Meta,
    model::Seed,
    sql::Table,
    storage::{StoragePool, Volume},
};
use cirro_server::{
    Controller, Owner, OwnerContext, Plain,
    db::Migrations,
    owner::Running,
    testkit::{Actors, Backend, Scratch, Server, Told},
    token::Verifier,
};
use diesel_migrations::embed_migrations;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

const COMPUTE: Migrations = Migrations(embed_migrations!("../compute/migrations"));
const STORAGE: Migrations = Migrations(embed_migrations!("../storage/migrations"));
const IMAGES: Migrations = Migrations(embed_migrations!("../images/migrations"));

pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) identity: Running,
    pub(crate) compute: Running,
    pub(crate) storage: Running,
    pub(crate) images: Running,
    pub(crate) admin: FirstAdmin,
    pub(crate) databases: [Scratch; 4],
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) authority: Arc<Authority>,
}

/// Somebody who has logged in, with everything that the login told.
pub(crate) struct Login {
    pub(crate) token: String,
    pub(crate) refresh: String,
    pub(crate) told: Value,
}

/// A person, with their login.
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) grant: String,
    pub(crate) login: Login,
}

impl Site {
    /// After its first start: the administrator is an operator and has the project `default`.
    pub(crate) async fn new(backend: Backend) -> Self {
        let site = Self::without_admin(backend).await;
        assert!(first_start(&site.identity.own_context(), site.admin.clone()).await.unwrap());
        site
    }

    pub(crate) async fn without_admin(backend: Backend) -> Self {
        Self::with(backend, Plain, Plain).await
    }

    /// With nodes and pools behind these controllers.
    pub(crate) async fn with(
        backend: Backend,
        nodes: impl Controller<Node>,
        pools: impl Controller<StoragePool>,
    ) -> Self {
        let databases = [
            backend.open(cirro_identity::MIGRATIONS).await.unwrap(),
            Backend::Sqlite.open(COMPUTE).await.unwrap(),
            Backend::Sqlite.open(STORAGE).await.unwrap(),
            Backend::Sqlite.open(IMAGES).await.unwrap(),
        ];
        let [identity, compute, storage, images] = &databases;
        let verifier = Arc::new(Verifier::default());
        let authority = Arc::new(Authority::generate("lab".parse().unwrap()).unwrap());
        let own = identity.database.clone();
        let owners = vec![
            cirro_identity::service(own, verifier.clone(), Some(authority.clone())).await.unwrap(),
            Owner::new(Service::Compute, compute.database.clone()).owns::<Instance>(Plain).owns::<Node>(nodes),
            Owner::new(Service::Storage, storage.database.clone()).owns::<Volume>(Plain).owns::<StoragePool>(pools),
            Owner::new(Service::Images, images.database.clone()).owns::<MachineImage>(Plain),
        ];
        let running: [Running; 4] = Owner::mount_together(owners).try_into().unwrap_or_else(|_| panic!("four"));
        let [identity, compute, storage, images] = running;
        let mut actors = Actors::new();
        actors.verifier = verifier.clone();
        let server = Server::start(vec![identity.clone()], &actors).await;
        let admin = FirstAdmin::generate().unwrap();
        Self { server, identity, compute, storage, images, admin, databases, verifier, authority }
    }

    /// Asks for a token with a name and a secret.
    pub(crate) async fn ask(&self, name: &str, secret: &str, project: Option<&str>) -> Told {
        let proof = format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")));
        let body = json!({"project": project}).to_string();
        self.server.send("POST", "/identity/v1/token", &[("authorization", &proof)], body).await
    }

    pub(crate) async fn login(&self, name: &str, secret: &str, project: Option<&str>) -> Login {
        Login::of(self.ask(name, secret, project).await.good())
    }

    /// The administrator, working in the project `default`.
    pub(crate) async fn operator(&self) -> Login {
        self.login("admin", self.admin.password.expose(), None).await
    }

    pub(crate) async fn renew(&self, refresh: &str) -> Told {
        let body = json!({"refresh": refresh}).to_string();
        self.server.send("POST", "/identity/v1/token", &[], body).await
    }

    pub(crate) async fn call(&self, by: &Login, method: &str, path: &str, body: Value) -> Told {
        self.keyed(by, method, path, body, None).await
    }

    pub(crate) async fn keyed(&self, by: &Login, method: &str, path: &str, body: Value, key: Option<&str>) -> Told {
        let bearer = format!("Bearer {}", by.token);
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.server.send(method, &format!("/identity/v1/{path}"), &headers, body).await
    }

    /// Whether a token is still good.
    pub(crate) async fn is_good(&self, login: &Login) -> bool {
        let told = self.call(login, "GET", "user/me", Value::Null).await;
        assert!([200, 401].contains(&told.status), "{}", told.text);
        told.status == 200
    }

    pub(crate) async fn project_id(&self, name: &str) -> String {
        let found = self.call(&self.operator().await, "GET", &format!("project?name={name}"), Value::Null).await.good();
        found["items"][0]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn new_project(&self, name: &str) -> String {
        id(&self.call(&self.operator().await, "POST", "project", json!({"name": name})).await.good())
    }

    /// A new person with a role in a project, and their password, `<name>'s password`.
    pub(crate) async fn person(&self, name: &str, role: &str, project: &str) -> Person {
        let operator = self.operator().await;
        let new = json!({"name": name, "password": password_of(name)});
        let user = id(&self.call(&operator, "POST", "user", new).await.good());
        let grant = self.grant(&operator, &user, role, Some(&self.project_id(project).await)).await;
        let login = self.login(name, &password_of(name), Some(project)).await;
        Person { id: user, name: name.to_owned(), grant: id(&grant.good()), login }
    }

    pub(crate) async fn grant(&self, by: &Login, user: &str, role: &str, project: Option<&str>) -> Told {
        let new = json!({"user_id": user, "role": role, "project_id": project});
        self.call(by, "POST", "grant", new).await
    }

    /// A key, with its id and its secret.
    pub(crate) async fn key(&self, by: &Login, name: &str, role: &str, project: &str) -> (String, String) {
        let made = self.call(by, "POST", "apikey", key(name, role, project)).await.good();
        (id(&made), made["secret"].as_str().unwrap().to_owned())
    }

    /// Adds a row at another owner.
    pub(crate) async fn put<M: Table>(owner: &Running, project: &str, new: Value) {
        let project: Id<Project> = project.parse().unwrap();
        let meta = Meta::created("service:test");
        let seed = Seed { id: Uuid::now_v7(), project: Some(project), user: None, meta };
        let row = <M as Model>::build(serde_json::from_value(new).unwrap(), seed).unwrap();
        owner.own_context().write(move |tx| tx.insert(&row)).await.unwrap();
    }
}

impl Login {
    pub(crate) fn of(told: Value) -> Self {
        let text = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
        Self { token: text("token"), refresh: text("refresh"), told }
    }
    /// What the token says, unverified.
    pub(crate) fn claims(&self) -> Value {
        let payload = self.token.split('.').nth(1).unwrap();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}

pub(crate) fn password_of(name: &str) -> String {
    format!("{name}'s password")
}

/// A key that is good for a day.
pub(crate) fn key(name: &str, role: &str, project: &str) -> Value {
    let end = cirro_models::Timestamp::now().plus_seconds(24 * 3600);
    json!({"name": name, "role": role, "project_id": project, "expires_at": end})
}

pub(crate) fn id(row: &Value) -> String {
    row["id"].as_str().unwrap_or_else(|| panic!("no id in {row}")).to_owned()
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text)
}
