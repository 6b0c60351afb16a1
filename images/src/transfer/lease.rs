//! The lease of an upload on its image, with the quota that is set aside for it.
//!
//! A lease is a row that lasts only while it is renewed. Whoever finds one that has ended gives its quota back, so
//! nothing stays set aside for a process that died.

use cirro_models::{
    Error, Id, Result, Timestamp,
    identity::{Project, Resource},
    images::{MachineImage, machine_image::ImageStatus},
    sql::{AnyConnection, Column, GuidValue, InstantValue},
};
use cirro_server::{Tx, db::database_error, http::Charges};
use diesel::prelude::*;
use uuid::Uuid;

/// What a project's images take of its quota, in bytes. Uploads under way count.
pub(crate) const RESOURCE: &str = "image_bytes";
/// What images take of it; what an upload under way has set aside is charged, too.
pub(crate) const CHARGES: Charges = Charges {
    resources: &[Resource::ImageBytes],
    reserved: |tx, project| Ok(vec![(Resource::ImageBytes, Lease::set_aside(tx.connection(), project)?)]),
};
/// How long a lease lasts when it is not renewed, in seconds: four times [`super::receive::RENEWAL`].
const LIFE_S: i64 = 120;

diesel::table! {
    use cirro_models::sql::types::{BigInt, Guid, Instant};
    #[allow(unreachable_pub)]
    upload (image_id) { image_id -> Guid, lease -> Guid, project_id -> Guid, bytes -> BigInt, until -> Instant, }
}

/// The right to fill an image, held by one upload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) image: Id<MachineImage>,
    id: Uuid,
}

/// What is set aside by a lease: image, project, bytes, end.
type Row = (GuidValue, GuidValue, i64, InstantValue);
const ROW: (upload::image_id, upload::project_id, upload::bytes, upload::until) =
    (upload::image_id, upload::project_id, upload::bytes, upload::until);

impl Lease {
    /// Takes the image for one upload of so many bytes, within what the project may have in all. `process` tells the leases
    /// of this process from those of others.
    pub(crate) fn take(tx: &mut Tx<'_>, id: Id<MachineImage>, bytes: i64, limit: i64, process: u64) -> Result<Self> {
        let image: MachineImage = tx.get(id)?;
        require_awaiting(&image)?;
        if let Some(row) = find(tx, id)? {
            if row.3.0 > Timestamp::now().micros() {
                return Err(busy(&image));
            }
            give_back(tx, &row)?;
        }
        let lease = Self { image: id, id: Uuid::from_u64_pair(process, Uuid::now_v7().as_u64_pair().1) };
        let values = (
            upload::image_id.eq(id.store()),
            upload::lease.eq(GuidValue(lease.id)),
            upload::project_id.eq(image.project_id.store()),
            upload::bytes.eq(bytes),
            upload::until.eq(end()),
        );
        diesel::insert_into(upload::table).values(values).execute(tx.connection()).map_err(|error| match error {
            diesel::result::Error::DatabaseError(diesel::result::DatabaseErrorKind::UniqueViolation, _) => busy(&image),
            other => database_error(other),
        })?;
        tx.charge(image.project_id, RESOURCE, bytes, limit)?;
        Ok(lease)
    }
    /// Makes it last; refused when somebody else has ended it.
    pub(crate) fn renew(self, tx: &mut Tx<'_>) -> Result<()> {
        let row = upload::table.find(self.image.store()).filter(upload::lease.eq(GuidValue(self.id)));
        let renewed = diesel::update(row).set(upload::until.eq(end())).execute(tx.connection());
        self.require_ours(renewed.map_err(database_error)?)
    }
    /// Ends it; what was set aside belongs to the image from now on.
    pub(crate) fn spend(self, tx: &mut Tx<'_>) -> Result<()> {
        let row = upload::table.find(self.image.store()).filter(upload::lease.eq(GuidValue(self.id)));
        let ended = diesel::delete(row).execute(tx.connection()).map_err(database_error)?;
        self.require_ours(ended)
    }
    /// Ends it, if it is still ours, and gives back what was set aside.
    pub(crate) fn release(self, tx: &mut Tx<'_>) -> Result<()> {
        let row = upload::table.find(self.image.store()).filter(upload::lease.eq(GuidValue(self.id))).select(ROW);
        let row = row.first::<Row>(tx.connection()).optional().map_err(database_error)?;
        row.map_or(Ok(()), |row| give_back(tx, &row))
    }
    /// Ends whatever lease is on an image that goes away.
    pub(crate) fn end_any(tx: &mut Tx<'_>, image: Id<MachineImage>) -> Result<()> {
        find(tx, image)?.map_or(Ok(()), |row| give_back(tx, &row))
    }
    /// Ends the leases that were not renewed, and those of every process but `only`, where no other can have any; says how
    /// many.
    pub(crate) fn end_abandoned(tx: &mut Tx<'_>, only: Option<u64>) -> Result<usize> {
        let now = Timestamp::now().micros();
        let rows = upload::table.select((upload::lease, ROW));
        let mut rows = rows.load::<(GuidValue, Row)>(tx.connection()).map_err(database_error)?;
        // as many as uploads under way
        rows.retain(|(lease, row)| row.3.0 <= now || only.is_some_and(|process| lease.0.as_u64_pair().0 != process));
        rows.iter().try_for_each(|(_, row)| give_back(tx, row))?;
        Ok(rows.len())
    }
    /// The images that are being filled.
    pub(crate) fn images(c: &mut AnyConnection) -> Result<Vec<Uuid>> {
        let images = upload::table.select(upload::image_id).load::<GuidValue>(c).map_err(database_error)?;
        Ok(images.into_iter().map(|id| id.0).collect())
    }
    /// The images whose lease was over at this moment, and has not been ended.
    pub(crate) fn ended(c: &mut AnyConnection, now: Timestamp) -> Result<Vec<Uuid>> {
        let over = upload::table.filter(upload::until.le(now.store())).select(upload::image_id);
        let over = over.load::<GuidValue>(c).map_err(database_error)?;
        Ok(over.into_iter().map(|id| id.0).collect())
    }
    /// What uploads to a project's images have set aside, in bytes.
    fn set_aside(c: &mut AnyConnection, project: Id<Project>) -> Result<i64> {
        let bytes = upload::table.filter(upload::project_id.eq(project.store())).select(upload::bytes);
        Ok(bytes.load::<i64>(c).map_err(database_error)?.into_iter().sum())
    }

