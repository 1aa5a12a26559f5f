//! An outbox in memory whose failures and leases a test scripts. Its clock is tokio's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use messaging::outbox::{Depth, Error, Event, Lease, Packing, Page, Row, Store};
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

struct Given {
    owner: String,
    token: i64,
    until: Instant,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<(i32, Uuid), Row>,
    leases: HashMap<i32, Given>,
    /// Rows that were there when they were deleted, in order.
    deleted: Vec<Row>,
    away: Option<Box<dyn FnMut(&'static str) -> bool + Send>>,
}

#[derive(Default)]
pub struct FakeStore {
    state: Mutex<State>,
}

pub fn event(n: usize) -> Event {
    Event {
        id: Uuid::now_v7(),
        shard: 0,
        topic: "a".into(),
        key: n.to_string(),
        kind: "kind".into(),
        payload: n.to_string().into(),
        seq: Some(n as i64),
        traceparent: None,
        headers: Vec::new(),
        created_us: 1,
    }
}

pub fn row(n: usize) -> Row {
    event(n).into()
}

/// Events in rows of so many.
pub fn packed(events: impl IntoIterator<Item = Event>, events_max: usize) -> Vec<Row> {
    let packing = Packing {
        events_max,
        ..Packing::default()
    };
    packing.rows(events.into_iter().collect())
}

impl FakeStore {
    pub fn with(rows: impl IntoIterator<Item = Row>) -> Arc<Self> {
        let store = Arc::new(Self::default());
        store.write(rows);
        store
    }

    pub fn write(&self, rows: impl IntoIterator<Item = Row>) {
        let mut state = self.state.lock();
        for row in rows {
            state.rows.insert((row.shard, row.id), row);
        }
    }

    pub fn rows(&self) -> usize {
        self.state.lock().rows.len()
    }

    pub fn holds(&self, id: Uuid) -> bool {
        self.state.lock().rows.keys().any(|(_, held)| *held == id)
    }

    pub fn deleted(&self) -> Vec<Row> {
        self.state.lock().deleted.clone()
    }

    pub fn owner(&self, shard: i32) -> Option<String> {
        let state = self.state.lock();
        let given = state.leases.get(&shard)?;
        (given.until > Instant::now()).then(|| given.owner.clone())
    }

    /// From now on a call of that name fails when the test says so.
    pub fn fail(&self, away: impl FnMut(&'static str) -> bool + Send + 'static) {
        self.state.lock().away = Some(Box::new(away));
    }

    pub fn heal(&self) {
        self.state.lock().away = None;
    }

    /// Another relay takes the shard, whatever its lease says.
    pub fn steal(&self, shard: i32, lasting: Duration) {
        let mut state = self.state.lock();
        let token = state.leases.get(&shard).map_or(0, |given| given.token) + 1;
        let given = Given {
            owner: "thief".into(),
            token,
            until: Instant::now() + lasting,
        };
        state.leases.insert(shard, given);
    }

    fn call(&self, name: &'static str) -> Result<(), Error> {
        let mut state = self.state.lock();
        let fails = state.away.as_mut().is_some_and(|away| away(name));
        if fails {
            return Err(Error::Unavailable(format!("{name} failed")));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn lease(&self, shard: i32, owner: &str, lease_ms: u64) -> Result<Option<Lease>, Error> {
        self.call("lease")?;
        let mut state = self.state.lock();
        let now = Instant::now();
        let held = state.leases.get(&shard);
        if held.is_some_and(|given| given.owner != owner && given.until > now) {
            return Ok(None);
        }
        let token = match held {
            Some(given) if given.owner == owner => given.token,
            Some(given) => given.token + 1,
            None => 1,
        };
        let until = now + Duration::from_millis(lease_ms);
        state.leases.insert(
            shard,
            Given {
                owner: owner.into(),
                token,
                until,
            },
        );
        Ok(Some(Lease {
            shard,
            owner: owner.into(),
            token,
            until_us: 0,
        }))
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.call("release")?;
        let mut state = self.state.lock();
        if let Some(given) = state.leases.get_mut(&lease.shard)
            && given.token == lease.token
        {
            given.until = Instant::now();
        }
        Ok(())
    }

    async fn head(
        &self,
        shard: i32,
        after: Option<Uuid>,
        limit: u32,
        except: &HashSet<Uuid>,
    ) -> Result<Page, Error> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.call("head")?;
        let state = self.state.lock();
        let from = (shard, after.unwrap_or(Uuid::nil()));
        let to = (shard, Uuid::max());
        let rows = state.rows.range((
            std::ops::Bound::Excluded(from),
            std::ops::Bound::Included(to),
        ));
        let looked_at: Vec<&Row> = rows.map(|(_, row)| row).take(limit as usize).collect();
        let wanted = looked_at.iter().filter(|row| !except.contains(&row.id));
        Ok(Page {
            rows: wanted.map(|row| (*row).clone()).collect(),
            last: looked_at.last().map(|row| row.id),
            end: looked_at.len() < limit as usize,
        })
    }

    async fn delete(&self, lease: &Lease, ids: &[Uuid]) -> Result<(), Error> {
        self.call("delete")?;
        let mut state = self.state.lock();
        if state
            .leases
            .get(&lease.shard)
            .is_none_or(|given| given.token != lease.token)
        {
            return Err(Error::Fenced { shard: lease.shard });
        }
        for id in ids {
            if let Some(row) = state.rows.remove(&(lease.shard, *id)) {
                state.deleted.push(row);
            }
        }
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.call("depth")?;
        let rows = &self.state.lock().rows;
        Ok(Depth {
            events: rows.values().map(|row| row.events.len() as u64).sum(),
            oldest_us: 0,
            shards: rows.keys().next_back().map_or(0, |(shard, _)| shard + 1),
        })
    }
}
