//! What images holds that has no owner, or does not agree with what it was made from: rows, bytes and uploads.

use crate::{
    bytes::Seen,
    transfer::{Lease, RESOURCE, Transfers},
};
use cirro_models::{
    Context, Error, Result, Timestamp,
    finding::{Finding, Kind},
    identity::Project,
    sql::{AnyConnection, GuidValue, types::Guid},
};
use cirro_server::{
    OwnerContext,
    audit::{Usage, find_all, gone, ids},
    db::database_error,
};
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types as st};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

const BYTES_GONE: Kind = Kind {
    code: "images.image-without-bytes",
    thing: "image",
    means: "it counts as ready, and its bytes are gone or are not all there",
    remedy: "put the site's backup of the image store back, or delete the image and upload it again",
};
const BYTES_LEFT: Kind = Kind {
    code: "images.bytes-without-image",
    thing: "image",
    means: "bytes of it are stored, and it is gone or has no use for them",
    remedy: "wait: they are removed when they are a day old",
};
const UPLOAD_LEFT: Kind = Kind {
    code: "images.upload-abandoned",
    thing: "image",
    means: "an upload to it has ended without a word, and still counts in its project's quota",
    remedy: "wait: it is given back within ten minutes, or at once when the upload is repeated",
};
const PART_LEFT: Kind = Kind {
    code: "images.part-abandoned",
    thing: "image",
    means: "a part of its bytes is stored, and no upload goes on with it",
    remedy: "wait: it is removed within ten minutes",
};
const PROJECT_GONE: Kind = Kind {
    code: "images.project-gone",
    thing: "project",
    means: "images belong to it, and it is gone",
    remedy: "delete the images (`cirro image list --all -o json` tells whose they are)",
};
const USAGE: Usage = Usage {
    kind: Kind {
        code: "images.usage-differs",
        thing: "project",
        means: "its quota does not count what it has",
        remedy: "report it with this line: it is a fault of Cirro's",
    },
    resource: RESOURCE,
    // an image counts from the moment that its virtual size is known; before, its upload does
    counts: "SELECT project_id, CAST(sum(amount) AS bigint) AS amount FROM (\
        SELECT project_id, size_bytes AS amount FROM machineimage \
        WHERE size_bytes IS NOT NULL AND virtual_bytes IS NOT NULL UNION ALL \
        SELECT project_id, bytes FROM upload) AS parts GROUP BY project_id",
};

/// Every kind of finding that images may tell.
pub fn kinds() -> Vec<Kind> {
    vec![BYTES_GONE, BYTES_LEFT, UPLOAD_LEFT, PART_LEFT, PROJECT_GONE, USAGE.kind]
}

/// What images finds at this moment.
pub(crate) async fn walk(ctx: Context) -> Result<Vec<Finding>> {
    let transfers = ctx.stores().part::<Transfers>()?;
    let database = ctx.database()?;
    let rows = database.snapshot(Rows::read).await?;
    let seen = transfers.store.look().await.map_err(Error::internal)?;
    let mut found = rows.compare(&seen);
    let gone = gone::<Project>(&ctx, &rows.projects).await?;
    found.extend(gone.into_iter().map(|id| PROJECT_GONE.found(id, None, None)));
    found.extend(rows.found);
    Ok(found)
}

#[derive(QueryableByName)]
struct Kept {
    #[diesel(sql_type = Guid)]
    id: GuidValue,
    #[diesel(sql_type = st::Text)]
    status: String,
    #[diesel(sql_type = st::Nullable<st::BigInt>)]
    size_bytes: Option<i64>,
}

/// What the database says of bytes.
struct Rows {
    /// The size of each ready image.
    ready: HashMap<Uuid, Option<i64>>,
    /// Images whose bytes come or go just now.
    moving: HashSet<Uuid>,
    projects: Vec<Uuid>,
    found: Vec<Finding>,
}

impl Rows {
    fn read(c: &mut AnyConnection) -> Result<Self> {
        let images: Vec<Kept> =
            sql_query("SELECT id, status, size_bytes FROM machineimage").load(c).map_err(database_error)?;
        let mut moving: HashSet<Uuid> = Lease::images(c)?.into_iter().collect();
        moving.extend(images.iter().filter(|image| image.status == "deleting").map(|image| image.id.0));
        let ready = images.iter().filter(|image| image.status == "ready");
        let ready = ready.map(|image| (image.id.0, image.size_bytes)).collect();
        let mut found = find_all(c, &[], &[USAGE])?;
        let ended = Lease::ended(c, Timestamp::now())?;
        found.extend(ended.into_iter().map(|image| UPLOAD_LEFT.found(image, None, None)));
        let projects = ids(c, "SELECT DISTINCT project_id AS id FROM machineimage")?;
        Ok(Self { ready, moving, projects, found })
    }
    fn compare(&self, seen: &Seen) -> Vec<Finding> {
        let lacks = |(image, size): (&Uuid, &Option<i64>)| {
            let stored = seen.objects.get(image);
            let same = stored.copied() == size.map(i64::unsigned_abs);
            let told = || stored.map(|stored| format!("{stored} bytes are stored"));
            (!same).then(|| BYTES_GONE.found(*image, None, told().as_deref()))
        };
        let known = |image: &Uuid| self.ready.contains_key(image) || self.moving.contains(image);
        let left = seen.objects.iter().filter(|(image, _)| !known(image));
        let left = left.map(|(image, size)| BYTES_LEFT.found(*image, None, Some(&format!("{size} bytes"))));
        let parts = seen.abandoned.iter().map(|image| PART_LEFT.found(*image, None, None));
        self.ready.iter().filter_map(lacks).chain(left).chain(parts).collect()
    }
}
