//! What ranking needs from outside: the board that keeps each day's counts, the sales history that they can be recounted
//! from, and the shelf that tells a product's name, price and stock. Adapters live in `stores` and the binary.

use async_trait::async_trait;
use jiff::civil::Date;

use super::days::Span;
use super::model::{Entry, Place, Position, Standing};
use crate::answer::StoreError;
use crate::ids::ProductId;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The board cannot be reached; nothing is known of what was asked last, and all of it may be asked again.
    #[error("board unavailable: {0}")]
    Unavailable(String),
    /// Another rebuilds the board just now; it is there, or free again, within a lease.
    #[error("the board of {0} is being rebuilt")]
    Rebuilding(Date),
    /// The shadow is no longer this rebuilder's: its lease ran out or the board lost data. Start the rebuild again.
    #[error("rebuild of board {0} lost its lease")]
    Lost(Date),
    /// A defect: a value of the wrong type, a script that does not run.
    #[error("board failed: {0}")]
    Failed(String),
}

/// How a batch was received. Anything but `Done` has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Every entry counts now, once, and so do all before it in the partition.
    Done,
    /// The board knows the partition only up to `next`: it lost the effects of `next..start`.
    Behind { next: i64 },
    /// The board knows nothing of the partition, which does not begin here: boards may lack its earlier entries.
    Unplaced,
    /// These days have no board, and an entry alone creates none: rebuild them.
    Missing(Vec<Date>),
}

/// What a read of several days found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    Found(T),
    /// These days have no board.
    Missing(Vec<Date>),
}

/// The right to rebuild one day: held by one rebuilder at a time, until its lease runs out between two calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    pub day: Date,
    pub token: String,
    /// Pages fed so far.
    pub pages: u64,
}

/// A product whose board differs from the recount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// As the board has it: another program may have written what is no product id.
    pub product: String,
    pub expected_score: i64,
    pub found_score: i64,
    pub expected_amount: i64,
    pub found_amount: i64,
}

/// A board held against a shadow that was fed with the recount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The first of them, by product id.
    pub differences: Vec<Difference>,
    /// All of them.
    pub different: u64,
    pub products: u64,
    /// Pieces counted from events that are not this shop's own; they are no difference.
    pub foreign: i64,
}

/// Each day's counts by product. A day's board exists from its first `flip` until it expires.
///
/// While a shadow is open, `apply` counts in it as well, with notes of its own. Entries of this shop (`Identity::Seq`) are in
/// the recount too; foreign ones are not, so they are kept beside the board and survive every rebuild.
#[async_trait]
pub trait Board: Send + Sync + 'static {
    /// Counts the entries of all their days, notes them, and moves the partition on, in one atomic step.
    /// `at`: `None` where the entries did not come from the event log.
    async fn apply(&self, entries: &[Entry], at: Option<&Position>) -> Result<Applied, Error>;

    /// Says that everything before `next` of the partition counts already.
    async fn place(&self, partition: &str, next: i64) -> Result<(), Error>;

    /// Forgets how far every partition counts, so that each is `Unplaced` until it is placed again.
    async fn forget_places(&self) -> Result<(), Error>;

    /// Those of the days that have a board.
    async fn known(&self, days: &[Date]) -> Result<Vec<Date>, Error>;

    /// The first `n` of the days' sums.
    async fn top(&self, days: &[Date], n: usize) -> Result<Read<Vec<Standing>>, Error>;

    /// The product's place in the days' sums.
    async fn rank(&self, days: &[Date], product: ProductId) -> Result<Read<Place>, Error>;

    /// Opens an empty shadow, and removes what a dead rebuilder left. `None` while another's lease is alive.
    async fn open(&self, day: Date) -> Result<Option<Shadow>, Error>;

    /// Counts a page of the recount in the shadow alone, and renews its lease. Call it at least once per lease; a page that
    /// failed cannot be fed again, the rebuild has to start over.
    async fn feed(&self, shadow: &mut Shadow, page: &[Counted]) -> Result<(), Error>;

    /// Puts the shadow in the board's place, in one atomic step.
    async fn flip(&self, shadow: Shadow) -> Result<(), Error>;

    /// Holds the board against the shadow, each product of both in one atomic step, and removes the shadow. At most `max` differences
    /// are listed. Where products are sold meanwhile the number of those that were looked at may be off by a few.
    async fn compare(&self, shadow: Shadow, max: usize) -> Result<Comparison, Error>;

    /// Removes the shadow, whose board stays as it is.
    async fn discard(&self, shadow: Shadow) -> Result<(), Error>;
}

/// What one event of the orders table counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The event's dense number; `None` where no event will ever carry it.
    pub seq: Option<i64>,
    pub product: ProductId,
    /// Negative on a cancel.
    pub quantity: i64,
    /// Negative on a cancel.
    pub amount: i64,
}

/// The orders table as ranking sees it.
#[async_trait]
pub trait SalesHistory: Send + Sync + 'static {
    /// Every sale of the span and every cancel of such a sale, from one consistent snapshot taken no earlier than this call.
    async fn snapshot(&self, span: Span) -> Result<Box<dyn Snapshot>, StoreError>;

    /// As `Board::top`, recounted.
    async fn top(&self, span: Span, n: usize) -> Result<Vec<Standing>, StoreError>;

    /// As `Board::rank`, recounted.
    async fn rank(&self, span: Span, product: ProductId) -> Result<Place, StoreError>;
}

#[async_trait]
pub trait Snapshot: Send {
    /// The sales and cancels of the next `orders_max` orders; empty at the end.
    async fn page(&mut self, orders_max: u32) -> Result<Vec<Counted>, StoreError>;
}

/// What a product is called and costs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub product: ProductId,
    pub name: String,
    pub price: i64,
    pub stock: i64,
}

/// The catalogue as ranking sees it.
#[async_trait]
pub trait Shelf: Send + Sync + 'static {
    /// Cards of those that exist, in any order.
    async fn cards(&self, products: &[ProductId]) -> Result<Vec<Card>, StoreError>;
}
