//! What a consumer has already counted: one bit an event number in blocks of 65,536, or the id of a foreign event.
//! A note is written in the transaction of the effect it stands for; by itself it decides nothing.
//! Called by the stores of consumers; the janitor prunes foreign notes; the audit reads.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use messaging::envelope::Identity;
use sea_orm::{ConnectionTrait, Value};

use super::dialect::{chunks, list, padded, rows};
use super::{Database, Dialect, Error, Transaction};

/// Event numbers a block.
pub const BLOCK: i64 = 65_536;
const BLOCK_BYTES: usize = 8_192;
/// Ids or blocks a statement.
const CHUNK_MAX: usize = 256;

/// Notes these events for the consumer and says of each whether it is new. An event that occurs twice among them is new
/// the first time. `now_us` dates foreign notes.
///
/// # Errors
/// Those of the statements; `Error::Conflict` when another transaction noted one of them meanwhile: run the whole again.
pub async fn mark(
    tx: &Transaction,
    dialect: Dialect,
    consumer: &str,
    identities: &[Identity],
    now_us: i64,
) -> Result<Vec<bool>, Error> {
    let mut fresh = vec![false; identities.len()];
    for (block, members) in by_block(identities) {
        let mut bits = lock_block(tx, dialect, consumer, block).await?;
        let mut changed = false;
        for (index, bit) in members {
            if !get(&bits, bit) {
                set(&mut bits, bit);
                fresh[index] = true;
                changed = true;
            }
        }
        if changed {
            let sql = "UPDATE consumer_notes SET bits = ? WHERE consumer = ? AND block = ?";
            let values = vec![bits.into(), consumer.into(), block.into()];
            tx.execute_raw(dialect.statement(sql, values)).await?;
        }
    }
    mark_foreign(tx, dialect, consumer, identities, now_us, &mut fresh).await?;
    Ok(fresh)
}

/// Says of each event whether the consumer has noted it. Locks nothing: only for reports, and where a repeat does no harm.
///
/// # Errors
/// Those of the statements.
pub async fn seen(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    consumer: &str,
    identities: &[Identity],
) -> Result<Vec<bool>, Error> {
    let blocks = by_block(identities);
    let numbers: Vec<i64> = blocks.keys().copied().collect();
    let mut noted = vec![false; identities.len()];
    for chunk in numbers.chunks(CHUNK_MAX) {
        let asked = padded(chunk);
        let sql = format!(
            "SELECT block, bits FROM consumer_notes WHERE consumer = ? AND block IN ({})",
            list(asked.len())
        );
        let values = std::iter::once(consumer.into())
            .chain(asked.into_iter().map(Value::from))
            .collect();
        let found = connection
            .query_all_raw(dialect.statement(sql, values))
            .await?;
        for row in found {
            let (block, bits): (i64, Vec<u8>) = (row.try_get_by(0)?, row.try_get_by(1)?);
            check_length(&bits)?;
            for (index, bit) in blocks.get(&block).into_iter().flatten() {
                noted[*index] = get(&bits, *bit);
            }
        }
    }
    let ids = foreign(identities);
    let found = find_foreign(connection, dialect, consumer, &ids).await?;
    for (index, identity) in identities.iter().enumerate() {
        if let Identity::Foreign(id) = identity {
            noted[index] = found.contains(id.as_bytes());
        }
    }
    Ok(noted)
}

/// Removes foreign notes from before `before_us`, at most `batch_max` at a time, until none is left; says how many.
/// An event older than that which is delivered again would count again: keep them longer than the topics keep records.
///
/// # Errors
/// Those of the statements.
pub async fn prune_foreign(db: &Database, before_us: i64, batch_max: u32) -> Result<u64, Error> {
    let mut removed = 0;
    loop {
        let select = db.statement(
            "SELECT consumer, event_id FROM consumer_foreign_notes WHERE noted_us < ? ORDER BY noted_us LIMIT ?",
            vec![before_us.into(), batch_max.max(1).into()],
        );
        let old = db.writer().query_all_raw(select).await?;
        if old.is_empty() {
            return Ok(removed);
        }
        let mut by_consumer: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for row in old {
            by_consumer
                .entry(row.try_get_by(0)?)
                .or_default()
                .push(row.try_get_by(1)?);
        }
        for (consumer, ids) in by_consumer {
            for chunk in ids.chunks(CHUNK_MAX) {
                removed += delete_foreign(db, &consumer, chunk).await?;
            }
        }
    }
}

async fn delete_foreign(db: &Database, consumer: &str, ids: &[Vec<u8>]) -> Result<u64, Error> {
    let asked = padded(ids);
    let sql = format!(
        "DELETE FROM consumer_foreign_notes WHERE consumer = ? AND event_id IN ({})",
        list(asked.len())
    );
    let values = std::iter::once(consumer.into())
        .chain(asked.into_iter().map(Value::from))
        .collect();
    let done = db.writer().execute_raw(db.statement(sql, values)).await?;
    Ok(done.rows_affected())
}

