//! The ranking boards on Redis: a public sorted set a day, private keys beside it, one script a step.
//! The scripts beside this file say what the keys hold; what counts on which day is decided in `commerce`.
//! The binary builds it where `redis.url` is set.

mod answers;
mod compared;

use std::sync::LazyLock;

use ::redis::{Cmd, Pipeline};
use async_trait::async_trait;
use commerce::ids::ProductId;
use commerce::ranking::model::{Entry, Place, Position, Standing};
use commerce::ranking::ports::{Applied, Board, Comparison, Counted, Error, Read, Shadow};
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use messaging::envelope::Identity;

use self::compared::{Compared, Next, TOGETHER};
use super::{Redis, Script};

/// Event numbers whose bits lie in one key.
const BLOCK: i64 = 65_536;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Before the day in the public keys; ends with a colon by habit.
    pub prefix: String,
    /// Days before today that keep their boards; the ranking service's own.
    pub retention_days: i32,
    /// A rebuilder that feeds nothing for so long has lost its shadow.
    pub lease_ms: u64,
    /// How long the sum of several days is kept.
    pub window_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: "product:ranking:".into(),
            retention_days: 35,
            lease_ms: 30_000,
            window_ms: 1_000,
        }
    }
}

struct Scripts {
    apply: Script,
    open: Script,
    feed: Script,
    flip: Script,
    compare: Script,
    discard: Script,
    top: Script,
    rank: Script,
}

static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| {
    macro_rules! script {
        ($($file:literal),+) => {
            Script::new(concat!(include_str!("sheet.lua"), $(include_str!($file)),+))
        };
    }
    Scripts {
        apply: script!("apply.lua"),
        open: script!("open.lua"),
        feed: script!("feed.lua"),
        flip: script!("flip.lua"),
        compare: script!("compare.lua"),
        discard: script!("discard.lua"),
        top: script!("window.lua", "top.lua"),
        rank: script!("window.lua", "rank.lua"),
    }
});

#[derive(Clone)]
pub struct RedisBoard {
    redis: Redis,
    settings: Settings,
}

impl RedisBoard {
    #[must_use]
    pub fn new(redis: Redis, settings: Settings) -> Self {
        Self { redis, settings }
    }

    /// The public key of a day.
    #[must_use]
    pub fn key(&self, day: Date) -> String {
        format!("{}{day}", self.settings.prefix)
    }

    /// Offset after the last record that counts, by partition.
    fn places(&self) -> String {
        format!("madang:ranking-places:{{{}}}", self.settings.prefix)
    }

    fn window(&self, days: &[Date]) -> String {
        match (days.first(), days.last()) {
            (Some(first), Some(last)) => {
                format!("madang:window:{}{first}:{last}", self.settings.prefix)
            }
            _ => format!("madang:window:{}", self.settings.prefix),
        }
    }

    /// Seconds since the epoch. A day later than the retention says: the shop's day may end after UTC's.
    fn expires_at(&self, day: Date) -> i64 {
        day.checked_add((self.settings.retention_days + 2).days())
            .ok()
            .and_then(|end| end.to_zoned(TimeZone::UTC).ok())
            .map_or(i64::MAX, |end| end.timestamp().as_second())
    }

    /// Longer than any board lives.
    fn places_seconds(&self) -> i64 {
        i64::from(self.settings.retention_days + 3) * 86_400
    }

    async fn run(&self, script: &Script, call: &Cmd) -> Result<Vec<String>, Error> {
        Ok(self.redis.call(script, call).await?)
    }

    async fn check(&self, script: &Script, call: &Cmd, day: Date) -> Result<(), Error> {
        match self.redis.call::<i64>(script, call).await? {
            1 => Ok(()),
            _ => Err(Error::Lost(day)),
        }
    }

    /// The call of a script that reads a window.
    fn reading(&self, script: &Script, days: &[Date], what: i64) -> Cmd {
        let mut keys = vec![self.window(days)];
        keys.extend(days.iter().map(|day| self.key(*day)));
        let mut call = script.evalsha(&keys);
        call.arg(what).arg(self.settings.window_ms.max(1));
        call
    }
}

/// An event's number as the scripts note it: block, and bit in the block.
fn number(call: &mut Cmd, seq: i64) -> &mut Cmd {
    call.arg(seq.div_euclid(BLOCK)).arg(seq.rem_euclid(BLOCK))
}

