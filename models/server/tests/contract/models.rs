//! A handful of models that between them have every scope and every marker, with the migrations of their tables.
#![allow(missing_docs, unreachable_pub, reason = "models of a test")]

use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Generation, Id, Meta, MiB, Model, Name, Result, Timestamp, choice,
    compute::Node,
    identity::{Project, Secret, User},
};
use cirro_server::{Controller, OwnerContext, db::Migrations};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

choice! {
    /// What a boat is painted in.
    pub enum Colour {
        /// Like a rose.
        Red = "red",
        /// Like the sea.
        Blue = "blue",
        /// Like moss.
        Green = "green",
    }
}
choice! {
    /// What a boat does.
    pub enum BoatStatus {
        /// It lies at its place.
        Moored = "moored",
        /// It is out.
        Sailing = "sailing",
    }
}

/// Belongs to the site.
#[derive(Model)]
#[model(service = Compute, path = "harbour", scope = Site, unique(name))]
#[model(create = Operator, read = Anyone, update = Operator, delete = Operator)]
pub struct Harbour {
    pub id: Id<Harbour>,
    #[model(create, update, filter)]
    pub name: Name,
    #[model(create, update, default = true)]
    pub open: bool,
    #[model(meta)]
    pub meta: Meta,
}

/// Belongs to a project; has every marker.
#[derive(Model)]
#[model(service = Compute, path = "boat", scope = Project, unique(project_id, name))]
#[model(create = Member, read = Viewer, update = Member, delete = Member)]
#[model(input(password: Option<Secret>, create, update))]
pub struct Boat {
    pub id: Id<Boat>,
    #[model(filter)]
    pub project_id: Id<Project>,
    #[model(create, update, filter)]
    pub name: Name,
    #[model(create, filter)]
    pub harbour_id: Option<Id<Harbour>>,
    #[model(create, update, filter, default = Colour::Blue)]
    pub colour: Colour,
    #[model(create, update)]
    pub note: Option<String>,
    #[model(create, update, json)]
    pub crew: Option<Vec<String>>,
    #[model(create, update, default = MiB::new(64))]
    pub load_mib: MiB,
    #[model(create, update)]
    pub due_at: Option<Timestamp>,
    #[model(create, update, desired, default = false)]
    pub afloat: bool,
    #[model(generation)]
    pub generation: Generation,
    #[model(status)]
    pub observed_generation: Generation,
    #[model(status, filter, default = BoatStatus::Moored)]
    pub status: BoatStatus,
    #[model(system, filter, node)]
    pub node_id: Option<Id<Node>>,
    #[model(meta)]
    pub meta: Meta,
}

/// Belongs to a project, or is read by all; goes slowly when deleted.
#[derive(Model)]
#[model(service = Compute, path = "chart", scope = ProjectOrPublic(public), unique(project_id, name))]
#[model(create = Member, read = Viewer, update = Member, delete = Admin)]
pub struct Chart {
    pub id: Id<Chart>,
    #[model(filter)]
    pub project_id: Id<Project>,
    #[model(create, update, filter)]
    pub name: Name,
    #[model(create, update, filter, default = false)]
    pub public: bool,
    #[model(meta)]
    pub meta: Meta,
}

/// Belongs to one person; tells a secret once.
#[derive(Model)]
#[model(service = Compute, path = "badge", scope = Own(user_id), unique(user_id, name))]
#[model(create = Anyone, read = Anyone, update = Nobody, delete = Anyone)]
#[model(once(secret: Secret))]
pub struct Badge {
    pub id: Id<Badge>,
    #[model(filter)]
    pub user_id: Id<User>,
    #[model(create, filter)]
    pub name: Name,
    #[model(meta)]
    pub meta: Meta,
}

/// The other service's only model. Its controller asks the first service for a boat, and makes two more there.
#[derive(Model)]
#[model(service = Identity, path = "voyage", scope = Project)]
#[model(create = Member, read = Viewer, update = Nobody, delete = Member)]
pub struct Voyage {
    pub id: Id<Voyage>,
    pub project_id: Id<Project>,
    #[model(create)]
    pub boat_id: Id<Boat>,
    #[model(meta)]
    pub meta: Meta,
}

/// Deletes in two steps.
pub struct Charts;
#[async_trait]
impl Controller<Chart> for Charts {
    async fn delete(&self, ctx: &Context, current: Chart) -> Result<Deleted<Chart>> {
        let id = current.id;
        ctx.write(move |tx| tx.begin_delete::<Chart>(id, |_| ())).await.map(Deleted::Begun)
    }
}

/// Tells a secret with each new badge.
pub struct Badges;
#[async_trait]
impl Controller<Badge> for Badges {
    async fn create(&self, ctx: &Context, draft: Badge, _: NewBadge) -> Result<Created<Badge>> {
        let secret = Secret::new(format!("secret of {}", draft.id));
        let (row, told) = (draft.clone(), secret.clone());
        let write = move |tx: &mut cirro_server::Tx<'_>| {
            tx.insert(&row)?;
            tx.tell_once("secret", &told);
            Ok(())
        };
        ctx.write(write).await?;
        Ok(Created::from(draft).once("secret", secret))
    }
}

/// Makes two tenders for each voyage, at the service that owns boats.
pub struct Voyages;
#[async_trait]
impl Controller<Voyage> for Voyages {
    async fn create(&self, ctx: &Context, draft: Voyage, new: NewVoyage) -> Result<Created<Voyage>> {
        use cirro_models::Verbs;
        let boat = Boat::get(ctx, new.boat_id).await?;
        for side in ["port", "starboard"] {
            Boat::create(ctx, new_boat(&format!("{}-{side}", boat.name))).await?;
        }
        ctx.write(move |tx| tx.insert(&draft).map(|()| draft.clone())).await.map(Into::into)
    }
}

/// A boat with nothing but a name.
pub fn new_boat(name: &str) -> NewBoat {
    NewBoat {
        name: Name::parse(name).expect("a good name"),
        harbour_id: None,
        colour: None,
        note: None,
        crew: None,
        load_mib: None,
        due_at: None,
        afloat: None,
        password: None,
        labels: cirro_models::Labels::new(),
    }
}

const HARBOUR: EmbeddedMigrations = embed_migrations!("tests/contract/migrations/compute");
const VOYAGE: EmbeddedMigrations = embed_migrations!("tests/contract/migrations/identity");

pub fn compute() -> Migrations {
    Migrations(HARBOUR)
}
pub fn identity() -> Migrations {
    Migrations(VOYAGE)
}
