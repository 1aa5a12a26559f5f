//! Best sellers: boards that count each day's sales by product, written from events, read by window, recounted at need.
//! Not an authority: the orders table is, and a board equals a recount of it. Routes, the consumer and the binary's
//! `ranking rebuild` and `audit` call the service here.

mod cache;
pub mod consumer;
pub mod days;
pub mod events;
pub mod http;
pub mod model;
pub mod ports;
mod rebuild;
mod shelf;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use messaging::envelope::Identity;
use messaging::outbox::Event;

use self::cache::Cache;
use self::days::{Calendar, Judged};
use self::events::AMOUNT_HEADER;
use self::model::{BestSeller, Entry, Place, Position, ProductRanking, Standing, Window};
use self::ports::{Applied, Board, Error, Read, SalesHistory, Shelf};
use crate::answer::StoreError;
use crate::clock::{Clock, from_us};
use crate::ids::ProductId;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Where days begin and end.
    pub time_zone: TimeZone,
    /// Days before today that keep their boards; more than the longest window.
    pub retention_days: i32,
    /// How old an answer from the boards may be.
    pub cache_ms: u64,
    /// How old an answer recounted from the database may be.
    pub recount_cache_ms: u64,
    /// Orders read at a time by a rebuild.
    pub rebuild_page: u32,
    /// Entries fed to a shadow at a time.
    pub feed_batch_max: usize,
    /// How long a rebuild that was asked for waits for another one of the same day.
    pub rebuild_wait_ms: u64,
    /// Standings kept of a window: those of products that are no longer in the catalogue are passed over.
    pub standings_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: TimeZone::UTC,
            retention_days: 35,
            cache_ms: 1_000,
            recount_cache_ms: 5_000,
            rebuild_page: 10_000,
            feed_batch_max: 2_000,
            rebuild_wait_ms: 60_000,
            standings_max: 200,
        }
    }
}

/// What the service stands on.
#[derive(Clone)]
pub struct Ports {
    pub board: Arc<dyn Board>,
    pub history: Arc<dyn SalesHistory>,
    pub shelf: Arc<dyn Shelf>,
    pub clock: Arc<dyn Clock>,
}

/// How far a batch came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    Done,
    /// The board has lost the effects of records from this offset of the partition on.
    Behind {
        next: i64,
    },
}

/// Rounds of repairing what `apply` found missing before the batch is given back.
const REPAIRS_MAX: u32 = 4;

pub struct Rankings {
    ports: Ports,
    calendar: Calendar,
    settings: Settings,
    cache: Cache,
    healing: AtomicBool,
}

impl Rankings {
    #[must_use]
    pub fn new(ports: Ports, settings: Settings) -> Self {
        Self {
            calendar: Calendar::new(settings.time_zone.clone(), settings.retention_days),
            cache: Cache::new(settings.cache_ms, settings.recount_cache_ms),
            ports,
            settings,
            healing: AtomicBool::new(false),
        }
    }

    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// The best sellers of the window, at most `limit`.
    ///
    /// # Errors
    /// When neither board nor database, or not the catalogue, can be asked.
    pub async fn popular(
        self: &Arc<Self>,
        window: Window,
        limit: usize,
    ) -> Result<Vec<BestSeller>, StoreError> {
        let standings = self.standings(window).await?;
        let mut sellers = Vec::with_capacity(limit);
        let mut ranked = (1_u64..).zip(standings.iter());
        while sellers.len() < limit {
            let some: Vec<_> = ranked.by_ref().take(limit - sellers.len()).collect();
            if some.is_empty() {
                break;
            }
            sellers.extend(self.dressed(&some).await?);
        }
        Ok(sellers)
    }

    /// Best sellers out of standings: a product that the catalogue does not know is passed over.
    async fn dressed(&self, ranked: &[(u64, &Standing)]) -> Result<Vec<BestSeller>, StoreError> {
        let ids: Vec<ProductId> = ranked.iter().map(|(_, s)| s.product).collect();
        let cards = self.ports.shelf.cards(&ids).await?;
        let seller = |(rank, standing): &(u64, &Standing)| {
            let card = cards.iter().find(|c| c.product == standing.product)?;
            Some(BestSeller {
                rank: *rank,
                product_id: card.product,
                product_name: card.name.clone(),
                current_price: card.price,
                stock: card.stock,
                sold_quantity: standing.score,
                sold_amount: standing.amount,
            })
        };
        Ok(ranked.iter().filter_map(seller).collect())
    }

    /// One product's place in the window; `None` when there is no such product.
    ///
    /// # Errors
    /// As `popular`.
    pub async fn ranking(
        self: &Arc<Self>,
        product: ProductId,
        window: Window,
    ) -> Result<Option<ProductRanking>, StoreError> {
        if self.ports.shelf.cards(&[product]).await?.is_empty() {
            return Ok(None);
        }
        let place = self.place_of(product, window).await?;
        Ok(Some(ProductRanking {
            product_id: product,
            window,
            rank: place.rank,
            score: place.score,
        }))
    }

