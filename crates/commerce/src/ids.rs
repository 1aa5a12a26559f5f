//! Ids of things, and the numbers they come from: blocks reserved in the database ahead of need.
//! An id says what it names by its type; two kinds cannot be confused.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::amount::EXACT_MAX;
use crate::json::bounded;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema,
        )]
        #[schema(value_type = i64, minimum = 1, maximum = 9007199254740991_i64)]
        pub struct $name(i64);

        impl $name {
            #[must_use]
            pub fn get(self) -> i64 {
                self.0
            }
        }

        bounded!($name);

        impl TryFrom<i64> for $name {
            type Error = String;

            fn try_from(value: i64) -> Result<Self, String> {
                if (1..=EXACT_MAX).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(format!("must be an integer from 1 to {EXACT_MAX}"))
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                text.parse::<i64>()
                    .map_err(|_| format!("must be an integer from 1 to {EXACT_MAX}"))
                    .and_then(Self::try_from)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(UserId);
id!(ProductId);
id!(OrderId);
id!(
    /// One line of an order.
    LineId
);
id!(
    /// A campaign: what `/api/coupons/{id}` names.
    CouponId
);
id!(
    /// A coupon that a user holds.
    UserCouponId
);
id!(
    /// An entry of a wallet's ledger.
    EntryId
);

/// A series of numbers, each given out at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Series {
    Product,
    Order,
    Line,
    Coupon,
    UserCoupon,
    WalletEntry,
    StockEntry,
    /// Dense numbers of OrderCompleted events, cancels among them (`madang-seq`).
    OrderCompletedEvent,
    ProductRankingEvent,
    DataPlatformEvent,
}

impl Series {
    /// The name it is kept under.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Order => "order",
            Self::Line => "order-line",
            Self::Coupon => "coupon",
            Self::UserCoupon => "user-coupon",
            Self::WalletEntry => "wallet-entry",
            Self::StockEntry => "stock-entry",
            Self::OrderCompletedEvent => "event-order-completed",
            Self::ProductRankingEvent => "event-product-ranking",
            Self::DataPlatformEvent => "event-data-platform",
        }
    }
}

/// Numbers `first..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub first: i64,
    pub end: i64,
}

/// Where blocks come from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Reserves `count` numbers for good. The error is text for the log: the database could not be asked.
    async fn reserve(&self, series: Series, count: u32) -> Result<Range, String>;
}

/// Gives out numbers from blocks kept in memory; a block is fetched when one runs out.
pub struct Allocator {
    source: std::sync::Arc<dyn Source>,
    block: u32,
    left: Mutex<HashMap<Series, Range>>,
}

#[derive(Debug, thiserror::Error)]
#[error("no numbers of series {series:?} to be had: {cause}")]
pub struct Exhausted {
    pub series: Series,
    pub cause: String,
}

impl Allocator {
    /// `block`: numbers reserved at a time, at least.
    #[must_use]
    pub fn new(source: std::sync::Arc<dyn Source>, block: u32) -> Self {
        Self {
            source,
            block,
            left: Mutex::new(HashMap::new()),
        }
    }

    /// `count` numbers, ascending (not always adjacent).
    ///
    /// # Errors
    /// `Exhausted` when a block was needed and the database could not give one.
    pub async fn take(&self, series: Series, count: usize) -> Result<Vec<i64>, Exhausted> {
        let mut blocks = self.left.lock().await;
        let range = blocks.entry(series).or_insert(Range { first: 0, end: 0 });
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            if range.first == range.end {
                let missing = u32::try_from(count - taken.len()).unwrap_or(u32::MAX);
                *range = self
                    .source
                    .reserve(series, missing.max(self.block))
                    .await
                    .map_err(|cause| Exhausted { series, cause })?;
            }
            taken.push(range.first);
            range.first += 1;
        }
        Ok(taken)
    }

    /// One number; see `take`.
    ///
    /// # Errors
    /// As `take`.
    pub async fn one(&self, series: Series) -> Result<i64, Exhausted> {
        Ok(self.take(series, 1).await?[0])
    }
}
