//! The tokens that are kept, by names that tell nothing of their keys.

use cirro_models::{Error, Result, identity::Secret};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Instant};
use tokio::sync::OnceCell;

/// The most keys whose tokens are kept, or that are being exchanged.
const MOST: usize = 10_000;

/// What a key is known by: its HMAC.
pub(super) type Name = [u8; 32];

/// What came of an exchange.
pub(super) struct Outcome {
    pub(super) answer: Result<Secret>,
    /// From when on it is asked for again.
    pub(super) until: Instant,
}

/// Whoever comes first fills it, the others wait for that. When the first one goes away, the next takes over.
pub(super) type Slot = Arc<OnceCell<Outcome>>;

/// What came of the exchange of each key.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<Name, Slot>>);

impl Kept {
    /// The slot of a key, if what it holds has not ended, or else a new one.
    pub(super) fn slot(&self, name: Name, now: Instant) -> Result<Slot> {
        let mut slots = self.0.lock();
        if let Some(slot) = slots.get(&name).filter(|slot| !is_over(slot, now)) {
            return Ok(slot.clone());
        }
        if slots.len() >= MOST && !slots.contains_key(&name) {
            make_room(&mut slots, now)?;
        }
        let slot = Slot::default();
        slots.insert(name, slot.clone());
        Ok(slot)
    }
    /// Puts this in the place of what is there.
    pub(super) fn put(&self, name: Name, outcome: Outcome) {
        // one that was dropped meanwhile needs no place
        if let Some(slot) = self.0.lock().get_mut(&name) {
            *slot = Arc::new(OnceCell::new_with(Some(outcome)));
        }
    }
    /// Forgets this token, unless another has taken its place.
    pub(super) fn drop_token(&self, name: &Name, token: &Secret) {
        let mut slots = self.0.lock();
        let held = slots.get(name).and_then(|slot| slot.get()).and_then(|outcome| outcome.answer.as_ref().ok());
        if held == Some(token) {
            slots.remove(name);
        }
    }
}

fn is_over(slot: &Slot, now: Instant) -> bool {
    slot.get().is_some_and(|outcome| outcome.until <= now)
}

/// Drops what has ended, or else the one that ends first.
fn make_room(slots: &mut HashMap<Name, Slot>, now: Instant) -> Result<()> {
    // nobody waits for a slot that only this map holds
    slots.retain(|_, slot| !is_over(slot, now) && (slot.initialized() || Arc::strong_count(slot) > 1));
    if slots.len() < MOST {
        return Ok(());
    }
    let first = slots.iter().filter_map(|(name, slot)| Some((slot.get()?.until, *name))).min();
    let (_, first) = first.ok_or_else(|| {
        Error::unavailable("too many API keys are shown for the first time just now: try again in a moment")
    })?;
    slots.remove(&first);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(n: usize) -> Name {
        let mut name = Name::default();
        name[..8].copy_from_slice(&n.to_be_bytes());
        name
    }

    fn fill(kept: &Kept, n: usize, now: Instant, life: u64) {
        let slot = kept.slot(name(n), now).unwrap();
        let until = now + Duration::from_secs(life);
        assert!(slot.set(Outcome { answer: Ok(Secret::new(n.to_string())), until }).is_ok(), "{n} is new");
    }

    #[test]
    fn what_has_ended_is_asked_for_again_and_what_was_replaced_is_not_dropped() {
        let (kept, now) = (Kept::default(), Instant::now());
        fill(&kept, 1, now, 10);
        assert!(kept.slot(name(1), now + Duration::from_secs(9)).unwrap().initialized());
        kept.drop_token(&name(1), &Secret::new("another"));
        assert!(kept.slot(name(1), now).unwrap().initialized());
        kept.drop_token(&name(1), &Secret::new("1"));
        assert!(!kept.slot(name(1), now).unwrap().initialized());
        fill(&kept, 2, now, 10);
        assert!(!kept.slot(name(2), now + Duration::from_secs(10)).unwrap().initialized());
    }

    #[test]
    fn there_is_room_for_so_many_and_those_under_way_are_not_put_out() {
        let (kept, now) = (Kept::default(), Instant::now());
        (0..MOST).for_each(|n| fill(&kept, n, now, 100 + u64::try_from(n).unwrap()));
        fill(&kept, MOST, now, 1000);
        assert_eq!(kept.0.lock().len(), MOST);
        assert!(!kept.0.lock().contains_key(&name(0)), "the one that would end first");
        let later = now + Duration::from_secs(1_000_000);
        let under_way: Vec<Slot> = (0..MOST).map(|n| kept.slot(name(n), later).unwrap()).collect();
        assert!(matches!(kept.slot(name(MOST + 1), later), Err(Error::Unavailable { .. })));
        drop(under_way);
        kept.slot(name(MOST + 1), later).unwrap();
    }
}
