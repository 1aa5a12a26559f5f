//! What is on its way when the audit looks, and the wait until it has arrived: the outbox's rows of that moment, then the records
//! of each topic that lay there once they were published, then the numbers that the coupon queue had given out. What comes later
//! is not waited for, so a busy shop can be audited. The audit calls it.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use commerce::ids::CouponId;
use futures::future::join_all;
use messaging::consumer::{self, Settings, consumed_topics};
use messaging::log::{Error, EventLog, Watermarks};
use stores::audit::Arrival;
use stores::sql::outbox::Outbox;

use super::{Name, Shop, consumers};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub struct OnItsWay<'a> {
    pub shop: &'a Shop,
    /// Given up then.
    pub until: Instant,
}

impl OnItsWay<'_> {
    /// Waits for all of it; what has not arrived, in words.
    ///
    /// # Errors
    /// A store cannot be asked.
    pub async fn arrive(&self, given_out: &[(CouponId, i64)]) -> anyhow::Result<Vec<String>> {
        let mut pending = self.events(&Name::ALL).await?;
        pending.extend(self.places(given_out).await?);
        Ok(pending)
    }

    /// What these consumers' events lack.
    async fn events(&self, names: &[Name]) -> anyhow::Result<Vec<String>> {
        let mut pending: Vec<String> = self.outbox().await?.into_iter().collect();
        let Some(log) = self.shop.event_log() else {
            return Ok(pending);
        };
        let groups = names.iter().map(|name| {
            let (log, settings) = (&log, consumers::settings(&self.shop.config, *name));
            async move { self.group(log.as_ref(), &settings).await }
        });
        for group in join_all(groups).await {
            pending.extend(group?);
        }
        Ok(pending)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    async fn outbox(&self) -> anyhow::Result<Option<String>> {
        let outbox = Outbox::new(self.shop.database.clone());
        let Some(newest) = outbox.newest().await? else {
            return Ok(None);
        };
        loop {
            let events = outbox.events_up_to(newest).await?;
            if events == 0 {
                return Ok(None);
            }
            if self.is_over() {
                return Ok(Some(format!("outbox: {events} events not published")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A record that fails moves on: each topic's end is read once those before it are passed.
    async fn group(&self, log: &dyn EventLog, settings: &Settings) -> anyhow::Result<Vec<String>> {
        let mut behind = 0;
        let group = &settings.group;
        for topic in consumed_topics(settings) {
            match self.topic(log, settings, &topic).await {
                Ok(records) => behind += records,
                // Nobody has served this shop yet.
                Err(Error::UnknownTopic(_)) => {}
                Err(error) if error.is_transient() => {
                    return Ok(vec![format!("group {group}: the log: {error}")]);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(match behind {
            0 => Vec::new(),
            records => vec![format!("group {group}: {records} records not consumed")],
        })
    }

    /// Records before the topic's present ends that the group has not consumed.
    async fn topic(
        &self,
        log: &dyn EventLog,
        settings: &Settings,
        topic: &str,
    ) -> Result<u64, Error> {
        let mut ends: Option<Vec<Watermarks>> = None;
        loop {
            let asked = async {
                let ends = match ends.take() {
                    Some(ends) => ends,
                    None => consumer::ends(log, settings, topic).await?,
                };
                let lags = consumer::lag_to(log, settings, topic, &ends).await;
                Ok::<_, Error>((ends, lags?))
            };
            match asked.await {
                Ok((marks, lags)) => {
                    let records = lags.iter().map(|at| at.records).sum();
                    if records == 0 || self.is_over() {
                        return Ok(records);
                    }
                    ends = Some(marks);
                }
                // It may be back before the wait is over.
                Err(error) if error.is_transient() && !self.is_over() => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn places(&self, given_out: &[(CouponId, i64)]) -> anyhow::Result<Vec<String>> {
        loop {
            let all = self.shop.features.coupons.audit(given_out).await?;
            let open = all.iter().filter(|facts| facts.undecided > 0);
            let open: Vec<String> = open
                .map(|facts| {
                    format!(
                        "coupon {}: {} places without a result, the first {:?}",
                        facts.coupon, facts.undecided, facts.undecided_first
                    )
                })
                .collect();
            if open.is_empty() || self.is_over() {
                return Ok(open);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[async_trait]
impl Arrival for OnItsWay<'_> {
    async fn on_boards(&self) -> bool {
        match self.events(&[Name::Ranking]).await {
            Ok(pending) => pending.is_empty(),
            Err(error) => {
                tracing::warn!(%error, "cannot tell what the boards lack");
                false
            }
        }
    }
}
