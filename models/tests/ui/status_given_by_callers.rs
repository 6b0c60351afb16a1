use cirro_models::{Id, Meta, Model, Name};

/// A boat.
#[derive(Model)]
#[model(service = Compute, path = "boat", scope = Site)]
#[model(create = Member, read = Viewer, update = Member, delete = Member)]
pub struct Boat {
    /// Its id.
    pub id: Id<Boat>,
    /// Where it is.
    #[model(status, create)]
    pub place: Name,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}

fn main() {}
