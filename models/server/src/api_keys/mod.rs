//! API keys that are shown where tokens are: `Authorization: Bearer cirro_key_…`.
//!
//! Only identity can tell whether a key is good. So a key is exchanged there for the token that `POST /identity/v1/token`
//! gives for it, the token is kept until shortly before its end, and the request goes on as if it had brought that: its
//! scope, what revokes it, and what is handed on to other services are those of any token. Neither the key nor anything
//! that it could be found by is kept, only an HMAC under a key of this process.
//!
//! Exchanges are bounded whatever is shown:
//! * first uses of a key that come together are one exchange, and a refusal is remembered for a moment;
//! * a place that has shown [`OF_PLACE`] wrong keys within a minute is refused here, as identity would;
//! * identity counts each try for the address that the key came from, not for the service that hands it on;
//! * [`AT_ONCE`] exchanges are under way at most, the others wait their turn, and no longer than [`PATIENCE`].

mod kept;
mod remote;
mod wrong;

pub(crate) use remote::AtIdentity;

use crate::{http::place_of, token::Clock};
use async_trait::async_trait;
use cirro_models::{
    Error, Result, Trace,
    identity::{KeySecret, Secret, token::Token},
};
use kept::{Kept, Name, Outcome};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};
use wrong::Wrong;

/// How long an exchange may take, waiting for its turn included.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most exchanges under way at once in a process.
const AT_ONCE: usize = 32;
/// Wrong keys from one place within a minute: as many as identity takes.
const OF_PLACE: u32 = 100;
/// How long a refusal is told again without a question, and that identity does not answer.
const HOLD: Duration = Duration::from_secs(1);
/// How long before its end a token is got anew; of one that lives shortly, half its life.
const EARLY: Duration = Duration::from_secs(30);

/// A key as it was shown, with what goes along to whoever judges it.
pub struct Shown {
    /// The key.
    pub key: KeySecret,
    /// Where it was shown.
    pub from: IpAddr,
    /// The request that it was shown with.
    pub request_id: String,
    /// Where that stands in a trace.
    pub trace: Trace,
}

/// Gives tokens for keys.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// The token of a key.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a key that is wrong, has expired or was deleted; [`Error::TooManyRequests`] for one
    /// too many from there; [`Error::Unavailable`] when nobody can say.
    async fn token(&self, shown: &Shown) -> Result<Token>;
}

/// The tokens of the keys that were shown to this process.
pub struct ApiKeys {
    exchange: Option<Arc<dyn Exchange>>,
    kept: Kept,
    wrong: Wrong,
    turns: Semaphore,
    seal: OnceLock<[u8; 32]>,
}

impl ApiKeys {
    /// Where keys are exchanged; without it, there are none.
    pub(crate) fn new(exchange: Option<Arc<dyn Exchange>>) -> Self {
        let (kept, wrong, turns) = (Kept::default(), Wrong::default(), Semaphore::new(AT_ONCE));
        Self { exchange, kept, wrong, turns, seal: OnceLock::new() }
    }
    /// The token of this key, kept or new.
    pub(crate) async fn token(&self, shown: &Shown, clock: &Clock) -> Result<Secret> {
        let slot = self.kept.slot(self.name(&shown.key)?, clock.steady())?;
        slot.get_or_init(|| self.exchanged(shown, clock)).await.answer.clone()
    }
    /// The token after this one, which has ended before its time: rights that have changed end tokens, not keys.
    pub(crate) async fn after(&self, ended: &Secret, shown: &Shown, clock: &Clock) -> Result<Secret> {
        self.kept.drop_token(&self.name(&shown.key)?, ended);
        self.token(shown, clock).await
    }
    /// The token was got just now and is not good here. That is told for a moment before it is tried again.
    pub(crate) fn refuse(&self, shown: &Shown, error: Error, clock: &Clock) -> Result<()> {
        self.kept.put(self.name(&shown.key)?, Outcome { answer: Err(error), until: clock.steady() + HOLD });
        Ok(())
    }
    fn name(&self, key: &KeySecret) -> Result<Name> {
        let seal = PKey::hmac(self.seal()?).map_err(Error::internal)?;
        let mut signer = Signer::new(MessageDigest::sha256(), &seal).map_err(Error::internal)?;
        let mut name = Name::default();
        signer.sign_oneshot(&mut name, key.text().expose().as_bytes()).map_err(Error::internal)?;
        Ok(name)
    }
    /// What names are made under, drawn at the first.
    fn seal(&self) -> Result<&[u8; 32]> {
        if let Some(seal) = self.seal.get() {
            return Ok(seal);
        }
        let mut fresh = [0; 32];
        openssl::rand::rand_bytes(&mut fresh).map_err(Error::internal)?;
        Ok(self.seal.get_or_init(|| fresh))
    }
    async fn exchanged(&self, shown: &Shown, clock: &Clock) -> Outcome {
        let answer = timeout(PATIENCE, self.ask(shown, clock)).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(Error::unavailable("identity did not say in time whether this API key is good: try again"))
        });
        let now = clock.steady();
        match answer {
            Ok(token) => {
                let left = token.expires_at.micros().saturating_sub(clock.now().micros());
                let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
                Outcome { answer: Ok(token.token), until: now + left.saturating_sub(EARLY.min(left / 2)) }
            }
            Err(error) => Outcome { answer: Err(error), until: now + HOLD },
        }
    }
    async fn ask(&self, shown: &Shown, clock: &Clock) -> Result<Token> {
        let exchange = self.exchange.as_ref().ok_or_else(refused)?;
        let place = place_of(shown.from);
        self.wrong.require_open(place, clock.steady())?;
        let _turn = self.turns.acquire().await.map_err(Error::internal)?;
        let answer = exchange.token(shown).await;
        if let Err(Error::Unauthenticated { .. }) = &answer {
            self.wrong.count(place, clock.steady());
            return Err(refused());
        }
        answer
    }
}

fn refused() -> Error {
    Error::unauthenticated(
        "this API key is not known, has expired or was deleted, or its user is disabled: make another with `cirro key create`",
    )
}
