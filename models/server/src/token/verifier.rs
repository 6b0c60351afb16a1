//! Verifies tokens: the present keys, what was revoked, and what was verified before.

use super::{B64, Claims, Clock, EXPIRED, Header, Jwks, keys::Keys, revoked::Revoked};
use base64::Engine;
use cirro_models::{
    Error, Id, Result, Subject, Timestamp,
    alert::{Alert, Bell},
    compute::Node,
    subject::Principal,
};
use openssl::sign::Verifier as Signature;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The most verified tokens that are remembered: an Ed25519 verification costs 100 µs, a look-up less than one.
const REMEMBERED: usize = 10_000;
/// Longer tokens are not looked at.
const LONGEST: usize = 4096;
/// How old what is known of revocations may be before changes are refused.
const STALE: Duration = Duration::from_secs(60);

/// Verifies tokens: the present keys, what was revoked, and what was verified before.
#[derive(Default)]
pub struct Verifier {
    clock: Clock,
    pub(super) keys: Keys,
    revoked: RwLock<Revoked>,
    remembered: RwLock<HashMap<String, Arc<Known>>>,
    freshness: Mutex<Freshness>,
    /// Counts what may have ended tokens, for those who hold one open.
    changes: watch::Sender<u64>,
}

static BELL: Bell = Bell::new(Alert::RevocationsStale);

/// How old is what is known of revocations.
#[derive(Default)]
struct Freshness {
    /// Since when somebody keeps them up to date: only then can they be too old.
    followed: Option<Instant>,
    /// When they were last known to be complete.
    as_of: Option<Instant>,
    /// Whether this episode was told.
    alerted: bool,
}

/// What a token that was verified says, as it is asked for with every request.
struct Known {
    subject: Subject,
    /// Every name whose revocation ends it: who it names, whose it is, itself.
    names: Vec<String>,
    made_us: i64,
    ends_us: i64,
    /// One more than the revision of [`Revoked`] at which none of the names had ended; 0 before the first look.
    good_at: AtomicU64,
}

impl Verifier {
    /// Takes over the present keys; what was signed with others is refused from now on, remembered or not.
    pub fn trust(&self, jwks: &Jwks) -> Result<()> {
        if self.keys.replace(jwks)? {
            self.remembered.write().clear();
            self.changes.send_modify(|count| *count += 1);
        }
        Ok(())
    }
    /// Resolves each time that tokens may have ended before their time: then those that are held are verified again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
    /// For a token that was refused: whether it is worth another try, because it names a key that is unknown here and a
    /// new look at the present keys has been taken, which may be a moment away.
    pub async fn learn_key_of(&self, token: &str) -> bool {
        let followed = self.freshness.lock().followed.is_some();
        let unknown = header_of(token).is_some_and(|header| header.alg == "EdDSA" && !self.keys.knows(&header.kid));
        followed && unknown && self.keys.look_again(self.clock.steady()).await
    }
    /// Ends what `subject` holds (`user:…`, `key:…`, `node:…`, or `token:` and a token's id) and was made up to this
    /// moment, remembered tokens included.
    pub fn revoke(&self, subject: &str, until: Timestamp) {
        self.revoked.write().learn(subject, until, self.clock.now());
        self.changes.send_modify(|count| *count += 1);
    }
    /// Whether it knows any key: before that, it refuses every token.
    pub fn knows_keys(&self) -> bool {
        self.keys.any()
    }
    /// How many revocations are held.
    pub fn revocations(&self) -> usize {
        self.revoked.read().len()
    }
    /// How long ago it was last known that all revocations are; none where nobody keeps them up to date, or before that.
    pub fn revocations_age(&self) -> Option<Duration> {
        let now = self.clock.steady();
        self.freshness.lock().as_of.map(|as_of| now.saturating_duration_since(as_of))
    }
    /// What time it is.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
    /// From now on the revocations are kept up to date, and too old if they are not.
    pub(super) fn is_followed(&self) {
        let now = self.clock.steady();
        self.freshness.lock().followed.get_or_insert(now);
    }
    /// The revocations were complete at this moment.
    pub fn complete_as_of(&self, moment: Instant) {
        let mut freshness = self.freshness.lock();
        freshness.as_of = freshness.as_of.max(Some(moment));
        if std::mem::take(&mut freshness.alerted) {
            tracing::info!("revocations of tokens are up to date again; changes are taken again");
        }
    }
    /// Refuses when so little is known of revocations of late that a change may be somebody's whose token has ended.
    /// It also tells, once for each time that this happens.
    pub fn require_fresh(&self) -> Result<()> {
        let mut freshness = self.freshness.lock();
        let Some(followed) = freshness.followed else { return Ok(()) };
        let steady = self.clock.steady();
        let old = |moment: Instant| steady.saturating_duration_since(moment) > STALE;
        if freshness.as_of.is_some_and(|as_of| !old(as_of)) {
            return Ok(());
        }
        // a service that has just started knows nothing yet, and is not to be worried about for that
        if old(freshness.as_of.unwrap_or(followed)) && !std::mem::replace(&mut freshness.alerted, true) {
            BELL.ring(|| {
                let seconds = STALE.as_secs();
                format!("nothing was heard of revoked tokens for {seconds} s: changes are refused until identity can be reached")
            });
        }
        Err(Error::unavailable(
            "nothing can be changed just now: this service has not reached identity for a minute, and can't know whose \
             tokens were revoked; reads go on; try again, and have identity and the way to it looked at",
        ))
    }
    /// Drops what has expired.
    pub(super) fn sweep(&self) {
        self.revoked.write().sweep(self.clock.now().micros());
    }
    /// The node that a certificate names which was made at this moment. Certificates live long: none is believed before it
    /// is known what was revoked.
    pub fn node(&self, id: Id<Node>, made_at: Timestamp) -> Result<Subject> {
        if self.freshness.lock().as_of.is_none() {
            return Err(Error::unavailable(
                "this service has just started and does not know yet which nodes were revoked: try again, and have \
                 identity and the way to it looked at if that lasts",
            ));
        }
        let principal = Principal::Node(id);
        if self.revoked.read().ends(&principal.to_string(), made_at.micros()) {
            tracing::warn!(node = %id, "node.refused: the node's certificate was revoked");
            return Err(Error::unauthenticated(
                "the certificate of this node was revoked: let it join again, with a token from `cirro node join-token`",
            ));
        }
        Ok(Subject::verified(principal, None, false, false, None))
    }
    /// Who a bearer token names.
    pub fn verify(&self, token: &str) -> Result<Subject> {
        let known = self.remembered.read().get(token).cloned();
        let known = match known {
            Some(known) => known,
            None => self.verify_signature(token)?,
        };
        let refuse = |detail: &str| Err(Error::unauthenticated(detail));
        let now = self.clock.now().micros();
        if known.ends_us <= now {
            self.remembered.write().remove(token);
            return refuse(EXPIRED);
        }
        if known.made_us > now + 60_000_000 {
            return refuse(
                "the token was made in the future: check the clocks of this machine and the identity service's",
            );
        }
        let revoked = self.revoked.read();
        // this costs the same however much was revoked: the names are looked up once after each revocation
        let look = revoked.revision() + 1;
        if known.good_at.load(Ordering::Relaxed) != look {
            if known.names.iter().any(|name| revoked.ends(name, known.made_us)) {
                return refuse("the token was revoked: log in again");
            }
            known.good_at.store(look, Ordering::Relaxed);
        }
        Ok(known.subject.clone())
    }
    fn verify_signature(&self, token: &str) -> Result<Arc<Known>> {
        let refuse = || {
            Error::unauthenticated("the token can't be trusted: get one with `cirro login` or POST /identity/v1/token")
        };
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        if token.len() > LONGEST {
            return Err(refuse());
        }
        let decode = |part: &str| B64.decode(part).map_err(|_| refuse());
        let head: Header = serde_json::from_slice(&decode(header)?).map_err(|_| refuse())?;
        if head.alg != "EdDSA" {
            return Err(refuse());
        }
        let text = &token.as_bytes()[..header.len() + 1 + payload.len()];
        let signature = decode(signature)?;
        // the key can't go until the token is remembered: or it would be remembered after its key has gone
        self.keys
            .with(&head.kid, |key| {
                let mut verifier = Signature::new_without_digest(key).map_err(Error::internal)?;
                if !verifier.verify_oneshot(&signature, text).unwrap_or(false) {
                    return Err(refuse());
                }
                let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| refuse())?;
                let known = Arc::new(Known::of(claims)?);
                self.remember(token, &known);
                Ok(known)
            })
            .unwrap_or_else(|| Err(refuse()))
    }
    fn remember(&self, token: &str, known: &Arc<Known>) {
        let mut remembered = self.remembered.write();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(token.to_owned(), known.clone());
    }
}

