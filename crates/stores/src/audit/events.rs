//! I4: every event that an order owes has a note of its consumer; what has none is pending in the outbox, dead-lettered, or
//! missing, unless the order is newer than the audit. A note that no order owes is a difference too, and so is a number that two
//! events share, for only one of them counts. Ranking's events are checked by its boards.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::numbers::Numbers;
use super::{Check, Difference, Error, Noted, Outside, Settings};
use crate::sql::Database;
use crate::sql::notes::BLOCK;
use crate::sql::outbox::numbers_waiting;
use crate::sql::ranking::snapshot;

/// Where a consumer's events are found.
pub(super) struct Place {
    noted: Noted,
    name: &'static str,
    consumer: &'static str,
    /// Its bit in `orders.owes` and `orders.cancel_owes`.
    bit: i64,
    sale: &'static str,
    cancel: &'static str,
}

pub(super) const PLACES: [Place; 2] = [
    Place {
        noted: Noted::DataPlatform,
        name: "receipts of the data platform",
        consumer: commerce::data_platform::CONSUMER,
        bit: 2,
        sale: "data_platform_seq",
        cancel: "cancel_data_platform_seq",
    },
    Place {
        noted: Noted::Analytics,
        name: "notes of the analytics",
        consumer: commerce::analytics::CONSUMER,
        bit: 4,
        sale: "completed_seq",
        cancel: "cancel_completed_seq",
    },
];

pub(super) async fn check(
    db: &Database,
    place: &Place,
    outside: &Outside<'_>,
    settings: &Settings,
) -> Result<Check, Error> {
    let mut check = Check::new("I4", place.name);
    // Notes first and orders after: an order is committed before its note, so each note's order is there.
    let tx = snapshot(db).await?;
    let mut notes = Notes::read(&tx, db, place.consumer).await?;
    tx.rollback().await?;
    let tx = snapshot(db).await?;
    let mut numbers = Numbers::default();
    let topic = match place.noted {
        Noted::DataPlatform => &settings.data_platform_topic,
        Noted::Analytics => &settings.order_completed_topic,
    };
    let pending = numbers_waiting(&tx, db, topic).await?;
    let mut apart = Apart::default();
    let mut after = 0_i64;
    loop {
        let owed = owed(&tx, db, place, after, settings.page).await?;
        let Some(last) = owed.last() else { break };
        let page = after..=last.order;
        // What was seen of the page, asked for once something is missing.
        let mut seen = None;
        after = last.order;
        for seq in owed.iter().flat_map(|order| order.not_owed).flatten() {
            // Had inside the request: a note is as good as none.
            notes.take(seq);
            numbers.insert(seq);
        }
        for event in owed.iter().flat_map(Owed::events) {
            check.examined += 1;
            let Some(seq) = event.seq else {
                check.differ(settings.listed_max, event.difference("a number", "none"));
                continue;
            };
            if !numbers.insert(seq) {
                let found = format!("number {seq}, another event's too");
                check.differ(
                    settings.listed_max,
                    event.difference("a number of its own", &found),
                );
                continue;
            }
            if notes.take(seq) {
                continue;
            }
            if pending.contains(&seq) {
                apart.waiting += 1;
            } else if outside.dead.contains(&(place.noted, seq)) {
                apart.buried.push(event.order);
            } else if outside.under_way || is_newer(db, outside, &event, &page, &mut seen).await? {
                apart.newer += 1;
            } else {
                let expected = format!("noted under number {seq}");
                check.differ(settings.listed_max, event.difference(&expected, "missing"));
            }
        }
    }
    tx.rollback().await?;
    apart.remark(&mut check, notes.foreign, settings);
    without_order(&notes, &mut check, settings);
    Ok(check)
}

/// Whether the event is newer than what was `seen` of the orders of the page, `after..=last`.
async fn is_newer(
    db: &Database,
    outside: &Outside<'_>,
    event: &Event,
    page: &RangeInclusive<i64>,
    seen: &mut Option<HashMap<i64, bool>>,
) -> Result<bool, Error> {
    let Some(all) = outside.seen else {
        return Ok(false);
    };
    let seen = match seen {
        Some(seen) => seen,
        none => none.insert(all.between(db, *page.start(), *page.end()).await?),
    };
    Ok(event.is_newer(seen))
}

fn without_order(notes: &Notes, check: &mut Check, settings: &Settings) {
    for seq in notes.left() {
        let difference = Difference {
            subject: format!("note of number {seq}"),
            expected: "an order that owes it".into(),
            found: "none".into(),
        };
        check.differ(settings.listed_max, difference);
    }
}

/// Events without a note that are no difference.
#[derive(Default)]
struct Apart {
    waiting: u64,
    /// Their orders.
    buried: Vec<i64>,
    newer: u64,
}

impl Apart {
    fn remark(&self, check: &mut Check, foreign: u64, settings: &Settings) {
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                check.remarks.push(format!("{count} {what}"));
            }
        };
        say(self.waiting, "events pending in the outbox");
        say(
            self.newer,
            "events on their way, of orders newer than this audit or of what is pending",
        );
        say(foreign, "foreign events");
        if !self.buried.is_empty() {
            let count = self.buried.len();
            let some = &self.buried[..count.min(settings.listed_max)];
            check
                .remarks
                .push(format!("{count} events dead-lettered, of orders {some:?}"));
        }
    }
}