    async fn standings(self: &Arc<Self>, window: Window) -> Result<Arc<Vec<Standing>>, StoreError> {
        let days = self.calendar.window(window, self.now());
        let n = self.settings.standings_max;
        let read = async {
            match self.found(self.ports.board.top(&days, n).await) {
                Some(standings) => Ok((standings, false)),
                None => Ok((self.ports.history.top(self.span(&days), n).await?, true)),
            }
        };
        self.cache.standings((window, last(&days)), read).await
    }

    async fn place_of(
        self: &Arc<Self>,
        product: ProductId,
        window: Window,
    ) -> Result<Place, StoreError> {
        let days = self.calendar.window(window, self.now());
        let read = async {
            match self.found(self.ports.board.rank(&days, product).await) {
                Some(place) => Ok((place, false)),
                None => {
                    let place = self.ports.history.rank(self.span(&days), product).await?;
                    Ok((place, true))
                }
            }
        };
        self.cache.place((product, window, last(&days)), read).await
    }

    /// What the board found; `None` where the database must be asked instead. Missing days are rebuilt meanwhile.
    fn found<T>(self: &Arc<Self>, read: Result<Read<T>, Error>) -> Option<T> {
        let found = match read {
            Ok(Read::Found(value)) => Some(value),
            Ok(Read::Missing(days)) => {
                self.heal(days);
                None
            }
            Err(error) => {
                tracing::warn!(%error, "ranking board not readable, recounting from the database");
                None
            }
        };
        if found.is_none() {
            metrics::counter!("madang_ranking_recounts_total").increment(1);
        }
        found
    }

    fn span(&self, days: &[Date]) -> days::Span {
        let today = self.calendar.day_of(self.now());
        let first = days.first().copied().unwrap_or(today);
        self.calendar.span_of(first, last(days).unwrap_or(today))
    }

    /// Rebuilds days in a task of its own, one at a time a process. Ends with the process: whoever reads next begins anew.
    fn heal(self: &Arc<Self>, days: Vec<Date>) {
        if self.healing.swap(true, Ordering::AcqRel) {
            return;
        }
        let rankings = self.clone();
        tokio::spawn(async move {
            for day in days {
                if let Err(error) = rankings.rebuild(day).await {
                    tracing::warn!(%error, %day, "ranking board not rebuilt");
                    break;
                }
            }
            rankings.healing.store(false, Ordering::Release);
        });
    }

    /// Counts events that did not come by the event log: the follow-up inside a request, given what would have gone to the
    /// topic. Each counts once, however often it is recorded.
    ///
    /// # Errors
    /// Those of the board (recording again is safe); `Failed` where one is no ProductRanking message.
    pub async fn record(&self, events: &[Event]) -> Result<(), Error> {
        let entry = |event: &Event| {
            let named = event.headers.iter().find(|(name, _)| name == AMOUNT_HEADER);
            let amount = named.map(|(_, value)| value.as_str());
            let sold = events::read(&event.payload, amount, from_us(event.created_us))
                .map_err(|failure| Error::Failed(failure.message))?;
            Ok(Entry {
                identity: match event.seq {
                    Some(seq) => Identity::Seq(seq),
                    None => Identity::Foreign(event.id.to_string()),
                },
                day: self.calendar.day_of(sold.ordered_at),
                product: sold.product,
                quantity: sold.quantity,
                amount: sold.amount.unwrap_or(0),
            })
        };
        let entries = events.iter().map(entry).collect::<Result<_, Error>>()?;
        self.apply(entries, None).await.map(drop)
    }

    /// Counts entries, rebuilding what is missing. Days whose boards have expired are passed over.
    ///
    /// # Errors
    /// Those of the board, and `Rebuilding` while another process rebuilds what is missing.
    pub async fn apply(
        &self,
        mut entries: Vec<Entry>,
        at: Option<&Position>,
    ) -> Result<Progress, Error> {
        let now = self.now();
        entries.retain(|e| self.calendar.judge(e.day, now) == Judged::Kept);
        for _ in 0..REPAIRS_MAX {
            match self.ports.board.apply(&entries, at).await? {
                Applied::Done => return Ok(Progress::Done),
                Applied::Behind { next } => return Ok(Progress::Behind { next }),
                Applied::Unplaced => {
                    let kept = self.calendar.kept(now);
                    for day in self.ports.board.known(&kept).await? {
                        self.rebuild(day).await?;
                    }
                    if let Some(at) = at {
                        self.ports.board.place(&at.partition, at.start).await?;
                    }
                }
                Applied::Missing(days) => {
                    for day in days {
                        self.rebuild(day).await?;
                    }
                }
            }
        }
        Err(Error::Unavailable("its boards keep vanishing".to_owned()))
    }

    /// Says that nothing is missing before `at`: the log itself has no records between what the board knows and there.
    ///
    /// # Errors
    /// Those of the board.
    pub async fn skip_gap(&self, at: &Position) -> Result<(), Error> {
        self.ports.board.place(&at.partition, at.start).await
    }
}

fn last(days: &[Date]) -> Option<Date> {
    days.last().copied()
}