/// The header of a token, as far as it can be read at all.
fn header_of(token: &str) -> Option<Header> {
    let part = token.split('.').next().filter(|_| token.len() <= LONGEST)?;
    serde_json::from_slice(&B64.decode(part).ok()?).ok()
}

impl Known {
    fn of(claims: Claims) -> Result<Self> {
        let principal: Principal = claims
            .sub
            .parse()
            .map_err(|()| Error::unauthenticated("the token names nobody that this release knows: log in again"))?;
        let project = claims.project.zip(claims.role);
        let ends_us = claims.exp.saturating_mul(1_000_000);
        let end = Timestamp::from_micros(ends_us);
        let subject = Subject::verified(principal, project, claims.operator, claims.scoped, Some(end));
        let mut names = vec![format!("token:{}", claims.jti), claims.sub, claims.root];
        names.dedup();
        Ok(Self { subject, names, made_us: claims.iat_us, ends_us, good_at: AtomicU64::new(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_is_believed_before_it_is_known_which_were_revoked() {
        let (verifier, node, made) = (Verifier::default(), Id::new(), Timestamp::now());
        assert!(matches!(verifier.node(node, made), Err(Error::Unavailable { .. })));
        verifier.complete_as_of(verifier.clock().steady());
        verifier.node(node, made).unwrap();
        verifier.revoke(&format!("node:{node}"), made);
        assert!(matches!(verifier.node(node, made), Err(Error::Unauthenticated { .. })));
        verifier.node(node, made.plus_seconds(1)).unwrap();
    }

    #[test]
    fn what_is_too_old_refuses_changes_and_is_told_once_for_each_time() {
        let before = Alert::RevocationsStale.raised();
        let count = || Alert::RevocationsStale.raised() - before;
        let verifier = Verifier::default();
        verifier.require_fresh().unwrap();
        verifier.is_followed();
        assert!(verifier.require_fresh().is_err(), "nothing is known yet");
        assert_eq!(count(), 0, "which is no alert when a service has just started");
        for episode in 1..=2 {
            verifier.complete_as_of(verifier.clock().steady());
            verifier.clock().advance(Duration::from_secs(59));
            verifier.require_fresh().unwrap();
            verifier.clock().advance(Duration::from_secs(2));
            for _ in 0..3 {
                let refused = verifier.require_fresh().unwrap_err().to_string();
                assert!(refused.contains("identity") && refused.contains("try again"), "{refused}");
            }
            assert_eq!(count(), episode);
        }
    }
}
