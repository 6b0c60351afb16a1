//! What storage holds that has no owner, or does not agree with what it was made from.

use crate::records;
use cirro_models::{
    Context, Result,
    compute::{Instance, Node},
    finding::{Finding, Kind},
    identity::Project,
    sql::AnyConnection,
};
use cirro_server::{
    OwnerContext,
    audit::{Check, Usage, find_all, gone, ids, ids_of_two},
};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// What only a fault of Cirro's can cause.
const FAULT: &str = "report it with this line: it is a fault of Cirro's";

const FILE_MISSING: Kind = Kind {
    code: "storage.volume-without-file",
    thing: "volume",
    means: "its node does not have its file",
    remedy: "look at the folder of its pool; put the file back from a copy, or delete the volume",
};
const FILE_LEFT: Kind = Kind {
    code: "storage.file-without-volume",
    thing: "volume",
    means: "a node has its file, and no volume there is of that name",
    remedy: "when you are sure that nobody wants the data, remove `ID.qcow2` in the folder of the node's pool",
};
const INSTANCE_GONE: Kind = Kind {
    code: "storage.instance-gone",
    thing: "instance",
    means: "volumes are attached to it, and it is gone",
    remedy: "detach them (`cirro attachment list` tells which)",
};
const NODE_GONE: Kind = Kind {
    code: "storage.node-gone",
    thing: "node",
    means: "a storage pool lies on it, and it is gone",
    remedy: "delete the pool's volumes, which are lost with the node, and then the pool",
};
const PROJECT_GONE: Kind = Kind {
    code: "storage.project-gone",
    thing: "project",
    means: "volumes belong to it, and it is gone",
    remedy: "delete the volumes (`cirro volume list --all -o json` tells whose they are)",
};

/// Every kind of finding that storage may tell.
pub fn kinds() -> Vec<Kind> {
    let stated = CHECKS.iter().map(|check| check.kind).chain(USAGES.iter().map(|usage| usage.kind));
    stated.chain([FILE_MISSING, FILE_LEFT, INSTANCE_GONE, NODE_GONE, PROJECT_GONE]).collect()
}

/// What storage finds at this moment.
pub(crate) async fn walk(ctx: Context) -> Result<Vec<Finding>> {
    let database = ctx.database()?;
    let own = database.snapshot(|c| {
        let mut found = find_all(c, CHECKS, USAGES)?;
        found.extend(files(c)?);
        Ok((found, Named::read(c)?))
    });
    let (mut found, named) = own.await?;
    let (instances, nodes, projects) = tokio::try_join!(
        gone::<Instance>(&ctx, &named.instances),
        gone::<Node>(&ctx, &named.nodes),
        gone::<Project>(&ctx, &named.projects),
    )?;
    for (kind, gone) in [(INSTANCE_GONE, instances), (NODE_GONE, nodes), (PROJECT_GONE, projects)] {
        found.extend(gone.into_iter().map(|id| kind.found(id, None, None)));
    }
    Ok(found)
}

/// What nodes have told of their files, compared with the volumes there. A volume is available by the same report that
/// tells of its file, and gone by the one that tells of it no more.
fn files(c: &mut AnyConnection) -> Result<Vec<Finding>> {
    let volumes: HashSet<(Uuid, Uuid)> =
        ids_of_two(c, "SELECT id, node_id AS other FROM volume WHERE node_id IS NOT NULL")?;
    let made: Vec<(Uuid, Uuid)> = ids_of_two(
        c,
        "SELECT id, node_id AS other FROM volume WHERE node_id IS NOT NULL AND status IN ('available', 'attached') \
         AND deleted_at IS NULL AND status_reason IS NULL",
    )?;
    let (mut found, mut told) = (Vec::new(), HashMap::new());
    for (node, files) in records::files(c)? {
        let files: HashSet<Uuid> = files.into_iter().map(cirro_models::Id::uuid).collect();
        let left = files.iter().filter(|id| !volumes.contains(&(**id, node.uuid())));
        found.extend(left.map(|id| FILE_LEFT.found(*id, Some(node.uuid()), None)));
        told.insert(node.uuid(), files);
    }
    let lacks = |(id, node): &(Uuid, Uuid)| told.get(node).is_some_and(|files| !files.contains(id));
    found.extend(made.into_iter().filter(lacks).map(|(id, node)| FILE_MISSING.found(id, Some(node), None)));
    Ok(found)
}

