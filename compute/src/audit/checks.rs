//! What must not be among compute's rows. A claim has its instance's id.

use cirro_models::finding::Kind;
use cirro_server::audit::Check;

/// What only a fault of Cirro's can cause.
const FAULT: &str = "report it with this line: it is a fault of Cirro's";

const fn check(
    code: &'static str,
    thing: &'static str,
    means: &'static str,
    remedy: &'static str,
    finds: &'static str,
) -> Check {
    Check { kind: Kind { code, thing, means, remedy }, finds }
}

/// All of it, in the order of what is claimed, launched, removed, and seen by nodes.
pub(super) const CHECKS: &[Check] = &[
    check(
        "compute.claim-without-instance",
        "claim",
        "room is taken on a node for no instance",
        FAULT,
        "SELECT c.instance_id AS id, c.node_id AS other, CAST(NULL AS text) AS told FROM claim c \
         WHERE c.held_by IS NULL AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = c.instance_id)",
    ),
    check(
        "compute.claim-without-plan",
        "claim",
        "room is held for a plan that is gone or holds none",
        FAULT,
        "SELECT c.instance_id AS id, c.held_by AS other, CAST(NULL AS text) AS told FROM claim c \
         WHERE c.held_by IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM launchplan p WHERE p.id = c.held_by \
         AND p.status IN ('held', 'launching', 'halted'))",
    ),
    check(
        "compute.claim-without-node",
        "claim",
        "room is taken on a node that is gone",
        FAULT,
        // what has not begun there finds another node when its turn comes, or its plan says that it can't be launched
        "SELECT c.instance_id AS id, c.node_id AS other, CAST(NULL AS text) AS told FROM claim c \
         WHERE c.held_by IS NULL AND NOT EXISTS (SELECT 1 FROM node n WHERE n.id = c.node_id) \
         AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = c.instance_id AND i.plan_id IS NOT NULL \
         AND i.status = 'pending' AND i.node_id IS NULL AND i.leaving_node_id IS NULL)",
    ),
    check(
        "compute.claim-elsewhere",
        "claim",
        "room is taken on another node than the instance's",
        FAULT,
        "SELECT c.instance_id AS id, c.node_id AS other, CAST(NULL AS text) AS told FROM claim c \
         JOIN instance i ON i.id = c.instance_id WHERE i.node_id <> c.node_id",
    ),
    check(
        "compute.claim-differs",
        "claim",
        "the room that is taken is not what the instance needs",
        FAULT,
        "SELECT c.instance_id AS id, c.node_id AS other, 'taken ' || c.vcpus || ' vCPUs, ' || c.memory_mib || ' MiB, ' \
         || c.disk_gib || ' GiB; needed ' || i.vcpus || ' vCPUs, ' || i.memory_mib || ' MiB, ' || i.disk_gib || ' GiB' \
         AS told FROM claim c JOIN instance i ON i.id = c.instance_id \
         WHERE c.vcpus <> i.vcpus OR c.memory_mib <> i.memory_mib OR c.disk_gib <> i.disk_gib",
    ),
    check(
        "compute.instance-without-claim",
        "instance",
        "it is on a node, and no room is taken for it there",
        FAULT,
        "SELECT i.id, i.node_id AS other, i.name AS told FROM instance i WHERE i.node_id IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM claim c WHERE c.instance_id = i.id)",
    ),
    check(
        "compute.instance-without-node",
        "instance",
        "its node is gone",
        "delete the instance; what it had on the node is lost",
        "SELECT i.id, i.node_id AS other, i.name AS told FROM instance i WHERE i.node_id IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM node n WHERE n.id = i.node_id)",
    ),
    check(
        "compute.node-overfull",
        "node",
        "more is taken of it than it has",
        "delete instances there, or give the node a larger capacity if it has one (`cirro node update`)",
        "SELECT n.id, CAST(NULL AS uuid) AS other, 'taken ' || s.vcpus || ' of ' || n.vcpus || ' vCPUs, ' || s.memory \
         || ' of ' || n.memory_mib || ' MiB, ' || s.disk || ' of ' || n.disk_gib || ' GiB' AS told FROM node n JOIN \
         (SELECT node_id, sum(vcpus) AS vcpus, sum(memory_mib) AS memory, sum(disk_gib) AS disk FROM claim \
         GROUP BY node_id) AS s ON s.node_id = n.id \
         WHERE s.vcpus > n.vcpus OR s.memory > n.memory_mib OR s.disk > n.disk_gib",
    ),
    check(
        "compute.instance-without-launch",
        "instance",
        "what it is started with is lost: a node that has not begun with it never will",
        "delete the instance and launch it again; one that runs goes on",
        "SELECT i.id, i.node_id AS other, i.name AS told FROM instance i WHERE i.deleted_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM launch l WHERE l.instance_id = i.id)",
    ),
    check(
        "compute.launch-without-instance",
        "launch record",
        "what an instance was started with, user-data among it, is kept for none",
        FAULT,
        "SELECT l.instance_id AS id, CAST(NULL AS uuid) AS other, CAST(NULL AS text) AS told FROM launch l \
         WHERE NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = l.instance_id)",
    ),
    check(
        "compute.instance-without-plan",
        "instance",
        "the plan that launched it is gone, so no undo finds it",
        "keep it, or delete it by its name",
        "SELECT i.id, i.plan_id AS other, i.name AS told FROM instance i WHERE i.plan_id IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM launchplan p WHERE p.id = i.plan_id)",
    ),
    check(
        "compute.instance-of-undone-plan",
        "instance",
        "its plan is undone, and nobody has changed it, but it is still there",
        "delete the instance",
        "SELECT i.id, i.plan_id AS other, i.name AS told FROM instance i JOIN launchplan p ON p.id = i.plan_id \
         WHERE p.status = 'undone' AND i.touched IS NULL AND i.deleted_at IS NULL",
    ),
    check(
        "compute.plan-secret-left",
        "launch plan",
        "user-data is kept for it, though it is gone or has nothing to launch any more",
        FAULT,
        "SELECT s.plan_id AS id, CAST(NULL AS uuid) AS other, CAST(NULL AS text) AS told FROM plan_secret s \
         WHERE NOT EXISTS (SELECT 1 FROM launchplan p WHERE p.id = s.plan_id \
         AND p.status IN ('previewed', 'held', 'expired'))",
    ),
    check(
        "compute.plan-launch-lost",
        "launch plan",
        "it holds room for instances that are still to come, and what they are launched with is lost",
        "undo the plan, and launch them by a new one",
        "SELECT p.id, CAST(NULL AS uuid) AS other, p.name AS told FROM launchplan p WHERE p.status IN ('launching', 'halted') \
         AND EXISTS (SELECT 1 FROM claim c WHERE c.held_by = p.id) \
         AND NOT EXISTS (SELECT 1 FROM plan_launch l WHERE l.plan_id = p.id)",
    ),
    check(
        "compute.plan-launch-left",
        "launch plan",
        "what its instances are launched with, user-data among it, is kept for it, and it is gone or none are to come",
        FAULT,
        "SELECT DISTINCT l.plan_id AS id, CAST(NULL AS uuid) AS other, CAST(NULL AS text) AS told FROM plan_launch l \
         WHERE NOT EXISTS (SELECT 1 FROM launchplan p WHERE p.id = l.plan_id AND p.status IN ('launching', 'halted'))",
    ),
    check(
        "compute.deleting-without-order",
        "instance",
        "it is being deleted, and its node is not told to remove it",
        "delete it again",
        "SELECT i.id, i.node_id AS other, i.name AS told FROM instance i WHERE i.deleted_at IS NOT NULL \
         AND i.node_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tombstone t WHERE t.instance_id = i.id)",
    ),
    check(
        "compute.order-against-instance",
        "instance",
        "nobody deletes it, and its node is told to remove it",
        "stop its node's agent at once, and report it with this line",
        "SELECT i.id, t.node_id AS other, i.name AS told FROM instance i JOIN tombstone t ON t.instance_id = i.id \
         AND t.node_id = i.node_id WHERE i.deleted_at IS NULL",
    ),
    check(
        "compute.order-without-node",
        "removal",
        "a node is told to remove a guest, and the node is gone",
        FAULT,
        "SELECT t.instance_id AS id, t.node_id AS other, CAST(NULL AS text) AS told FROM tombstone t \
         WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.id = t.node_id)",
    ),
    check(
        "compute.action-without-instance",
        "instance action",
        "its instance is gone",
        FAULT,
        "SELECT a.id, a.instance_id AS other, CAST(a.kind AS text) AS told FROM instanceaction a \
         WHERE NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = a.instance_id)",
    ),
    check(
        "compute.console-log-without-instance",
        "console log",
        "its instance is gone",
        FAULT,
        "SELECT l.id, l.instance_id AS other, CAST(NULL AS text) AS told FROM consolelog l \
         WHERE NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = l.instance_id)",
    ),
    check(
        "compute.guest-unclaimed",
        "guest",
        "a node holds it, and no instance stands for it",
        "`cirro unclaimed adopt` makes it an instance again, `cirro unclaimed delete` destroys it",
        "SELECT g.instance_id AS id, g.node_id AS other, g.name AS told FROM unclaimedguest g",
    ),
    check(
        "compute.unclaimed-without-node",
        "guest",
        "nobody claims it, and the node that held it is gone",
        FAULT,
        "SELECT g.instance_id AS id, g.node_id AS other, g.name AS told FROM unclaimedguest g \
         WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.id = g.node_id)",
    ),
    check(
        "compute.address-twice",
        "instance",
        "another instance on its node has the same address",
        "restart one of the two, and look at the node's leases if that does not help",
        "SELECT i.id, i.node_id AS other, i.address AS told FROM instance i JOIN (SELECT node_id, address FROM instance \
         WHERE address IS NOT NULL AND deleted_at IS NULL AND status = 'running' GROUP BY node_id, address \
         HAVING count(*) > 1) AS twice ON twice.node_id = i.node_id AND twice.address = i.address \
         WHERE i.deleted_at IS NULL AND i.status = 'running'",
    ),
];
