//! The coupon queue on Redis: every step one script, every key of a campaign in one slot. It may lose everything: the database
//! decides who wins, and recovery starts a new epoch on a server that does not hold the guarded scripts.
//! Built by the binary; behind the feature's `Queue` port.

mod joins;
mod keys;
mod rebuild;
mod scripts;

use async_trait::async_trait;
use commerce::coupon::Queue;
use commerce::coupon::model::Holder;
use commerce::coupon::queue::{
    Ask, Depth, Entry, Error, Incarnation, Joined, Known, Lease, Leased, Settled, Settlement,
    Standings, Terms, Waiting,
};
use commerce::ids::{CouponId, UserId};
use commerce::together::{Settings, Together};

use super::{Redis, Script};
use crate::joining::{self, Join};
use joins::Joins;
use scripts::Scripts;

/// Users of one script call; Lua unpacks no more than some thousands.
const CALL_MAX: usize = 1_000;

pub struct RedisQueue {
    redis: Redis,
    scripts: Scripts,
    joining: Together<Joins>,
}

impl RedisQueue {
    /// Must be called within a tokio runtime: it starts the task that joins.
    #[must_use]
    pub fn new(redis: Redis, settings: &Settings) -> Self {
        let scripts = Scripts::new();
        let joins = Joins {
            redis: redis.clone(),
            script: scripts.join.clone(),
        };
        Self {
            redis,
            scripts,
            joining: joining::start(settings, joins),
        }
    }

    /// A script that may be loaded by whoever needs it.
    async fn call(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
    ) -> Result<Vec<String>, Error> {
        let mut call = script.evalsha(keys);
        call.arg(arguments);
        Ok(self.redis.call(script, &call).await?)
    }

    /// A script whose absence means that the server is another.
    async fn guarded(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
    ) -> Result<Vec<String>, Error> {
        let mut call = script.evalsha(keys);
        call.arg(arguments);
        Ok(self.redis.query(&call).await?)
    }

