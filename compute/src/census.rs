//! How many instances and nodes there are, for metrics.

use cirro_models::{Result, sql::AnyConnection};
use cirro_server::{Database, db::database_error, owner::Census};
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types as st};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = st::Text)]
    status: String,
    #[diesel(sql_type = st::BigInt)]
    count: i64,
}

/// Instances and nodes by status.
pub(crate) async fn count(database: Database) -> Result<Vec<Census>> {
    let by_status = |c: &mut AnyConnection, query: &'static str| -> Result<Vec<(String, i64)>> {
        let rows: Vec<Row> = sql_query(query).load(c).map_err(database_error)?;
        Ok(rows.into_iter().map(|row| (row.status, row.count)).collect())
    };
    database
        .read(move |c| {
            let instances = by_status(
                c,
                "SELECT status, count(*) AS count FROM instance WHERE deleted_at IS NULL GROUP BY status ORDER BY status",
            )?;
            let nodes = by_status(
                c,
                "SELECT status, count(*) AS count FROM node WHERE deleted_at IS NULL GROUP BY status ORDER BY status",
            )?;
            Ok(vec![
                Census { name: "cirro_instances", what: "Instances, by status.", by: "status", counts: instances },
                Census { name: "cirro_nodes", what: "Nodes, by status.", by: "status", counts: nodes },
            ])
        })
        .await
}
