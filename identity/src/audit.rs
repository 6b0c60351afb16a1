//! What identity holds of somebody or something that is gone.

use crate::records;
use cirro_models::{
    Context, Result,
    finding::{Finding, Kind},
    sql::AnyConnection,
};
use cirro_server::{
    OwnerContext,
    audit::{Check, find_all, ids},
};
use std::collections::HashSet;
use uuid::Uuid;

/// What only a fault of Cirro's can cause.
const FAULT: &str = "report it with this line: it is a fault of Cirro's";

const SECRET_LEFT: Kind = Kind {
    code: "identity.secret-without-owner",
    thing: "secret",
    means: "the hash of it is kept, and the key or the user that it was told to is gone",
    remedy: FAULT,
};

/// Every kind of finding that identity may tell.
pub fn kinds() -> Vec<Kind> {
    CHECKS.iter().map(|check| check.kind).chain([SECRET_LEFT]).collect()
}

/// What identity finds at this moment.
pub(crate) async fn walk(ctx: Context) -> Result<Vec<Finding>> {
    let database = ctx.database()?;
    let own = database.snapshot(|c| {
        let mut found = find_all(c, CHECKS, &[])?;
        found.extend(secrets_left(c)?);
        Ok(found)
    });
    own.await
}

/// Secrets name their owners in a text, so the database can't compare them.
fn secrets_left(c: &mut AnyConnection) -> Result<Vec<Finding>> {
    let keys: HashSet<Uuid> = ids(c, "SELECT id FROM apikey")?.into_iter().collect();
    let users: HashSet<Uuid> = ids(c, "SELECT id FROM \"user\"")?.into_iter().collect();
    let left = |owner: String| {
        let (kind, rest) = owner.split_once(':')?;
        let id: Uuid = rest.split(':').next()?.parse().ok()?;
        let gone = match kind {
            "key" => !keys.contains(&id),
            "refresh" => !users.contains(&id),
            _ => false,
        };
        gone.then(|| SECRET_LEFT.found(id, None, Some(kind)))
    };
    Ok(records::secret_owners(c)?.into_iter().filter_map(left).collect())
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

/// What must not be among identity's rows.
const CHECKS: &[Check] = &[
    check(
        "identity.grant-without-holder",
        "grant",
        "the user or the group that it was granted to is gone",
        "delete the grant",
        "SELECT g.id, coalesce(g.user_id, g.group_id) AS other, g.role AS told FROM \"grant\" g \
         WHERE NOT EXISTS (SELECT 1 FROM \"user\" u WHERE u.id = g.user_id) \
         AND NOT EXISTS (SELECT 1 FROM \"group\" o WHERE o.id = g.group_id)",
    ),
    check(
        "identity.grant-without-project",
        "grant",
        "the project that it is for is gone",
        "delete the grant",
        "SELECT g.id, g.project_id AS other, g.role AS told FROM \"grant\" g WHERE g.project_id IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM project p WHERE p.id = g.project_id)",
    ),
    check(
        "identity.member-without-user",
        "group member",
        "the user is gone",
        FAULT,
        "SELECT m.id, m.user_id AS other, CAST(NULL AS text) AS told FROM groupmember m \
         WHERE NOT EXISTS (SELECT 1 FROM \"user\" u WHERE u.id = m.user_id)",
    ),
    check(
        "identity.member-without-group",
        "group member",
        "the group is gone",
        FAULT,
        "SELECT m.id, m.group_id AS other, CAST(NULL AS text) AS told FROM groupmember m \
         WHERE NOT EXISTS (SELECT 1 FROM \"group\" g WHERE g.id = m.group_id)",
    ),
    check(
        "identity.key-without-user",
        "API key",
        "the user who made it is gone",
        "delete the key",
        "SELECT k.id, k.user_id AS other, k.name AS told FROM apikey k \
         WHERE NOT EXISTS (SELECT 1 FROM \"user\" u WHERE u.id = k.user_id)",
    ),
    check(
        "identity.key-without-project",
        "API key",
        "the project that it is for is gone",
        "delete the key",
        "SELECT k.id, k.project_id AS other, k.name AS told FROM apikey k \
         WHERE NOT EXISTS (SELECT 1 FROM project p WHERE p.id = k.project_id)",
    ),
    check(
        "identity.password-without-user",
        "password",
        "the hash of it is kept, and the user is gone",
        FAULT,
        "SELECT w.user_id AS id, CAST(NULL AS uuid) AS other, CAST(NULL AS text) AS told FROM user_password w \
         WHERE NOT EXISTS (SELECT 1 FROM \"user\" u WHERE u.id = w.user_id)",
    ),
    check(
        "identity.joining-without-token",
        "joining",
        "the answer to a machine that joined is kept, and its join token is gone",
        FAULT,
        "SELECT j.token_id AS id, CAST(NULL AS uuid) AS other, CAST(NULL AS text) AS told FROM join_claim j \
         WHERE NOT EXISTS (SELECT 1 FROM jointoken t WHERE t.id = j.token_id)",
    ),
    check(
        "identity.key-without-private-half",
        "token key",
        "its public half is published, and nothing can be signed with it",
        "delete it (`DELETE /identity/v1/tokenkey/{id}`): whoever holds a token that it signed logs in again",
        "SELECT k.id, CAST(NULL AS uuid) AS other, k.kid AS told FROM tokenkey k \
         WHERE NOT EXISTS (SELECT 1 FROM signing_key s WHERE s.kid = k.kid)",
    ),
];