/// An order's events for one consumer.
struct Owed {
    order: i64,
    sale: Option<Option<i64>>,
    cancel: Option<Option<i64>>,
    /// Numbers of events that it has and does not owe.
    not_owed: [Option<i64>; 2],
}

struct Event {
    order: i64,
    is_cancel: bool,
    seq: Option<i64>,
}

impl Owed {
    fn events(&self) -> impl Iterator<Item = Event> + use<> {
        let order = self.order;
        [(false, self.sale), (true, self.cancel)]
            .into_iter()
            .filter_map(move |(is_cancel, seq)| {
                seq.map(|seq| Event {
                    order,
                    is_cancel,
                    seq,
                })
            })
    }
}

impl Event {
    /// Than what was seen: orders, and whether they were cancelled.
    fn is_newer(&self, seen: &HashMap<i64, bool>) -> bool {
        match seen.get(&self.order) {
            None => true,
            Some(was_cancelled) => self.is_cancel && !was_cancelled,
        }
    }

    fn difference(&self, expected: &str, found: &str) -> Difference {
        let word = if self.is_cancel {
            "cancel of order"
        } else {
            "order"
        };
        Difference {
            subject: format!("{word} {}", self.order),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }
}

async fn owed(
    tx: &DatabaseTransaction,
    db: &Database,
    place: &Place,
    after: i64,
    page: u32,
) -> Result<Vec<Owed>, Error> {
    let Place {
        bit, sale, cancel, ..
    } = place;
    let sql = format!(
        "SELECT id, CASE WHEN (owes & {bit}) <> 0 THEN 1 ELSE 0 END, {sale},
            CASE WHEN (cancel_owes & {bit}) <> 0 THEN 1 ELSE 0 END, {cancel}
         FROM orders WHERE id > ? ORDER BY id LIMIT ?"
    );
    let select = db.statement(sql, vec![after.into(), i64::from(page.max(1)).into()]);
    let mut owed = Vec::with_capacity(page as usize);
    for row in tx.query_all_raw(select).await? {
        let is_owed = |column| row.try_get_by::<i32, _>(column).map(|flag| flag == 1);
        let (sale_owed, cancel_owed) = (is_owed(1)?, is_owed(3)?);
        let (sale, cancel): (Option<i64>, Option<i64>) = (row.try_get_by(2)?, row.try_get_by(4)?);
        owed.push(Owed {
            order: row.try_get_by(0)?,
            sale: sale_owed.then_some(sale),
            cancel: cancel_owed.then_some(cancel),
            not_owed: [sale.filter(|_| !sale_owed), cancel.filter(|_| !cancel_owed)],
        });
    }
    Ok(owed)
}

/// A consumer's notes; each is taken by the event that it stands for.
struct Notes {
    blocks: BTreeMap<i64, Vec<u8>>,
    foreign: u64,
}

impl Notes {
    async fn read(tx: &DatabaseTransaction, db: &Database, consumer: &str) -> Result<Self, Error> {
        let sql = "SELECT block, bits FROM consumer_notes WHERE consumer = ?";
        let mut blocks = BTreeMap::new();
        for row in tx
            .query_all_raw(db.statement(sql, vec![consumer.into()]))
            .await?
        {
            blocks.insert(row.try_get_by(0)?, row.try_get_by(1)?);
        }
        let sql = "SELECT COUNT(*) FROM consumer_foreign_notes WHERE consumer = ?";
        let row = tx
            .query_one_raw(db.statement(sql, vec![consumer.into()]))
            .await?;
        let foreign: i64 = row.map_or(Ok(0), |row| row.try_get_by(0))?;
        Ok(Self {
            blocks,
            foreign: foreign.unsigned_abs(),
        })
    }

    /// Whether the number is noted, and not taken yet.
    fn take(&mut self, seq: i64) -> bool {
        let bits = self.blocks.get_mut(&seq.div_euclid(BLOCK));
        let index = usize::try_from(seq.rem_euclid(BLOCK)).unwrap_or_default();
        let Some(byte) = bits.and_then(|bits| bits.get_mut(index / 8)) else {
            return false;
        };
        let mask = 1 << (index % 8);
        let was = *byte & mask != 0;
        *byte &= !mask;
        was
    }

    /// The numbers that nobody took.
    fn left(&self) -> impl Iterator<Item = i64> {
        self.blocks.iter().flat_map(|(block, bits)| {
            let set = move |(index, byte): (usize, &u8)| {
                let (byte, first) = (*byte, block * BLOCK + index as i64 * 8);
                (0..8)
                    .filter(move |bit| byte & (1 << bit) != 0)
                    .map(move |bit| first + bit)
            };
            bits.iter()
                .enumerate()
                .filter(|(_, byte)| **byte != 0)
                .flat_map(set)
        })
    }
}
