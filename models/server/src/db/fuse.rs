//! Where a process stops, for tests: at a given commit, just before or just after it. From then on nothing that it does reaches
//! the database, and nobody hears of what has. In a build without the test kit this is nothing at all.

use diesel::QueryResult;

#[cfg(feature = "testkit")]
pub use lit::Side;

/// The fuse of one process.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    #[cfg(feature = "testkit")]
    lit: lit::Lit,
}

impl Fuse {
    /// Commits, unless the process has stopped before that. Only a commit that changes something is one to stop at.
    #[cfg_attr(not(feature = "testkit"), allow(clippy::unused_self, reason = "there is nothing to ask"))]
    pub(crate) fn commit<T>(&self, changes: bool, commit: impl FnOnce() -> QueryResult<T>) -> QueryResult<T> {
        #[cfg(feature = "testkit")]
        return self.lit.commit(changes, commit);
        #[cfg(not(feature = "testkit"))]
        {
            let _ = changes;
            commit()
        }
    }
    /// Whether the process has stopped.
    #[cfg_attr(not(feature = "testkit"), allow(clippy::unused_self, reason = "there is nothing to ask"))]
    pub(crate) fn is_blown(&self) -> bool {
        #[cfg(feature = "testkit")]
        return self.lit.is_blown();
        #[cfg(not(feature = "testkit"))]
        false
    }
}

#[cfg(feature = "testkit")]
mod lit {
    use super::Fuse;
    use crate::db::Database;
    use diesel::{QueryResult, result::Error};
    use parking_lot::Mutex;

    /// On which side of a commit.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Side {
        /// It is not durable.
        Before,
        /// It is durable, and nobody hears of it.
        After,
    }

    #[derive(Debug, Default)]
    pub(super) struct Lit(Mutex<State>);

    #[derive(Debug, Default)]
    struct State {
        commits: usize,
        at: Option<(usize, Side)>,
        blown: bool,
    }

    impl Lit {
        pub(super) fn is_blown(&self) -> bool {
            self.0.lock().blown
        }
        pub(super) fn commit<T>(&self, changes: bool, commit: impl FnOnce() -> QueryResult<T>) -> QueryResult<T> {
            let mut state = self.0.lock();
            if state.blown {
                return Err(Error::RollbackTransaction);
            }
            state.commits += usize::from(changes);
            let Some((at, side)) = state.at else {
                drop(state);
                return commit();
            };
            // held over the commit: no other one is durable after the last
            if !changes || state.commits != at {
                return commit();
            }
            state.blown = true;
            if side == Side::After {
                commit()?;
            }
            Err(Error::RollbackTransaction)
        }
    }

    impl Database {
        /// Stops at this commit of those that change something, counted from 1 and from now on.
        pub fn stop_at(&self, commit: usize, side: Side) {
            *self.fuse().lit.0.lock() = State { commits: 0, at: Some((commit, side)), blown: false };
        }
        /// How many commits have changed something since it was opened, or told where to stop.
        pub fn commits(&self) -> usize {
            self.fuse().lit.0.lock().commits
        }
        /// Whether it has stopped.
        pub fn has_stopped(&self) -> bool {
            self.fuse().is_blown()
        }
        fn fuse(&self) -> &Fuse {
            &self.0.fuse
        }
    }
}
