//! Joins on Redis: one script call a campaign for all that wait, campaigns side by side on the pipelined connection.
//! Behind the queue's `join`.

use async_trait::async_trait;
use commerce::coupon::queue::{Error, Joined, Place};
use commerce::together::{Carry, in_groups};

use super::{keys, number, settlement, strange, text};
use crate::joining::Join;
use crate::redis::{Redis, Script};

/// Lua unpacks no more than some thousands of values, and a user takes two.
const CALL_MAX: usize = 1_000;

pub struct Joins {
    pub redis: Redis,
    pub script: Script,
}

#[async_trait]
impl Carry for Joins {
    type Request = Join;
    type Answer = Result<Joined, Error>;

    async fn carry(&self, joins: &[Join]) -> Vec<Result<Joined, Error>> {
        in_groups(
            joins,
            |join| join.coupon,
            |_, joins| async move {
                let mut answers = Vec::with_capacity(joins.len());
                for part in joins.chunks(CALL_MAX) {
                    answers.extend(self.campaign(part).await);
                }
                answers
            },
        )
        .await
    }
}

impl Joins {
    /// Joins of one campaign.
    async fn campaign(&self, joins: &[Join]) -> Vec<Result<Joined, Error>> {
        match self.ask(joins).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); joins.len()],
        }
    }

    async fn ask(&self, joins: &[Join]) -> Result<Vec<Joined>, Error> {
        let coupon = joins[0].coupon;
        let mut call = self.script.evalsha(&keys::all(coupon)[..4]);
        for join in joins {
            call.arg(join.user.get()).arg(join.now_us);
        }
        let answer: Vec<String> = self.redis.query(&call).await?;
        match text(&answer, 0)? {
            "unknown" => return Ok(vec![Joined::Unknown; joins.len()]),
            "recovering" => return Ok(vec![Joined::Recovering; joins.len()]),
            _ => {}
        }
        if answer.len() != 2 + joins.len() {
            return Err(strange("an answer of another length"));
        }
        let base = number(&answer, 0)?;
        let mut last = number(&answer, 1)?;
        let words = answer[2..].iter();
        words.map(|word| joined(base, &mut last, word)).collect()
    }
}

/// What became of one user; `last` is the last number given before, and after.
fn joined(base: i64, last: &mut i64, words: &str) -> Result<Joined, Error> {
    let (word, what) = words.split_once(' ').unwrap_or((words, ""));
    Ok(match word {
        "queued" => {
            *last += 1;
            Joined::Queued(Place {
                sequence: *last,
                base,
                last: *last,
            })
        }
        "again" => Joined::AlreadyQueued(Place {
            sequence: what.parse().map_err(|_| strange(words))?,
            base,
            last: *last,
        }),
        "settled" => Joined::Settled(settlement(what)?),
        "sold-out" => Joined::SoldOut,
        "not-open" => Joined::NotOpen,
        "ended" => Joined::Ended,
        "paused" => Joined::Paused,
        "closed" => Joined::Closed,
        _ => return Err(strange(words)),
    })
}
