//! Carries out one action. The mark is always written first: whoever comes after a crash sees what was meant.

use crate::{
    failure::Result,
    guest::{Mark, Order},
    hypervisor::Hypervisor,
    plan::Action,
};
use cirro_models::compute::ConsoleLog;

/// Does it. Answers the text of a console that was to be read.
pub async fn perform(action: &Action, on: &dyn Hypervisor) -> Result<Option<String>> {
    match action {
        Action::Build { spec, mark } => {
            on.build(spec, mark).await?;
            if mark.order == Order::Start {
                switch_on(mark, on).await?;
            }
        }
        Action::Resize { spec, mark } => on.resize(spec, mark).await?,
        Action::Rebuild { spec, mark } => on.rebuild(spec, mark).await?,
        Action::Note { mark } => on.note(mark).await?,
        Action::Start { mark, .. } => {
            on.note(mark).await?;
            switch_on(mark, on).await?;
        }
        Action::Shutdown { mark } => {
            on.note(mark).await?;
            on.shutdown(mark.id).await?;
        }
        Action::Kill { mark } => {
            on.note(mark).await?;
            on.kill(mark.id).await?;
        }
        Action::Remove { id } => on.remove(*id).await?,
        Action::Attach { id, volume } => on.attach(*id, *volume).await?,
        Action::Detach { id, volume } => on.detach(*id, *volume).await?,
        Action::MakeVolume { spec } => on.make_volume(spec).await?,
        Action::RemoveVolume { id } => on.remove_volume(*id).await?,
        Action::ReadConsole { instance, .. } => {
            return on.console_tail(*instance, ConsoleLog::MAX_TEXT).await.map(Some);
        }
    }
    Ok(None)
}

/// Starts a guest and notes that it was seen running, so that its going off again can be told from never having come up.
async fn switch_on(mark: &Mark, on: &dyn Hypervisor) -> Result<()> {
    on.start(mark.id).await?;
    on.note(&mark.clone().ordering(Order::Running)).await
}
