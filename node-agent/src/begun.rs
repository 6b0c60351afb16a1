//! Actions that are under way.

use crate::{
    plan::{Action, Subject},
    stopwatch::Stopwatch,
};
use cirro_models::compute::report::UnderWay;
use std::time::Duration;

/// What takes less than this is not worth telling.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// An action that is under way.
#[derive(Debug)]
pub struct Begun {
    /// What it works on.
    pub subject: Subject,
    /// Storage is told of it, not compute.
    pub of_disks: bool,
    /// Under which request it was asked for.
    pub request: Option<String>,
    /// For how long it has been at work.
    pub watch: Stopwatch,
    /// What it is called while it is done, without what it works on.
    pub doing: &'static str,
}

impl Begun {
    /// One that begins now.
    pub fn now(action: &Action, request: Option<String>) -> Self {
        let (subject, of_disks) = (action.subject(), action.is_of_disks());
        Self { subject, of_disks, request, watch: Stopwatch::start(), doing: action.doing() }
    }
}

/// The one of these that has been at work for longest.
pub fn oldest<'b>(begun: impl Iterator<Item = &'b Begun>) -> Option<UnderWay> {
    let at_work = begun.filter_map(|begun| begun.watch.read().map(|time| (time, begun)));
    let (time, begun) = at_work.max_by_key(|(time, _)| *time).filter(|(time, _)| *time >= WORTH_TELLING)?;
    let what = match begun.subject {
        Subject::Instance(id) => format!("{} instance {id}", begun.doing),
        Subject::Volume(id) => format!("{} volume {id}", begun.doing),
        Subject::Console(id) => format!("{} question {id}", begun.doing),
    };
    Some(UnderWay { what, for_s: time.as_secs() })
}

impl Action {
    /// Whether storage is told of it.
    pub fn is_of_disks(&self) -> bool {
        matches!(self, Self::Attach { .. } | Self::Detach { .. } | Self::MakeVolume { .. } | Self::RemoveVolume { .. })
    }
    fn doing(&self) -> &'static str {
        match self {
            Self::Build { .. } => "building",
            Self::Resize { .. } => "resizing",
            Self::Rebuild { .. } => "rebuilding",
            Self::Note { .. } => "marking",
            Self::Start { .. } => "starting",
            Self::Shutdown { .. } => "shutting down",
            Self::Kill { .. } => "switching off",
            Self::Remove { .. } | Self::RemoveVolume { .. } => "removing",
            Self::Attach { .. } => "attaching a volume to",
            Self::Detach { .. } => "detaching a volume from",
            Self::MakeVolume { .. } => "making",
            Self::ReadConsole { .. } => "reading a console for",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_models::Id;
    use tokio::time::advance;
    use uuid::Uuid;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_told_once_it_is_worth_it() {
        let begin = |n| {
            let id = Id::from_uuid(Uuid::from_u128(n));
            Begun::now(&Action::Remove { id }, None)
        };
        let first = begin(1);
        assert_eq!(oldest([&first].into_iter()), None);
        advance(Duration::from_secs(90)).await;
        let second = begin(2);
        advance(Duration::from_secs(10)).await;
        let told = oldest([&second, &first].into_iter()).unwrap();
        assert_eq!((told.what, told.for_s), (format!("removing instance {}", Uuid::from_u128(1)), 100));
        assert_eq!(oldest([&second].into_iter()).unwrap().for_s, 10);
        assert_eq!(oldest([].into_iter()), None);
    }
}
