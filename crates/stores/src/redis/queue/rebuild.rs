//! A server that came back different is made ready, and a campaign starts a new epoch from the database and from what is left.
//! The new keys are built beside the old and take their places in one script, so that a crash in between leaves the survivors there.

use std::collections::{HashMap, HashSet};

use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, FromRedisValue, Pipeline};
use commerce::coupon::model::Holder;
use commerce::coupon::queue::{Error, Settlement, Terms};
use commerce::ids::{CouponId, UserId};

use super::super::{Redis, info_server, run_id_of};
use super::scripts::Scripts;
use super::{keep_ms, keys, user};

/// Rows of one round trip.
const PAGE: usize = 1_000;
/// How long half-built keys stay after a crash.
const NEW_TTL_MS: i64 = 600_000;

/// Everything over one connection, which ends when the server does: what was suspended and what takes joins is one server.
pub async fn reopen(
    redis: &Redis,
    scripts: &Scripts,
    coupons: &[CouponId],
) -> Result<String, Error> {
    let mut connection = redis.dedicated().await?;
    let info: String = over(&mut connection, &info_server()).await?;
    let _: String = over(&mut connection, &scripts.suspend.load()).await?;
    for coupons in coupons.chunks(PAGE) {
        let mut commands = ::redis::pipe();
        for coupon in coupons {
            commands.add_command(scripts.suspend.evalsha(&[keys::meta(*coupon)]));
        }
        let done = commands.query_async::<Vec<i64>>(&mut connection).await;
        done.map_err(super::super::Error::from)?;
    }
    for script in scripts.guarded() {
        let _: String = over(&mut connection, &script.load()).await?;
    }
    Ok(run_id_of(&info)?)
}

async fn over<T: FromRedisValue>(
    connection: &mut impl ConnectionLike,
    command: &Cmd,
) -> Result<T, Error> {
    let answer = command.query_async(connection).await;
    Ok(answer.map_err(super::super::Error::from)?)
}

/// What the new epoch starts with.
struct Start {
    /// User, sequence, joined.
    waiting: Vec<(UserId, i64, String)>,
    /// User, sequence, result.
    settled: Vec<(UserId, i64, String)>,
    last: i64,
}

pub async fn rebuild(
    redis: &Redis,
    scripts: &Scripts,
    terms: &Terms,
    holders: &[Holder],
) -> Result<(), Error> {
    let members = hash(redis, &keys::members(terms.coupon)).await?;
    let results = hash(redis, &keys::results(terms.coupon)).await?;
    let start = start(terms, holders, members, &results)?;
    let new = keys::new(terms.coupon, fastrand::u64(..));
    write(redis, &new, &start).await?;
    let mut all = keys::all(terms.coupon).to_vec();
    all.extend(new);
    let mut begin = scripts.begin.evalsha(&all);
    let range = terms.range;
    for number in [range.epoch, range.base, range.slots, start.last] {
        begin.arg(number);
    }
    begin
        .arg(terms.claim_from_us)
        .arg(terms.claim_to_us)
        .arg(keep_ms(terms))
        .arg(terms.state.word())
        .arg(terms.version);
    let begun: i64 = redis.query(&begin).await?;
    if begun == 0 {
        tracing::debug!(
            coupon = terms.coupon.get(),
            epoch = range.epoch,
            "the queue has this epoch already"
        );
    }
    Ok(())
}

/// Holders are settled; whoever has a place and no result is numbered anew in the old order, as far as the range goes.
fn start(
    terms: &Terms,
    holders: &[Holder],
    members: HashMap<String, String>,
    results: &HashMap<String, String>,
) -> Result<Start, Error> {
    let held: HashSet<UserId> = holders.iter().map(|holder| holder.user).collect();
    let mut settled: Vec<(UserId, i64, String)> = holders
        .iter()
        .map(|holder| {
            let word = Settlement::Issued(holder.user_coupon).word();
            (holder.user, holder.sequence, word)
        })
        .collect();
    let mut left = Vec::new();
    for (name, member) in members {
        let id = user(&name)?;
        if held.contains(&id) {
            continue;
        }
        let (sequence, joined) = member.split_once(':').unwrap_or((&member, "0"));
        let sequence: i64 = sequence.parse().map_err(|_| super::strange(&member))?;
        match results.get(&name).map(String::as_str) {
            None => left.push((sequence, id, joined.to_owned())),
            // The database does not know of it: what was issued then was lost there, or never was.
            Some(word) if word.starts_with("issued:") => {}
            Some(word) => settled.push((id, sequence, word.to_owned())),
        }
    }
    left.sort_unstable();
    let mut waiting = Vec::new();
    let mut last = terms.range.base;
    for (sequence, id, joined) in left {
        if last < terms.range.end() {
            last += 1;
            waiting.push((id, last, joined));
        } else {
            settled.push((id, sequence, Settlement::SoldOut.word()));
        }
    }
    Ok(Start {
        waiting,
        settled,
        last,
    })
}

async fn write(redis: &Redis, new: &[String; 3], start: &Start) -> Result<(), Error> {
    let [queue, members, results] = new;
    for page in start.waiting.chunks(PAGE) {
        let mut commands = ::redis::pipe();
        for (user, sequence, joined) in page {
            commands.zadd(queue, user.get(), *sequence).ignore();
            let member = format!("{sequence}:{joined}");
            commands.hset(members, user.get(), member).ignore();
        }
        send(redis, commands, &[queue, members]).await?;
    }
    for page in start.settled.chunks(PAGE) {
        let mut commands = ::redis::pipe();
        for (user, sequence, word) in page {
            let member = format!("{sequence}:0");
            commands.hset(members, user.get(), member).ignore();
            commands.hset(results, user.get(), word).ignore();
        }
        send(redis, commands, &[members, results]).await?;
    }
    Ok(())
}

async fn send(redis: &Redis, mut commands: Pipeline, keys: &[&String]) -> Result<(), Error> {
    for key in keys {
        commands.pexpire(*key, NEW_TTL_MS).ignore();
    }
    Ok(redis.pipe::<()>(&commands).await?)
}

/// A whole hash, read in pages. What changes meanwhile may be seen or not.
async fn hash(redis: &Redis, key: &str) -> Result<HashMap<String, String>, Error> {
    let mut found = HashMap::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = ::redis::cmd("HSCAN");
        scan.arg(key).arg(cursor).arg("COUNT").arg(PAGE);
        let (next, page): (u64, Vec<(String, String)>) = redis.query(&scan).await?;
        found.extend(page);
        if next == 0 {
            return Ok(found);
        }
        cursor = next;
    }
}
