//! A command that may be repeated: the claim its Idempotency-Key makes, and the answer that is stored in the effect's
//! transaction and given again. Stores write the record; `http::idempotency` makes the claim and sends the answer.

use std::sync::Arc;

use bytes::Bytes;

/// An answer as it is stored and sent: what a repeat with the same key gets, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    /// JSON; a problem document where `status` is 400 or more.
    pub body: Bytes,
}

/// What an Idempotency-Key claims. Held (cloned) by whoever carries out the effect until it is settled: while a clone
/// lives, a second request with the key is told that the first is in flight.
#[derive(Clone, Debug)]
pub struct Claim {
    /// SHA-256 of caller, method, concrete path and key.
    pub scope: [u8; 32],
    /// SHA-256 of query and body bytes.
    pub request_hash: [u8; 32],
    /// Gives the key free in this process when the last clone is dropped.
    pub in_flight: Arc<dyn std::any::Any + Send + Sync>,
}

/// A command, its claim if it has one, and how its outcome is answered. The store calls `render` inside the effect's
/// transaction, so the stored answer and the effect are one.
pub struct Keyed<'a, C, T, R> {
    pub command: C,
    pub claim: Option<&'a Claim>,
    pub render: &'a (dyn Fn(&Result<T, R>) -> Answer + Send + Sync),
}

/// How a keyed command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Carried out or refused just now.
    Fresh(Answer),
    /// The key was used before, with the same bytes.
    Replayed(Answer),
    /// The key was used before, with other bytes: 422.
    Mismatch,
}

/// Why a store could not carry out a command at all. Never stored, never replayed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was done; try again later (503).
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The commit's answer was lost and could not be settled: a repeat with the key tells the truth (503 `outcome-unknown`).
    #[error("outcome unknown: {0}")]
    OutcomeUnknown(String),
    /// A step that has to succeed inside the transaction (an inline data platform) did not: nothing was done (503).
    #[error("follow-up failed: {0}")]
    FollowUp(String),
    /// A defect (500).
    #[error("store failed: {0}")]
    Failed(String),
}
