//! What is said on the WebSocket `GET /<service>/v1/events`.

use crate::{
    Timestamp,
    feed::{Change, Position},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One message, as JSON. Readers pass over kinds that they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first message: what comes is what happens after this position.
    Begun {
        /// Where reading begins.
        position: Position,
        /// When the token, and with it the socket, ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    },
    /// A row was changed that the caller may read.
    Changed(Change),
    /// Everything up to here was told: go on from this position after a broken connection. Sent when all that was there has
    /// been told, and with each heartbeat.
    Reached {
        /// Where reading has come to.
        position: Position,
    },
}

/// Why a socket is ended by the service: the code of its close frame (RFC 6455, private codes from 4000) and a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The token's time is over.
    Expired,
    /// The token was revoked, or its key was.
    Revoked,
    /// The reader did not take what it was sent.
    Slow,
    /// What comes next is no longer kept.
    Gone,
    /// The reader sent something.
    Sent,
    /// The service could not read on.
    Again,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Expired, Self::Revoked, Self::Slow, Self::Gone, Self::Sent, Self::Again];
    /// The close frame's code.
    pub const fn code(self) -> u16 {
        match self {
            Self::Expired => 4001,
            Self::Revoked => 4002,
            Self::Slow => 4003,
            Self::Gone => 4010,
            Self::Sent => 1003,
            Self::Again => 1013,
        }
    }
    /// The close frame's reason, at most 123 bytes.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Expired => "the token has expired: get a new one and go on from the last position",
            Self::Revoked => "the token was revoked: log in again",
            Self::Slow => "you read too slowly: go on from the last position, with fewer models",
            Self::Gone => "changes are kept for a day, or the database was put back: list again, and follow from there",
            Self::Sent => "this socket only tells: send nothing but pongs",
            Self::Again => "the service can't read on just now: go on from the last position in a moment",
        }
    }
    /// What a close frame's code says.
    pub fn of(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_fit_a_close_frame_and_are_told_apart() {
        for ending in Ending::ALL {
            assert!(ending.reason().len() <= 123, "{ending:?}");
            assert_eq!(Ending::of(ending.code()), Some(ending));
        }
    }

    #[test]
    fn a_change_is_told_flat() {
        let position = Position { epoch: 1, transaction: 2, sequence: 3 };
        let reached = serde_json::to_value(Event::Reached { position }).unwrap_or_default();
        assert_eq!(reached, serde_json::json!({ "event": "reached", "position": "1.2.3" }));
    }
}