    /// A script that answers a number.
    async fn flag(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
    ) -> Result<bool, Error> {
        let mut call = script.evalsha(keys);
        call.arg(arguments);
        let done: i64 = self.redis.call(script, &call).await?;
        Ok(done == 1)
    }
}

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        match error {
            super::Error::NoScript => Self::Different,
            super::Error::Unavailable(text) => Self::Unavailable(text),
            super::Error::Setting(text) | super::Error::Failed(text) => Self::Failed(text),
        }
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn join(&self, coupon: CouponId, user: UserId, now_us: i64) -> Result<Joined, Error> {
        let join = Join {
            coupon,
            user,
            now_us,
        };
        joining::join(&self.joining, join).await
    }

    async fn standings(
        &self,
        coupon: CouponId,
        users: &[UserId],
    ) -> Result<Option<Standings>, Error> {
        let keys = [
            keys::meta(coupon),
            keys::members(coupon),
            keys::results(coupon),
        ];
        let mut found: Option<Standings> = None;
        let none: &[UserId] = &[];
        let chunks = users.chunks(CALL_MAX);
        for users in chunks.chain(users.is_empty().then_some(none)) {
            let users: Vec<String> = users.iter().map(UserId::to_string).collect();
            let answer = self.call(&self.scripts.standings, &keys, &users).await?;
            if answer.is_empty() {
                return Ok(None);
            }
            let standings = found.get_or_insert(Standings {
                epoch: 0,
                base: 0,
                last: 0,
                entries: Vec::new(),
            });
            standings.epoch = number(&answer, 0)?;
            standings.base = number(&answer, 1)?;
            standings.last = number(&answer, 2)?;
            for pair in answer[3..].chunks_exact(2) {
                standings.entries.push(entry(&pair[0], &pair[1])?);
            }
        }
        Ok(found)
    }

    async fn refresh(&self, terms: &Terms) -> Result<Known, Error> {
        let arguments = [
            terms.range.epoch.to_string(),
            terms.range.slots.to_string(),
            terms.claim_from_us.to_string(),
            terms.claim_to_us.to_string(),
            keep_ms(terms),
            terms.state.word().to_owned(),
            terms.version.to_string(),
        ];
        let keys = keys::all(terms.coupon);
        let answer = self.call(&self.scripts.refresh, &keys, &arguments).await?;
        match word(&answer)? {
            "missing" => Ok(Known::Missing),
            "recovering" => Ok(Known::Recovering),
            "older" => Ok(Known::Older),
            "newer" => Ok(Known::Newer),
            "current" => Ok(Known::Current(Depth {
                waiting: number(&answer, 1)?,
                leased: number(&answer, 2)?,
                unsettled: number(&answer, 3)?,
            })),
            other => Err(strange(other)),
        }
    }

    async fn shrink(&self, coupon: CouponId, slots: i64) -> Result<Result<(), i64>, Error> {
        let keys = [keys::meta(coupon)];
        let answer = self
            .call(&self.scripts.shrink, &keys, &[slots.to_string()])
            .await?;
        match answer.is_empty() {
            true => Ok(Ok(())),
            false => Ok(Err(number(&answer, 0)?)),
        }
    }

    async fn lease(&self, ask: Ask<'_>) -> Result<Leased, Error> {
        let lease_us = i64::try_from(ask.lease_ms).unwrap_or(i64::MAX / 1_000) * 1_000;
        let arguments = [
            ask.owner.to_owned(),
            ask.now_us.to_string(),
            ask.now_us.saturating_add(lease_us).to_string(),
            ask.entries_max.to_string(),
            ask.unsettled_max.to_string(),
        ];
        let keys = keys::all(ask.coupon);
        let answer = self.guarded(&self.scripts.lease, &keys, &arguments).await?;
        match word(&answer)? {
            "nothing" => return Ok(Leased::Nothing),
            "busy" => return Ok(Leased::Busy),
            "leased" => {}
            other => return Err(strange(other)),
        }
        let mut entries = Vec::with_capacity(answer.len() / 2);
        for pair in answer[3..].chunks_exact(2) {
            let (sequence, joined_us) = member(&pair[1])?;
            entries.push(Waiting {
                user: user(&pair[0])?,
                sequence,
                joined_us,
            });
        }
        if entries.is_empty() {
            return Ok(Leased::Nothing);
        }
        Ok(Leased::Some(Lease {
            coupon: ask.coupon,
            epoch: number(&answer, 1)?,
            token: number(&answer, 2)?,
            entries,
        }))
    }

    async fn acknowledge(&self, lease: &Lease, users: &[UserId]) -> Result<bool, Error> {
        let keys = [keys::meta(lease.coupon), keys::leased(lease.coupon)];
        for users in users.chunks(CALL_MAX) {
            let mut arguments = vec![lease.token.to_string()];
            arguments.extend(users.iter().map(UserId::to_string));
            if !self
                .flag(&self.scripts.acknowledge, &keys, &arguments)
                .await?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn give_back(&self, coupon: CouponId, numbers: &[(UserId, i64)]) -> Result<(), Error> {
        let keys = keys::all(coupon);
        for numbers in numbers.chunks(CALL_MAX) {
            let pairs = numbers.iter();
            let pairs = pairs.flat_map(|(user, sequence)| [user.to_string(), sequence.to_string()]);
            let arguments: Vec<String> = pairs.collect();
            self.flag(&self.scripts.give_back, &keys, &arguments)
                .await?;
        }
        Ok(())
    }

    async fn resign(&self, coupon: CouponId, owner: &str) -> Result<(), Error> {
        let keys = [keys::meta(coupon)];
        self.flag(&self.scripts.resign, &keys, &[owner.to_owned()])
            .await
            .map(drop)
    }

    async fn settle(&self, coupon: CouponId, results: &[Settled]) -> Result<(), Error> {
        let keys = keys::all(coupon);
        for results in results.chunks(CALL_MAX) {
            let words = results.iter().flat_map(|settled| {
                [
                    settled.user.to_string(),
                    settled.sequence.to_string(),
                    settled.settlement.word(),
                ]
            });
            let arguments: Vec<String> = words.collect();
            self.flag(&self.scripts.settle, &keys, &arguments).await?;
        }
        Ok(())
    }

    async fn incarnation(&self) -> Result<Incarnation, Error> {
        let mut exists = ::redis::cmd("SCRIPT");
        exists.arg("EXISTS");
        for script in self.scripts.guarded() {
            exists.arg(script.sha());
        }
        let held: Vec<i64> = self.redis.query(&exists).await?;
        Ok(Incarnation {
            id: self.redis.run_id().await?,
            ready: held.iter().all(|held| *held == 1),
        })
    }

    async fn reopen(&self, coupons: &[CouponId]) -> Result<String, Error> {
        rebuild::reopen(&self.redis, &self.scripts, coupons).await
    }

    async fn suspend(&self, coupon: CouponId) -> Result<(), Error> {
        let keys = [keys::meta(coupon)];
        self.flag(&self.scripts.suspend, &keys, &[]).await.map(drop)
    }

    async fn rebuild(&self, terms: &Terms, holders: &[Holder]) -> Result<(), Error> {
        rebuild::rebuild(&self.redis, &self.scripts, terms, holders).await
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(self.redis.ping().await?)
    }
}

/// PEXPIREAT counts in milliseconds.
fn keep_ms(terms: &Terms) -> String {
    (terms.keep_until_us / 1_000).to_string()
}

fn word(answer: &[String]) -> Result<&str, Error> {
    text(answer, 0)
}

fn text(answer: &[String], at: usize) -> Result<&str, Error> {
    answer
        .get(at)
        .map(String::as_str)
        .ok_or_else(|| strange("an answer that is too short"))
}

fn number<T: std::str::FromStr>(answer: &[String], at: usize) -> Result<T, Error> {
    let text = text(answer, at)?;
    text.parse().map_err(|_| strange(text))
}

fn user(text: &str) -> Result<UserId, Error> {
    text.parse().map_err(|_| strange(text))
}

fn settlement(word: &str) -> Result<Settlement, Error> {
    Settlement::from_word(word).ok_or_else(|| strange(word))
}

/// The number and the instant of the join, in microseconds.
fn member(text: &str) -> Result<(i64, i64), Error> {
    let numbers = text.split_once(':').and_then(|(sequence, joined_us)| {
        let numbers = (sequence.parse().ok()?, joined_us.parse().ok()?);
        Some(numbers)
    });
    numbers.ok_or_else(|| strange(text))
}

/// A member's sequence and result, each empty where there is none.
fn entry(sequence: &str, result: &str) -> Result<Option<Entry>, Error> {
    if sequence.is_empty() {
        return Ok(None);
    }
    let settled = match result {
        "" => None,
        word => Some(settlement(word)?),
    };
    Ok(Some(Entry {
        sequence: sequence.parse().map_err(|_| strange(sequence))?,
        settled,
    }))
}

fn strange(what: &str) -> Error {
    Error::Failed(format!("the coupon queue holds {what:?}"))
}
