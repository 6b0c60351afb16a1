//! What projects have of compute's resources, counted anew: instances that are not being deleted, and what plans hold.

use cirro_models::finding::Kind;
use cirro_server::audit::Usage;

const KIND: Kind = Kind {
    code: "compute.usage-differs",
    thing: "project",
    means: "its quota does not count what it has",
    remedy: "report it with this line: it is a fault of Cirro's",
};

/// The resources of the quota.
pub(super) const USAGES: &[Usage] = &[
    Usage {
        kind: KIND,
        resource: "instances",
        counts: "SELECT project_id, CAST(sum(amount) AS bigint) AS amount FROM (\
            SELECT project_id, 1 AS amount FROM instance WHERE deleted_at IS NULL UNION ALL \
            SELECT p.project_id, 1 FROM claim c JOIN launchplan p ON p.id = c.held_by) AS parts GROUP BY project_id",
    },
    Usage {
        kind: KIND,
        resource: "vcpus",
        counts: "SELECT project_id, CAST(sum(amount) AS bigint) AS amount FROM (\
            SELECT project_id, vcpus AS amount FROM instance WHERE deleted_at IS NULL UNION ALL \
            SELECT p.project_id, c.vcpus FROM claim c JOIN launchplan p ON p.id = c.held_by) AS parts GROUP BY project_id",
    },
    Usage {
        kind: KIND,
        resource: "memory_mib",
        counts: "SELECT project_id, CAST(sum(amount) AS bigint) AS amount FROM (\
            SELECT project_id, memory_mib AS amount FROM instance WHERE deleted_at IS NULL UNION ALL \
            SELECT p.project_id, c.memory_mib FROM claim c JOIN launchplan p ON p.id = c.held_by) AS parts \
            GROUP BY project_id",
    },
];