/// Numbered events by their block, ascending: index among `identities` and bit within the block.
fn by_block(identities: &[Identity]) -> BTreeMap<i64, Vec<(usize, usize)>> {
    let mut blocks: BTreeMap<i64, Vec<(usize, usize)>> = BTreeMap::new();
    for (index, identity) in identities.iter().enumerate() {
        if let Identity::Seq(number) = identity {
            let bit = usize::try_from(number.rem_euclid(BLOCK)).unwrap_or_default();
            blocks
                .entry(number.div_euclid(BLOCK))
                .or_default()
                .push((index, bit));
        }
    }
    blocks
}

fn foreign(identities: &[Identity]) -> BTreeSet<&[u8]> {
    identities
        .iter()
        .filter_map(|identity| match identity {
            Identity::Foreign(id) => Some(id.as_bytes()),
            Identity::Seq(_) => None,
        })
        .collect()
}

fn get(bits: &[u8], bit: usize) -> bool {
    bits[bit / 8] & (1 << (bit % 8)) != 0
}

fn set(bits: &mut [u8], bit: usize) {
    bits[bit / 8] |= 1 << (bit % 8);
}

fn check_length(bits: &[u8]) -> Result<(), Error> {
    if bits.len() == BLOCK_BYTES {
        Ok(())
    } else {
        Err(Error::Other(format!(
            "a block of consumer_notes has {} bytes, not {BLOCK_BYTES}",
            bits.len()
        )))
    }
}

/// The block's bits, its row locked; an empty row is made where there is none.
async fn lock_block(
    tx: &Transaction,
    dialect: Dialect,
    consumer: &str,
    block: i64,
) -> Result<Vec<u8>, Error> {
    let select = format!(
        "SELECT bits FROM consumer_notes WHERE consumer = ? AND block = ?{}",
        dialect.for_update()
    );
    let select = dialect.statement(select, vec![consumer.into(), block.into()]);
    let row = match tx.query_one_raw(select.clone()).await? {
        Some(row) => Some(row),
        None => {
            // An upsert waits for another transaction that makes the same row, and locks what it finds.
            let insert = format!(
                "INSERT INTO consumer_notes (consumer, block, bits) VALUES (?, ?, ?) {} bits = consumer_notes.bits",
                dialect.on_conflict("consumer, block")
            );
            let values = vec![consumer.into(), block.into(), vec![0; BLOCK_BYTES].into()];
            tx.execute_raw(dialect.statement(insert, values)).await?;
            tx.query_one_raw(select).await?
        }
    };
    let row = row.ok_or_else(|| Error::guard("a block of consumer_notes"))?;
    let bits: Vec<u8> = row.try_get_by(0)?;
    check_length(&bits)?;
    Ok(bits)
}

async fn mark_foreign(
    tx: &Transaction,
    dialect: Dialect,
    consumer: &str,
    identities: &[Identity],
    now_us: i64,
    fresh: &mut [bool],
) -> Result<(), Error> {
    let ids = foreign(identities);
    if ids.is_empty() {
        return Ok(());
    }
    let found = find_foreign(tx, dialect, consumer, &ids).await?;
    let missing: Vec<&[u8]> = ids.into_iter().filter(|id| !found.contains(*id)).collect();
    let mut rest = missing.as_slice();
    for size in chunks(missing.len(), CHUNK_MAX) {
        let (piece, tail) = rest.split_at(size);
        rest = tail;
        let sql = format!(
            "INSERT INTO consumer_foreign_notes (consumer, event_id, noted_us) VALUES {}",
            rows(size, 3)
        );
        let values = piece
            .iter()
            .flat_map(|id| [consumer.into(), id.to_vec().into(), now_us.into()])
            .collect();
        tx.execute_raw(dialect.statement(sql, values))
            .await
            .map_err(|e| match Error::from(e) {
                Error::Duplicate(key) => Error::Conflict(key),
                other => other,
            })?;
    }
    let mut missing: HashSet<&[u8]> = missing.into_iter().collect();
    for (index, identity) in identities.iter().enumerate() {
        if let Identity::Foreign(id) = identity {
            fresh[index] = missing.remove(id.as_bytes());
        }
    }
    Ok(())
}

async fn find_foreign(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    consumer: &str,
    ids: &BTreeSet<&[u8]>,
) -> Result<HashSet<Vec<u8>>, Error> {
    let ids: Vec<&[u8]> = ids.iter().copied().collect();
    let mut found = HashSet::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK_MAX) {
        let asked = padded(chunk);
        let sql = format!(
            "SELECT event_id FROM consumer_foreign_notes WHERE consumer = ? AND event_id IN ({})",
            list(asked.len())
        );
        let values = std::iter::once(consumer.into())
            .chain(asked.into_iter().map(|id| Value::from(id.to_vec())))
            .collect();
        for row in connection
            .query_all_raw(dialect.statement(sql, values))
            .await?
        {
            found.insert(row.try_get_by(0)?);
        }
    }
    Ok(found)
}
