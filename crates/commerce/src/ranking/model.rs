//! The words of ranking: what counts on a day's board, the windows that are asked for, and what is answered.
//! No rule about when something counts; `days` and `consumer` hold those. Used by the service, its ports and routes.

use jiff::civil::Date;
use messaging::envelope::Identity;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::ProductId;

/// What one event does to one day's board. Applied at most once per `identity` and day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub identity: Identity,
    /// The day of the sale, in the shop's time zone; of a cancel too.
    pub day: Date,
    pub product: ProductId,
    /// Pieces sold; negative on a cancel.
    pub quantity: i64,
    /// Money in the minor unit; negative on a cancel.
    pub amount: i64,
}

/// The largest quantity (either sign) that an entry may carry, so that a day's sums stay exact as doubles.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// The largest amount (either sign) that an entry may carry.
pub const AMOUNT_MAX: i64 = crate::amount::EXACT_MAX;

/// Where a batch of entries lies in its partition of the event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// `topic-partition`
    pub partition: String,
    /// Offset of the batch's first record.
    pub start: i64,
    /// Offset after its last record.
    pub next: i64,
}

/// A product on a board: higher scores first, equal scores by product id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub product: ProductId,
    /// Pieces sold, at least 1.
    pub score: i64,
    /// Money in the minor unit.
    pub amount: i64,
}

/// One product's place: `rank` from 1, `None` while it has sold nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub rank: Option<u64>,
    /// Pieces sold, at least 0.
    pub score: i64,
}

impl Place {
    pub const NONE: Self = Self {
        rank: None,
        score: 0,
    };
}

/// A run of whole days that ends today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Window {
    #[serde(rename = "today")]
    Today,
    #[default]
    #[serde(rename = "3d")]
    ThreeDays,
    #[serde(rename = "7d")]
    SevenDays,
    #[serde(rename = "30d")]
    ThirtyDays,
}

impl Window {
    pub const ALL: [Self; 4] = [
        Self::Today,
        Self::ThreeDays,
        Self::SevenDays,
        Self::ThirtyDays,
    ];

    /// Days, today among them.
    #[must_use]
    pub fn days(self) -> i32 {
        match self {
            Self::Today => 1,
            Self::ThreeDays => 3,
            Self::SevenDays => 7,
            Self::ThirtyDays => 30,
        }
    }
}

/// A best seller as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BestSeller {
    /// From 1. Equal quantities rank by product id.
    pub rank: u64,
    pub product_id: ProductId,
    pub product_name: String,
    pub current_price: i64,
    pub stock: i64,
    /// Pieces sold in the window, cancelled ones taken off.
    pub sold_quantity: i64,
    /// Money in the minor unit, cancelled orders taken off.
    pub sold_amount: i64,
}

/// One product's rank as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductRanking {
    pub product_id: ProductId,
    pub window: Window,
    /// From 1; null while nothing of it was sold in the window.
    #[schema(required)]
    pub rank: Option<u64>,
    /// Pieces sold in the window, cancelled ones taken off.
    pub score: i64,
}
