//! The ranking boards' calls as steps.

use std::sync::Arc;

use async_trait::async_trait;
use commerce::ids::ProductId;
use commerce::ranking::model::{Entry, Place, Position, Standing};
use commerce::ranking::ports::{Applied, Board, Comparison, Counted, Error, Read, Shadow};
use jiff::civil::Date;
use messaging::failpoint::Injected;

use super::step;

pub struct Steps(pub Arc<dyn Board>);

fn away(injected: Injected) -> Error {
    Error::Unavailable(injected.to_string())
}

#[async_trait]
impl Board for Steps {
    async fn apply(&self, entries: &[Entry], at: Option<&Position>) -> Result<Applied, Error> {
        step!("board.apply", away, self.0.apply(entries, at))
    }

    async fn place(&self, partition: &str, next: i64) -> Result<(), Error> {
        step!("board.place", away, self.0.place(partition, next))
    }

    async fn forget_places(&self) -> Result<(), Error> {
        self.0.forget_places().await
    }

    async fn known(&self, days: &[Date]) -> Result<Vec<Date>, Error> {
        self.0.known(days).await
    }

    async fn top(&self, days: &[Date], n: usize) -> Result<Read<Vec<Standing>>, Error> {
        self.0.top(days, n).await
    }

    async fn rank(&self, days: &[Date], product: ProductId) -> Result<Read<Place>, Error> {
        self.0.rank(days, product).await
    }

    async fn open(&self, day: Date) -> Result<Option<Shadow>, Error> {
        step!("board.open", away, self.0.open(day))
    }

    async fn feed(&self, shadow: &mut Shadow, page: &[Counted]) -> Result<(), Error> {
        step!("board.feed", away, self.0.feed(shadow, page))
    }

    async fn flip(&self, shadow: Shadow) -> Result<(), Error> {
        step!("board.flip", away, self.0.flip(shadow))
    }

    async fn compare(&self, shadow: Shadow, max: usize) -> Result<Comparison, Error> {
        self.0.compare(shadow, max).await
    }

    async fn discard(&self, shadow: Shadow) -> Result<(), Error> {
        self.0.discard(shadow).await
    }
}
