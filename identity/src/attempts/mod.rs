//! How often somebody may try to log in.
//!
//! Guessing has to be slow, and nobody may be locked out by somebody else's guesses. So failures are counted mainly for
//! an account *and* the address that they come from: a stranger who guesses closes the account to their own address
//! alone. Many addresses together meet the limit of the whole account, which is ten times as high and does not count for
//! an address from which the account was logged in to before: who is attacked goes on from where they usually are. Each
//! closing is over a minute after its first failure. One address that tries many names meets a limit of its own.
//!
//! The processes of a site share the counts in their database, and still need no write for a login that succeeds. Each
//! may be ahead of what it has told by a tenth of a limit (one guess of ten, ten of a hundred); before it goes on, it
//! tells that, hears what all have counted, and takes its turn of the rest in one transaction. So N processes together
//! allow N - 1 tenths more than one does, and a restart forgets a tenth. What is closed is refused from memory, and asked
//! about once in a second: so a flood makes as many commits as there are guesses within the limits, and no more.

mod counted;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use shared::{note_place, sweep};

use cirro_models::{Error, Result, Service};
use cirro_server::{Database, Tx, controller::service_subject, http::place_of, token::Verifier};
use counted::{Counted, Step};
use parking_lot::Mutex;
use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);
/// Failed logins of one account from one address that are allowed within [`WINDOW`].
const OF_PAIR: i64 = 10;
/// Of one account from all addresses that it is not known at.
const OF_ACCOUNT: i64 = 100;
/// From one address, whatever the account: many people may share one.
const OF_ADDRESS: i64 = 100;

/// Failed logins of late, and where accounts were logged in to.
pub(crate) struct Attempts {
    counted: Mutex<Counted>,
    database: Database,
    verifier: Arc<Verifier>,
    order: Arc<AtomicU64>,
}

/// Something that failures are counted for.
#[derive(Clone)]
struct Limit {
    name: String,
    most: i64,
    words: String,
    /// Whether an attempt counts before it has failed.
    at_once: bool,
    of_account: bool,
}

/// An attempt that is under way.
pub(crate) struct Attempt<'a> {
    account: &'a str,
    address: IpAddr,
    /// A secret that somebody chose, and may be guessed.
    chosen: bool,
    /// Whether the account was logged in to from there before, as this was counted.
    known: bool,
}

impl<'a> Attempt<'a> {
    /// By somebody who calls themselves this, from there, with a password.
    pub(crate) fn new(account: &'a str, address: IpAddr) -> Self {
        Self { account, address: place_of(address), chosen: true, known: false }
    }
    /// With a secret that was drawn: nobody guesses it, however many try at the same moment.
    pub(crate) fn with_drawn_secret(self) -> Self {
        Self { chosen: false, ..self }
    }
    /// The account at this place.
    fn pair(&self) -> String {
        name_of(&[self.account, &self.address.to_string()])
    }
    /// What is counted, and up to where, with the words for it.
    fn limits(&self) -> Vec<Limit> {
        let (account, address) = (self.account, self.address.to_string());
        let limit =
            |name: String, most, words: String| Limit { name, most, words, at_once: self.chosen, of_account: false };
        // only a wrong guess counts for its address, where hundreds may log in at the same moment
        let of_address = limit(name_of(&["", &address]), OF_ADDRESS, "from your address".to_owned());
        let mut limits = vec![
            limit(self.pair(), OF_PAIR, format!("as {account} from your address")),
            Limit { at_once: false, ..of_address },
        ];
        if !self.known {
            let of_account = limit(name_of(&[account]), OF_ACCOUNT, format!("as {account}"));
            limits.push(Limit { of_account: true, ..of_account });
        }
        limits
    }
}

/// What a count is kept under: it tells no names, and is as long for all.
fn name_of(parts: &[&str]) -> String {
    // no part holds a zero, so that no two are the same text
    let hash = openssl::sha::sha256(parts.join("\0").as_bytes());
    openssl::base64::encode_block(&hash)
}