#[async_trait]
impl Board for RedisBoard {
    async fn apply(&self, entries: &[Entry], at: Option<&Position>) -> Result<Applied, Error> {
        let mut days: Vec<Date> = entries.iter().map(|e| e.day).collect();
        days.sort_unstable();
        days.dedup();
        let mut keys = vec![self.places()];
        keys.extend(days.iter().map(|day| self.key(*day)));
        let mut call = SCRIPTS.apply.evalsha(&keys);
        match at {
            Some(at) => call.arg(&at.partition).arg(at.start).arg(at.next),
            None => call.arg("").arg(0).arg(0),
        };
        call.arg(self.places_seconds());
        for day in &days {
            call.arg(self.expires_at(*day));
        }
        for entry in entries {
            let day = days.partition_point(|day| *day < entry.day) + 1;
            call.arg(day);
            match &entry.identity {
                Identity::Seq(seq) => number(&mut call, *seq),
                Identity::Foreign(id) => call.arg("").arg(id),
            };
            call.arg(entry.product.get());
            call.arg(entry.quantity).arg(entry.amount);
        }
        answers::applied(&self.run(&SCRIPTS.apply, &call).await?)
    }

    async fn place(&self, partition: &str, next: i64) -> Result<(), Error> {
        let mut pipe = Pipeline::new();
        pipe.hset(self.places(), partition, next).ignore();
        pipe.expire(self.places(), self.places_seconds()).ignore();
        Ok(self.redis.pipe(&pipe).await?)
    }

    async fn forget_places(&self) -> Result<(), Error> {
        let mut delete = ::redis::cmd("DEL");
        delete.arg(self.places());
        self.redis.query::<i64>(&delete).await?;
        Ok(())
    }

    async fn known(&self, days: &[Date]) -> Result<Vec<Date>, Error> {
        if days.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = Pipeline::new();
        for day in days {
            pipe.exists(format!("madang:generation:{{{}}}", self.key(*day)));
        }
        let there: Vec<bool> = self.redis.pipe(&pipe).await?;
        let known = days.iter().zip(there).filter(|(_, there)| *there);
        Ok(known.map(|(day, _)| *day).collect())
    }

    async fn top(&self, days: &[Date], n: usize) -> Result<Read<Vec<Standing>>, Error> {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let call = self.reading(&SCRIPTS.top, days, n);
        answers::standings(&self.run(&SCRIPTS.top, &call).await?)
    }

    async fn rank(&self, days: &[Date], product: ProductId) -> Result<Read<Place>, Error> {
        let call = self.reading(&SCRIPTS.rank, days, product.get());
        answers::place(&self.run(&SCRIPTS.rank, &call).await?)
    }

    async fn open(&self, day: Date) -> Result<Option<Shadow>, Error> {
        let token = uuid::Uuid::now_v7().to_string();
        let mut call = SCRIPTS.open.evalsha(&[self.key(day)]);
        call.arg(&token).arg(self.settings.lease_ms.max(1));
        let opened: i64 = self.redis.call(&SCRIPTS.open, &call).await?;
        Ok((opened == 1).then_some(Shadow {
            day,
            token,
            pages: 0,
        }))
    }

    async fn feed(&self, shadow: &mut Shadow, page: &[Counted]) -> Result<(), Error> {
        let mut call = SCRIPTS.feed.evalsha(&[self.key(shadow.day)]);
        call.arg(&shadow.token)
            .arg(shadow.pages)
            .arg(shadow.pages + 1)
            .arg(self.settings.lease_ms.max(1))
            .arg(self.expires_at(shadow.day));
        for counted in page {
            match counted.seq {
                Some(seq) => number(&mut call, seq),
                None => call.arg("").arg(""),
            };
            call.arg(counted.product.get())
                .arg(counted.quantity)
                .arg(counted.amount);
        }
        self.check(&SCRIPTS.feed, &call, shadow.day).await?;
        shadow.pages += 1;
        Ok(())
    }

    async fn flip(&self, shadow: Shadow) -> Result<(), Error> {
        let mut call = SCRIPTS.flip.evalsha(&[self.key(shadow.day)]);
        call.arg(&shadow.token)
            .arg(shadow.pages)
            .arg(self.expires_at(shadow.day));
        self.check(&SCRIPTS.flip, &call, shadow.day).await
    }

    async fn compare(&self, shadow: Shadow, max: usize) -> Result<Comparison, Error> {
        let key = [self.key(shadow.day)];
        let mut compared = Compared::default();
        let mut next = Some(Next::first());
        while let Some(at) = next {
            let mut call = SCRIPTS.compare.evalsha(&key);
            call.arg(&shadow.token)
                .arg(shadow.pages)
                .arg(self.settings.lease_ms.max(1))
                .arg(at.key)
                .arg(&at.cursor)
                .arg(TOGETHER);
            let answer = self.run(&SCRIPTS.compare, &call).await?;
            if answer.is_empty() {
                return Err(Error::Lost(shadow.day));
            }
            next = compared.page(&at, &answer)?;
        }
        self.discard(shadow).await?;
        Ok(compared.told(max))
    }

    async fn discard(&self, shadow: Shadow) -> Result<(), Error> {
        let mut call = SCRIPTS.discard.evalsha(&[self.key(shadow.day)]);
        call.arg(&shadow.token).arg(shadow.pages);
        self.check(&SCRIPTS.discard, &call, shadow.day).await
    }
}
