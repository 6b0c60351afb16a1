//! What signs tokens, and what ends them.

use crate::keys::{self, Held};
use cirro_models::{
    Error, Id, Labels, Model, Page, Principal, Reach, Result, Role, Timestamp,
    identity::{
        Project, Revocation,
        revocation::{NewRevocation, RevocationFilter},
    },
    meta::Meta,
    model::Seed,
    sql::{AnyConnection, Table},
};
use cirro_server::{
    Database, Tx,
    token::{Claims, Clock, Jwk, Jwks, LIFETIME_S, Verifier},
};
use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};
use parking_lot::RwLock;
use std::{collections::BTreeSet, sync::Arc};
use uuid::Uuid;

/// Makes tokens and ends them.
pub struct Signer {
    keys: RwLock<Vec<Held>>,
    verifier: Arc<Verifier>,
}

impl Signer {
    /// Reads the keys, or makes the first one, and teaches the verifier what it must know.
    pub(crate) async fn open(database: &Database, verifier: Arc<Verifier>) -> Result<Self> {
        let signer = Self { keys: RwLock::default(), verifier };
        signer.reload(database).await?;
        signer.renew(database).await?;
        let verifier = &signer.verifier;
        let as_of = verifier.clock().steady();
        for row in database.read(all_revocations).await? {
            verifier.revoke(&row.subject, row.meta.created_at);
        }
        verifier.complete_as_of(as_of);
        Ok(signer)
    }
    /// Makes the next key when it is time, and lets go of those that have ended.
    pub(crate) async fn renew(&self, database: &Database) -> Result<()> {
        let now = self.clock().now();
        if !keys::is_due(&self.keys.read(), now) {
            return Ok(());
        }
        let subject = cirro_server::controller::service_subject(cirro_models::Service::Identity);
        database.write(&subject, None, move |tx| keys::renew(tx, now)).await?;
        self.reload(database).await
    }
    /// Takes over the keys as they are kept now: another process may have made one.
    pub(crate) async fn reload(&self, database: &Database) -> Result<()> {
        let kept = database.read(keys::held).await?;
        self.verifier.trust(&Jwks { keys: kept.iter().map(|held| Jwk::from(&held.row)).collect() })?;
        *self.keys.write() = kept;
        Ok(())
    }
    /// The public keys, the next one included.
    pub fn jwks(&self) -> Jwks {
        Jwks { keys: self.keys.read().iter().map(|held| Jwk::from(&held.row)).collect() }
    }
    /// What time it is.
    pub(crate) fn clock(&self) -> &Clock {
        self.verifier.clock()
    }
    /// The present moment for `subject`, in a transaction: nobody else's transaction about it is between its moment and
    /// its end. So a token counts as made before a revocation if it was made from what that has taken away.
    pub(crate) fn moment(&self, tx: &mut Tx<'_>, subject: &str) -> Result<Timestamp> {
        tx.exclusive(lock_of(subject))?;
        database_time(tx.connection(), self.clock())
    }
    /// A token for a principal with these rights, which it had at the moment `made`, and when it ends: in time, and no
    /// later than `ends`. `root` is whose it is.
    pub(crate) fn token(
        &self,
        who: &Principal,
        root: String,
        made: Timestamp,
        ends: Option<Timestamp>,
        project: Option<(Id<Project>, Role)>,
        operator: bool,
    ) -> Result<(String, Timestamp)> {
        let exp = ends.map_or(made.plus_seconds(LIFETIME_S), |ends| ends.min(made.plus_seconds(LIFETIME_S)));
        let exp = exp.micros() / 1_000_000;
        let (project, role) = project.unzip();
        let claims = Claims {
            sub: who.to_string(),
            root,
            project,
            role,
            operator,
            scoped: matches!(who, Principal::ApiKey(..)),
            iat: made.micros() / 1_000_000,
            iat_us: made.micros(),
            exp,
            jti: uuid::Uuid::now_v7().to_string(),
        };
        let key = keys::signing(&self.keys.read(), self.clock().now()).map(|held| held.key.clone());
        let key = key.ok_or_else(|| Error::unavailable("identity has no key to sign with yet: try again"))?;
        Ok((key.sign(&claims)?, Timestamp::from_micros(exp * 1_000_000)))
    }
    /// Ends, in this transaction, what these subjects hold; hand the rows to [`Self::revoked`] when it is committed.
    pub(crate) fn revoke(&self, tx: &mut Tx<'_>, subjects: &BTreeSet<String>) -> Result<Vec<Revocation>> {
        let mut rows = Vec::with_capacity(subjects.len());
        // in one order, so that two transactions do not wait for each other
        for subject in subjects {
            let new = NewRevocation { subject: subject.clone(), labels: Labels::default() };
            let mut meta = Meta::created(tx.by());
            meta.created_at = self.moment(tx, subject)?;
            meta.updated_at = meta.created_at;
            rows.push(Revocation::build(new, Seed { id: Uuid::now_v7(), project: None, user: None, meta })?);
        }
        if !rows.is_empty() {
            tx.insert_all(&rows)?;
        }
        Ok(rows)
    }
    /// Takes effect on this process's verifier at once; others hear of it from the change feed.
    pub(crate) fn revoked(&self, rows: &[Revocation]) {
        rows.iter().for_each(|row| self.verifier.revoke(&row.subject, row.meta.created_at));
    }
}

/// The present moment. It is read from the database where several processes share one, as their machines' clocks differ.
pub(crate) fn database_time(c: &mut AnyConnection, clock: &Clock) -> Result<Timestamp> {
    match c {
        AnyConnection::Sqlite(_) => Ok(clock.now()),
        AnyConnection::Pg(c) => {
            let now: Micros = diesel::sql_query(DATABASE_TIME).get_result(c).map_err(Error::internal)?;
            Ok(Timestamp::from_micros(now.micros.saturating_add(clock.ahead_us())))
        }
    }
}

/// Every revocation: none is forgotten by a restart.
fn all_revocations(c: &mut AnyConnection) -> Result<Vec<Revocation>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = Revocation::page(c, &RevocationFilter::default(), &Reach::All, after, Page::MAX);
        let page = page.map_err(Error::internal)?;
        after = page.last().map(|row| row.id);
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Microseconds after 1970.
const DATABASE_TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros";

#[derive(QueryableByName)]
struct Micros {
    #[diesel(sql_type = BigInt)]
    micros: i64,
}

/// The lock that stands for a subject. Two that meet in one number only wait for each other.
pub(crate) fn lock_of(subject: &str) -> i64 {
    let hash = openssl::sha::sha256(subject.as_bytes());
    hash[..8].iter().fold(0, |number, byte| (number << 8) | i64::from(*byte))
}
