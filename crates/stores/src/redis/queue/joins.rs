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
        let base = number(&answer, 0)?;
        if answer.len() != 1 + 3 * joins.len() {
            return Err(strange("an answer of another length"));
        }
        answer[1..]
            .chunks_exact(3)
            .map(|words| joined(base, words))
            .collect()
    }
}

fn joined(base: i64, words: &[String]) -> Result<Joined, Error> {
    let place = || -> Result<Place, Error> {
        Ok(Place {
            sequence: number(words, 1)?,
            base,
            last: number(words, 2)?,
        })
    };
    Ok(match text(words, 0)? {
        "queued" => Joined::Queued(place()?),
        "again" => Joined::AlreadyQueued(place()?),
        "settled" => Joined::Settled(settlement(text(words, 1)?)?),
        "sold-out" => Joined::SoldOut,
        "not-open" => Joined::NotOpen,
        "ended" => Joined::Ended,
        "paused" => Joined::Paused,
        "closed" => Joined::Closed,
        other => return Err(strange(other)),
    })
}
