//! CouponIssue, the message on coupon-issue-events: how it is written, and how leniently it is read.
//! Its quota, discount and name are for others to read; the database's count. The scheduler writes it, the issuing consumer reads it.

use bytes::Bytes;
use jiff::Timestamp;
use messaging::envelope::{Envelope, fresh_traceparent};
use messaging::record::{Outgoing, Record};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::model::Campaign;
use super::queue::Waiting;
use crate::clock;
use crate::ids::{CouponId, UserId};
use crate::wire::{self, LenientInteger, LenientTime, Style, local_iso};

/// CloudEvents type.
pub const KIND: &str = "coupon.issue-requested";
/// The JVM shop's class.
pub const TYPE_ID: &str = "kr.hhplus.be.server.shared.kafka.CouponIssueMessage";

/// Where the message goes and how it is dressed.
#[derive(Clone, Debug)]
pub struct Dress {
    pub topic: String,
    /// `__TypeId__`
    pub type_id: String,
    /// `ce_source`
    pub source: String,
    pub style: Style,
}

impl Default for Dress {
    fn default() -> Self {
        Self {
            topic: "coupon-issue-events".into(),
            type_id: TYPE_ID.into(),
            source: "/madang".into(),
            style: Style::default(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    user_id: i64,
    coupon_id: i64,
    coupon_name: &'a str,
    discount_amount: i64,
    max_issuance_count: i64,
    requested_at: String,
    epoch: i64,
    sequence: i64,
}

/// The record for one place of the campaign's queue.
#[must_use]
pub fn record(
    dress: &Dress,
    campaign: &Campaign,
    epoch: i64,
    waiting: Waiting,
    now: Timestamp,
) -> Outgoing {
    let written = Written {
        user_id: waiting.user.get(),
        coupon_id: campaign.id.get(),
        coupon_name: campaign.name.as_str(),
        discount_amount: campaign.discount_amount.get(),
        max_issuance_count: campaign.quota.get(),
        requested_at: local_iso(clock::from_us(waiting.joined_us)),
        epoch,
        sequence: waiting.sequence,
    };
    let envelope = Envelope {
        id: Uuid::now_v7(),
        kind: KIND.into(),
        type_id: dress.type_id.clone().into(),
        source: dress.source.clone().into(),
        time: now,
        seq: None,
        // Of its own: the join that it stands for was answered long ago.
        traceparent: Some(fresh_traceparent()),
    };
    Outgoing {
        topic: dress.topic.clone(),
        partition: None,
        key: Some(Bytes::from(dress.style.key("coupon", campaign.id.get()))),
        // A struct of strings and numbers always serializes.
        value: Some(Bytes::from(
            serde_json::to_vec(&written).unwrap_or_default(),
        )),
        headers: envelope.headers(),
        timestamp_ms: None,
    }
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub coupon: CouponId,
    pub user: UserId,
    /// Epoch and sequence; `None` for a producer that knows no queue: it asks for a place.
    pub number: Option<(i64, i64)>,
    pub requested_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    user_id: LenientInteger,
    coupon_id: LenientInteger,
    requested_at: Option<LenientTime>,
    epoch: Option<LenientInteger>,
    sequence: Option<LenientInteger>,
}

/// Reads a message of ours or of the JVM shop, whatever its headers say.
///
/// # Errors
/// In words, what is wrong with it: it can never be read.
pub fn read(record: &Record) -> Result<Request, String> {
    let read: Read = wire::object(record.value.as_deref())?;
    let user = UserId::try_from(read.user_id.0).map_err(|e| format!("userId {e}"))?;
    let coupon = CouponId::try_from(read.coupon_id.0).map_err(|e| format!("couponId {e}"))?;
    let number = match (read.epoch, read.sequence) {
        (_, None) => None,
        (None, Some(_)) => return Err("a sequence without an epoch".into()),
        (Some(epoch), Some(sequence)) => Some((epoch.0, sequence.0)),
    };
    Ok(Request {
        coupon,
        user,
        number,
        requested_at: read.requested_at.map(|at| at.0),
    })
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
