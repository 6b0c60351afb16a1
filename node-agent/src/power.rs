//! What a guest's power needs next. The mark says what was ordered before; together with what is seen it tells our own
//! doing from an accident and from the guest's own wish, also after a restart of the agent.

use crate::{
    desired::Instances,
    guest::{Guest, GuestState, Mark, OffCause, Order},
    memory::Memory,
    plan::Action,
};
use cirro_models::{
    Id,
    compute::{
        Instance, InstanceAction,
        assignment::{AssignedAction, InstanceSpec},
        instance::Power,
        instance_action::ActionKind,
    },
};
use std::time::Duration;

/// How often the power button of a guest that does not react is pressed again: a guest that is still booting misses the
/// first time.
pub const ASK_AGAIN: Duration = Duration::from_secs(5);
/// After this time a guest that is to be restarted loses its power.
pub const RESTART_PATIENCE: Duration = Duration::from_mins(1);
/// After this time a guest that was asked to go off counts as deaf to it.
pub const STOP_PATIENCE: Duration = Duration::from_mins(1);

/// The next action for a guest's power, if it needs one.
pub fn next(spec: &InstanceSpec, guest: &Guest, instances: &Instances, memory: &Memory) -> Option<Action> {
    if spec.generation < guest.mark.generation {
        return None;
    }
    let asked = pending(spec.id, guest, instances);
    match (&spec.power, guest.state) {
        (Power::Running, GuestState::Running | GuestState::Paused) => keep_on(spec, guest, asked, instances, memory),
        (Power::Running, GuestState::Off(cause)) => bring_up(spec, guest, cause, asked, memory),
        (Power::Stopped, GuestState::Running | GuestState::Paused) => bring_down(spec, guest, memory),
        (Power::Stopped, GuestState::Off(_)) => keep_off(spec, guest),
        (Power::Unknown(_), _) => None,
    }
}

/// Whether a guest runs as it is wished to, and its mark says so: of its own it needs nothing more, whatever the time.
pub(crate) fn is_settled(spec: &InstanceSpec, guest: &Guest) -> bool {
    let (mark, runs) = (&guest.mark, guest.state == GuestState::Running && spec.power == Power::Running);
    runs && mark.order == Order::Running
        && mark.generation == spec.generation
        && mark.root_generation >= spec.root_generation
}

/// The oldest action on this instance that its guest has not done.
fn pending<'a>(id: Id<Instance>, guest: &Guest, instances: &'a Instances) -> Option<&'a AssignedAction> {
    instances.actions.iter().find(|action| {
        let known = matches!(action.kind, ActionKind::Reboot | ActionKind::Reset);
        action.instance_id == id && known && !guest.mark.done.contains(&action.id)
    })
}

fn is_reset(id: Id<InstanceAction>, instances: &Instances) -> bool {
    instances.actions.iter().any(|action| action.id == id && action.kind == ActionKind::Reset)
}

fn keep_on(
    spec: &InstanceSpec,
    guest: &Guest,
    asked: Option<&AssignedAction>,
    instances: &Instances,
    memory: &Memory,
) -> Option<Action> {
    let mark = || guest.mark.clone().at(spec.generation);
    let going_for = memory.asked(spec.id).map(|asked| memory.now.saturating_sub(asked.first));
    match guest.mark.order {
        // Killed between writing down a reset and doing it, the agent goes on with the reset.
        Order::Restart(action) if is_reset(action, instances) => Some(Action::Kill { mark: mark() }),
        Order::Restart(_) if going_for.is_some_and(|time| time >= RESTART_PATIENCE) => {
            Some(Action::Kill { mark: mark() })
        }
        Order::Restart(_) => press_again(mark(), memory),
        // It was asked to go off, and is wanted again: it may still go. Then it is started; if it has not gone by now,
        // it never will.
        Order::Stop if going_for.is_none_or(|time| time < STOP_PATIENCE) => None,
        Order::Running => match asked {
            Some(action) => Some(begin_restart(mark().ordering(Order::Restart(action.id)), action)),
            None => (guest.mark.generation != spec.generation).then(|| Action::Note { mark: mark() }),
        },
        Order::Stop | Order::Start | Order::OffByItself => Some(Action::Note { mark: mark().ordering(Order::Running) }),
    }
}

fn begin_restart(mark: Mark, action: &AssignedAction) -> Action {
    match action.kind {
        ActionKind::Reset => Action::Kill { mark },
        _ => Action::Shutdown { mark },
    }
}

fn press_again(mark: Mark, memory: &Memory) -> Option<Action> {
    let waited = memory.asked(mark.id).is_none_or(|asked| memory.now.saturating_sub(asked.last) >= ASK_AGAIN);
    waited.then_some(Action::Shutdown { mark })
}

fn bring_up(
    spec: &InstanceSpec,
    guest: &Guest,
    cause: OffCause,
    asked: Option<&AssignedAction>,
    memory: &Memory,
) -> Option<Action> {
    let mark = || guest.mark.clone().at(spec.generation);
    let renewed = spec.generation > guest.mark.generation || asked.is_some();
    let start = |done: Option<Id<InstanceAction>>, again: bool| {
        let mark = mark().ordering(Order::Start).having_done(done);
        Some(Action::Start { mark, again }).filter(|_| !again || !memory.must_rest(spec.id))
    };
    // A start does what a restart is for.
    let asked = asked.map(|action| action.id);
    match guest.mark.order {
        Order::Restart(action) => start(Some(action), false),
        Order::Start | Order::Stop => start(asked, false),
        Order::OffByItself | Order::Running if renewed => start(asked, false),
        Order::Running if cause == OffCause::Host => start(None, true),
        Order::Running => Some(Action::Note { mark: mark().ordering(Order::OffByItself) }),
        Order::OffByItself => None,
    }
}

fn bring_down(spec: &InstanceSpec, guest: &Guest, memory: &Memory) -> Option<Action> {
    let mark = guest.mark.clone().at(spec.generation).ordering(Order::Stop);
    if spec.force_stop {
        return Some(Action::Kill { mark });
    }
    if guest.mark.order == Order::Stop && guest.mark.generation == spec.generation {
        return press_again(mark, memory);
    }
    Some(Action::Shutdown { mark })
}

fn keep_off(spec: &InstanceSpec, guest: &Guest) -> Option<Action> {
    if (guest.mark.generation, guest.mark.order) == (spec.generation, Order::Stop) {
        return None;
    }
    let interrupted = match guest.mark.order {
        Order::Restart(action) => Some(action),
        _ => None,
    };
    let mark = guest.mark.clone().at(spec.generation).ordering(Order::Stop).having_done(interrupted);
    Some(Action::Note { mark })
}