impl Attempts {
    /// Of the processes that share this database.
    pub(crate) fn new(database: Database, verifier: Arc<Verifier>) -> Self {
        Self { counted: Mutex::default(), database, verifier, order: Arc::default() }
    }
    /// Counts an attempt with a password as failed until [`Self::succeeded`]: many that come at once can't all pass before
    /// the first of them has failed.
    pub(crate) async fn begin(&self, attempt: &mut Attempt<'_>) -> Result<()> {
        attempt.known = self.counted.lock().is_known(&attempt.pair(), self.verifier.clock().steady());
        match self.enter(attempt).await? {
            Step::Begun => Ok(()),
            // this process may not have seen it
            Step::Full { of_account: true, error } => {
                let pair = attempt.pair();
                attempt.known = self.database.read(move |c| shared::is_place(c, &pair)).await?;
                if !attempt.known {
                    return Err(error);
                }
                match self.enter(attempt).await? {
                    Step::Full { error, .. } => Err(error),
                    Step::Begun => Ok(()),
                }
            }
            Step::Full { error, .. } => Err(error),
        }
    }
    async fn enter(&self, attempt: &Attempt<'_>) -> Result<Step> {
        let limits = attempt.limits();
        let step = self.counted.lock().begin(&limits, attempt.known, self.verifier.clock().steady());
        match step {
            Some(step) => Ok(step),
            None => self.tell(limits, true).await,
        }
    }
    /// The attempt was a wrong guess.
    pub(crate) fn failed(&self, attempt: &Attempt<'_>) {
        let now = self.verifier.clock().steady();
        let mut counted = self.counted.lock();
        attempt.limits().iter().filter(|limit| !limit.at_once).for_each(|limit| counted.add(&limit.name, 1, now));
    }
    /// The attempt was right.
    pub(crate) async fn succeeded(&self, attempt: &Attempt<'_>) {
        self.counted.lock().know(attempt.pair(), self.verifier.clock().steady());
        self.let_go(attempt).await;
    }
    /// Whether the attempt was right can't be said: it does not count.
    pub(crate) async fn let_go(&self, attempt: &Attempt<'_>) {
        let taken_back = {
            let (now, mut counted) = (self.verifier.clock().steady(), self.counted.lock());
            let limits: Vec<Limit> = attempt.limits().into_iter().filter(|limit| limit.at_once).collect();
            limits.iter().for_each(|limit| counted.add(&limit.name, -1, now));
            limits.into_iter().filter(|limit| counted.is_behind(limit)).collect::<Vec<_>>()
        };
        if !taken_back.is_empty()
            && let Err(error) = self.tell(taken_back, false).await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "that a login was none of guessing is told later"
            );
        }
    }
    /// What is to be noted with a login that succeeds: the place, if it was not known.
    pub(crate) fn new_place(&self, attempt: &Attempt<'_>) -> Option<String> {
        let pair = attempt.pair();
        let known = self.counted.lock().is_known(&pair, self.verifier.clock().steady());
        (!known).then_some(pair)
    }
    /// Tells the others what was counted here, and hears what they have; `enters` takes a turn if there is one.
    async fn tell(&self, limits: Vec<Limit>, enters: bool) -> Result<Step> {
        let taken = self.counted.lock().take(&limits, enters, self.verifier.clock().steady());
        let mut telling = Telling { attempts: self, limits: limits.clone(), taken: taken.clone(), enters };
        let (verifier, order) = (self.verifier.clone(), self.order.clone());
        let write = move |tx: &mut Tx<'_>| shared::tell(tx, verifier.clock(), &limits, &taken, enters, &order);
        let heard = self.database.write(&service_subject(Service::Identity), None, write).await?;
        let now = self.verifier.clock().steady();
        let limits = std::mem::take(&mut telling.limits);
        Ok(self.counted.lock().hear(&limits, &telling.taken, enters, &heard, now))
    }
}

/// What is being told; given back if that fails, or if nobody waits for it any more.
struct Telling<'a> {
    attempts: &'a Attempts,
    limits: Vec<Limit>,
    taken: Vec<i64>,
    enters: bool,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        // none are left when it was told
        if !self.limits.is_empty() {
            self.attempts.counted.lock().give_back(&self.limits, &self.taken, self.enters);
        }
    }
}

fn too_many(words: &str, left: Duration) -> Error {
    let retry_after_s = u32::try_from(left.as_secs()).unwrap_or(60) + 1;
    Error::TooManyRequests { detail: format!("too many {words}: wait a minute"), retry_after_s }
}
