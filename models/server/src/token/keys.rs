//! The public keys that a verifier trusts, and how it hears of new ones.

use super::{B64, Jwks, KeyKind};
use base64::Engine;
use cirro_models::{Error, Result};
use openssl::pkey::{PKey, Public};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// How long after a look that an unknown key was the reason of, the next such look is: whoever makes keys up must not
/// make this service ask all the time.
const GAP: Duration = Duration::from_secs(1);
/// How long a request waits for such a look.
const PATIENCE: Duration = Duration::from_secs(2);

/// The present keys, by what tokens call them.
#[derive(Default)]
pub(super) struct Keys {
    by_id: RwLock<HashMap<String, (String, PKey<Public>)>>,
    look: Mutex<Look>,
    wanted: Notify,
    looked: watch::Sender<()>,
}

/// The look at identity's keys that an unknown key was the reason of.
#[derive(Default)]
struct Look {
    under_way: bool,
    ended: Option<Instant>,
}

impl Keys {
    /// Takes over the present keys; says whether that changed anything.
    pub(super) fn replace(&self, jwks: &Jwks) -> Result<bool> {
        let ours = jwks.keys.iter().filter(|jwk| jwk.kty == "OKP" && jwk.crv == "Ed25519");
        let mut keys = HashMap::new();
        for jwk in ours {
            let raw = B64.decode(&jwk.x).map_err(Error::internal)?;
            let key = PKey::public_key_from_raw_bytes(&raw, KeyKind::ED25519).map_err(Error::internal)?;
            keys.insert(jwk.kid.clone(), (jwk.x.clone(), key));
        }
        let mut present = self.by_id.write();
        let same = |kid: &String| present.get(kid).map(|(x, _)| x) == keys.get(kid).map(|(x, _)| x);
        if present.len() == keys.len() && keys.keys().all(same) {
            return Ok(false);
        }
        *present = keys;
        Ok(true)
    }
    /// Does something with a key while no other takes its place; nothing if it is unknown.
    pub(super) fn with<T>(&self, kid: &str, work: impl FnOnce(&PKey<Public>) -> T) -> Option<T> {
        self.by_id.read().get(kid).map(|(_, key)| work(key))
    }
    pub(super) fn any(&self) -> bool {
        !self.by_id.read().is_empty()
    }
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.by_id.read().contains_key(kid)
    }
    /// Waits until the present keys were looked at once more; at once, and false, if they just were.
    pub(super) async fn look_again(&self, now: Instant) -> bool {
        let mut looked = {
            let mut look = self.look.lock();
            if !look.under_way {
                if look.ended.is_some_and(|ended| now.saturating_duration_since(ended) < GAP) {
                    return false;
                }
                look.under_way = true;
                self.wanted.notify_one();
            }
            self.looked.subscribe()
        };
        tokio::time::timeout(PATIENCE, looked.changed()).await.is_ok()
    }
    /// Resolves when a look is wanted.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }
    /// A look that was wanted has ended, well or not.
    pub(super) fn looked(&self, now: Instant) {
        let mut look = self.look.lock();
        (look.under_way, look.ended) = (false, Some(now));
        self.looked.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[tokio::test]
    async fn made_up_keys_are_reason_for_one_look_a_second() {
        let (keys, looks) = (Arc::new(Keys::default()), Arc::new(AtomicUsize::new(0)));
        let began = Instant::now();
        let (looking, counted) = (keys.clone(), looks.clone());
        let looker = tokio::spawn(async move {
            loop {
                looking.wanted().await;
                counted.fetch_add(1, Ordering::Relaxed);
                looking.looked(began);
            }
        });
        // those that come while one is under way share it
        let both = tokio::join!(keys.look_again(began), keys.look_again(began));
        assert_eq!(both, (true, true));
        for _ in 0..10 {
            assert!(!keys.look_again(began + GAP / 2).await);
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        assert!(keys.look_again(began + GAP).await);
        assert_eq!(looks.load(Ordering::Relaxed), 2);
        looker.abort();
    }
}