    fn require_ours(self, rows: usize) -> Result<()> {
        if rows == 1 {
            return Ok(());
        }
        Err(Error::conflict(format!(
            "the upload to image {} was ended because the image was deleted or the upload stood still for too long: look at the image, and upload again",
            self.image
        )))
    }
}

/// Refuses bytes for an image that has them, or that goes away.
pub(crate) fn require_awaiting(image: &MachineImage) -> Result<()> {
    let (name, id) = (&image.name, image.id);
    match (&image.status, image.meta.deleted_at) {
        (ImageStatus::Awaiting, None) => Ok(()),
        (ImageStatus::Ready, None) => Err(Error::conflict(format!(
            "image {name} ({id}) has its bytes and they never change: create a new image for other bytes; a repeated upload is recognised by its digest in X-Cirro-Sha256"
        ))),
        _ => Err(Error::conflict(format!("image {name} ({id}) is being deleted: create a new one and upload to that"))),
    }
}

fn busy(image: &MachineImage) -> Error {
    Error::conflict(format!(
        "image {} ({}) is being uploaded already: wait until that has ended, or delete the image to end it",
        image.name, image.id
    ))
}

fn end() -> InstantValue {
    Timestamp::now().plus_seconds(LIFE_S).store()
}

fn find(tx: &mut Tx<'_>, image: Id<MachineImage>) -> Result<Option<Row>> {
    upload::table.find(image.store()).select(ROW).first(tx.connection()).optional().map_err(database_error)
}

/// Removes a lease and refunds it; one that was just renewed or ended by somebody else is left alone.
fn give_back(tx: &mut Tx<'_>, (image, project, bytes, until): &Row) -> Result<()> {
    let row = upload::table.find(*image).filter(upload::until.eq(*until));
    if diesel::delete(row).execute(tx.connection()).map_err(database_error)? == 1 {
        tx.refund(Id::<Project>::from_uuid(project.0), RESOURCE, *bytes)?;
    }
    Ok(())
}
