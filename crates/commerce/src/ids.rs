//! Ids of things, and the numbers they come from: blocks reserved in the database ahead of need.
//! An id says what it names by its type; two kinds cannot be confused.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Gives out numbers from blocks kept in memory. The next block is fetched once half of one is used, so that who takes numbers
/// waits for the database only where they go faster than that.
pub struct Allocator {
    source: std::sync::Arc<dyn Source>,
    block: u32,
    left: Mutex<HashMap<Series, Left>>,
}

/// What is left of a series' block, and the next one where it has been asked for.
#[derive(Default)]
struct Left {
    now: Range,
    next: Option<JoinHandle<Result<Range, String>>>,
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
        let left = blocks.entry(series).or_default();
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            if left.now.first == left.now.end {
                let missing = u32::try_from(count - taken.len()).unwrap_or(u32::MAX);
                let range = self.next(series, left, missing).await;
                left.now = range.map_err(|cause| Exhausted { series, cause })?;
            }
            taken.push(left.now.first);
            left.now.first += 1;
        }
        if left.next.is_none() && left.now.end - left.now.first < i64::from(self.block) / 2 {
            let (source, block) = (self.source.clone(), self.block);
            let next = async move { source.reserve(series, block).await };
            left.next = Some(tokio::spawn(next));
        }
        Ok(taken)
    }

    /// The block that was asked for ahead; where there is none, or it failed, one of at least `missing` numbers.
    async fn next(&self, series: Series, left: &mut Left, missing: u32) -> Result<Range, String> {
        if let Some(ahead) = &mut left.next {
            // Kept until it has answered: whoever stops waiting here loses no block.
            let fetched = ahead.await;
            left.next = None;
            if let Ok(Ok(range)) = fetched {
                return Ok(range);
            }
        }
        self.source.reserve(series, missing.max(self.block)).await
    }

    /// One number; see `take`.
    ///
    /// # Errors
    /// As `take`.
    pub async fn one(&self, series: Series) -> Result<i64, Exhausted> {
        Ok(self.take(series, 1).await?[0])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Blocks from 1 on, one for each permit; the next so many that are asked for while it is `away` fail.
    struct Blocks {
        next: AtomicI64,
        permits: Semaphore,
        away: AtomicI64,
    }

    #[async_trait]
    impl Source for Blocks {
        async fn reserve(&self, _: Series, count: u32) -> Result<Range, String> {
            self.permits.acquire().await.unwrap().forget();
            if self.away.fetch_sub(1, Ordering::SeqCst) > 0 {
                return Err("away".into());
            }
            let first = self.next.fetch_add(count.into(), Ordering::SeqCst);
            let end = first + i64::from(count);
            Ok(Range { first, end })
        }
    }

    fn allocator(permits: usize) -> (Arc<Blocks>, Allocator) {
        let blocks = Arc::new(Blocks {
            next: AtomicI64::new(1),
            permits: Semaphore::new(permits),
            away: AtomicI64::new(0),
        });
        (blocks.clone(), Allocator::new(blocks, 10))
    }

    async fn take(numbers: &Allocator, count: usize) -> Vec<i64> {
        numbers.take(Series::Order, count).await.unwrap()
    }

    #[tokio::test]
    async fn the_next_block_is_fetched_ahead_and_waited_for_only_when_it_is_needed() {
        let (blocks, numbers) = allocator(1);
        assert_eq!(take(&numbers, 6).await, (1..=6).collect::<Vec<_>>());
        // The second block is not to be had yet, and nobody needs it.
        assert_eq!(take(&numbers, 4).await, (7..=10).collect::<Vec<_>>());
        let (more, ()) = tokio::join!(take(&numbers, 2), async {
            blocks.permits.add_permits(1);
        });
        assert_eq!(more, [11, 12]);
        assert_eq!(blocks.next.load(Ordering::SeqCst), 21);
    }

    #[tokio::test]
    async fn a_block_that_was_not_to_be_had_ahead_is_asked_for_again() {
        let (blocks, numbers) = allocator(9);
        assert_eq!(take(&numbers, 1).await, [1]);
        blocks.away.store(1, Ordering::SeqCst);
        take(&numbers, 9).await;
        assert_eq!(take(&numbers, 15).await, (11..=25).collect::<Vec<_>>());
        blocks.away.store(2, Ordering::SeqCst);
        let error = numbers.take(Series::Order, 90).await.unwrap_err();
        assert_eq!(error.cause, "away");
    }
}
