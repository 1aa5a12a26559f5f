//! Whether every event that an order owes was noted by the consumer that owes it an effect (I4): statistics and data platform.
//! Rankings are held against a recount instead (I6).

use commerce::analytics;
use commerce::data_platform;
use commerce::order::FollowUp;
use messaging::envelope::Identity;
use sea_orm::{ConnectionTrait, QueryResult};

use super::super::ranking::snapshot;
use super::super::{Error, notes};
use super::Audit;

/// Orders read at a time.
const PAGE: i64 = 2_000;

/// One event that an order owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    pub order: i64,
    pub step: FollowUp,
    /// Its dense number.
    pub seq: i64,
    pub of_cancel: bool,
}

/// What has no note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// The first of them.
    pub events: Vec<Owed>,
    pub count: u64,
    /// Orders looked at.
    pub orders: u64,
}

/// First listed at most.
const LISTED_MAX: usize = 1_000;

impl Audit {
    /// Looks at every order in one snapshot.
    ///
    /// # Errors
    /// Those of the statements.
    pub async fn missing(&self) -> Result<Missing, Error> {
        let dialect = self.db.dialect();
        let tx = snapshot(&self.db).await?;
        let mut missing = Missing::default();
        let mut after = 0;
        loop {
            let select = dialect.statement(
                "SELECT id, owes, completed_seq, data_platform_seq, cancel_owes, cancel_completed_seq, cancel_data_platform_seq
                FROM orders WHERE id > ? ORDER BY id LIMIT ?",
                vec![after.into(), PAGE.into()],
            );
            let rows = tx.query_all_raw(select).await?;
            let Some(last) = rows.last() else {
                tx.rollback().await?;
                return Ok(missing);
            };
            after = last.try_get_by(0)?;
            missing.orders += rows.len() as u64;
            for (step, consumer) in [
                (FollowUp::Analytics, analytics::CONSUMER),
                (FollowUp::DataPlatform, data_platform::CONSUMER),
            ] {
                let owed = owed_by(&rows, step)?;
                let identities: Vec<_> = owed.iter().map(|o| Identity::Seq(o.seq)).collect();
                let seen = notes::seen(&tx, dialect, consumer, &identities).await?;
                for (event, seen) in owed.into_iter().zip(seen) {
                    if !seen {
                        missing.count += 1;
                        if missing.events.len() < LISTED_MAX {
                            missing.events.push(event);
                        }
                    }
                }
            }
        }
    }
}

fn owed_by(rows: &[QueryResult], step: FollowUp) -> Result<Vec<Owed>, Error> {
    let column = match step {
        FollowUp::Analytics => 2,
        FollowUp::DataPlatform | FollowUp::Ranking => 3,
    };
    let mut owed = Vec::new();
    for row in rows {
        let order = row.try_get_by(0)?;
        let owes: i16 = row.try_get_by(1)?;
        let cancel_owes: i16 = row.try_get_by(4)?;
        if owes & step.bit() != 0 {
            owed.push(Owed {
                order,
                step,
                seq: row.try_get_by(column)?,
                of_cancel: false,
            });
        }
        let seq: Option<i64> = row.try_get_by(column + 3)?;
        if let Some(seq) = seq.filter(|_| cancel_owes & step.bit() != 0) {
            owed.push(Owed {
                order,
                step,
                seq,
                of_cancel: true,
            });
        }
    }
    Ok(owed)
}