/// What storage's rows name of other services. What is being detached from an instance may outlive it for a moment.
struct Named {
    instances: Vec<Uuid>,
    nodes: Vec<Uuid>,
    projects: Vec<Uuid>,
}

impl Named {
    fn read(c: &mut AnyConnection) -> Result<Self> {
        Ok(Self {
            instances: ids(c, "SELECT DISTINCT instance_id AS id FROM attachment WHERE deleted_at IS NULL")?,
            nodes: ids(c, "SELECT node_id AS id FROM storagepool")?,
            projects: ids(c, "SELECT DISTINCT project_id AS id FROM volume")?,
        })
    }
}

const fn check(
    code: &'static str,
    thing: &'static str,
    means: &'static str,
    remedy: &'static str,
    finds: &'static str,
) -> Check {
    Check { kind: Kind { code, thing, means, remedy }, finds }
}

/// What must not be among storage's rows.
const CHECKS: &[Check] = &[
    check(
        "storage.volume-without-pool",
        "volume",
        "it lies in no pool, or in one that is gone",
        "delete the volume; its data can't be reached",
        "SELECT v.id, v.pool_id AS other, v.name AS told FROM volume v \
         WHERE NOT EXISTS (SELECT 1 FROM storagepool p WHERE p.id = v.pool_id)",
    ),
    check(
        "storage.volume-elsewhere",
        "volume",
        "it is on another node than its pool",
        FAULT,
        "SELECT v.id, v.node_id AS other, v.name AS told FROM volume v JOIN storagepool p ON p.id = v.pool_id \
         WHERE v.node_id IS NULL OR v.node_id <> p.node_id",
    ),
    check(
        "storage.pool-overfull",
        "storage pool",
        "its volumes may take more than it has",
        "delete volumes, or give the pool a larger capacity if its disk has one (`cirro pool update`)",
        "SELECT p.id, p.node_id AS other, 'taken ' || s.taken || ' of ' || p.capacity_gib || ' GiB' AS told \
         FROM storagepool p JOIN (SELECT pool_id, sum(size_gib) AS taken FROM volume GROUP BY pool_id) AS s \
         ON s.pool_id = p.id WHERE s.taken > p.capacity_gib",
    ),
    check(
        "storage.attachment-without-volume",
        "attachment",
        "its volume is gone",
        "detach it",
        "SELECT a.id, a.volume_id AS other, CAST(NULL AS text) AS told FROM attachment a \
         WHERE NOT EXISTS (SELECT 1 FROM volume v WHERE v.id = a.volume_id)",
    ),
    check(
        "storage.attachment-elsewhere",
        "attachment",
        "it is on another node than its volume",
        FAULT,
        "SELECT a.id, a.node_id AS other, CAST(NULL AS text) AS told FROM attachment a \
         JOIN volume v ON v.id = a.volume_id WHERE a.node_id IS NULL OR a.node_id <> v.node_id",
    ),
    check(
        "storage.volume-without-attachment",
        "volume",
        "it counts as attached, and no attachment has it",
        FAULT,
        "SELECT v.id, v.node_id AS other, v.name AS told FROM volume v WHERE v.status = 'attached' \
         AND NOT EXISTS (SELECT 1 FROM attachment a WHERE a.volume_id = v.id)",
    ),
    check(
        "storage.volume-free-though-attached",
        "volume",
        "it does not count as attached, and an attachment has it",
        FAULT,
        "SELECT v.id, a.instance_id AS other, v.name AS told FROM volume v JOIN attachment a ON a.volume_id = v.id \
         WHERE v.status <> 'attached'",
    ),
];

const USAGE: Kind = Kind {
    code: "storage.usage-differs",
    thing: "project",
    means: "its quota does not count what it has",
    remedy: FAULT,
};

/// The resources of the quota. A volume that is being deleted counts until its file is removed.
const USAGES: &[Usage] = &[
    Usage {
        kind: USAGE,
        resource: "volumes",
        counts: "SELECT project_id, count(*) AS amount FROM volume GROUP BY project_id",
    },
    Usage {
        kind: USAGE,
        resource: "volume_gib",
        counts: "SELECT project_id, CAST(sum(size_gib) AS bigint) AS amount FROM volume GROUP BY project_id",
    },
];
