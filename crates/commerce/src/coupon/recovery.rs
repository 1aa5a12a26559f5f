//! When the queue's server came back different: joins stand still, the topic drains, each campaign starts a new epoch above every
//! number that may have been given out. One process at a time, by a lease in the database. Part of the scheduler.

use std::time::Duration;

use tokio::time::Instant;

use super::model::Campaign;
use super::queue::Known;
use super::scheduler::{Error, Scheduler};
use crate::ids::CouponId;

const DRAIN_POLL_MS: u64 = 50;

impl Scheduler {
    /// Whether the queue's server is the one it was made ready on, and ready. If not, makes it so, unless another process is at it.
    ///
    /// # Errors
    /// Those of the stores; to be repeated as a whole.
    pub(super) async fn ensure_ready(&self) -> Result<bool, Error> {
        let seen = self.queue.incarnation().await?;
        let known = self.store.incarnation().await?;
        if seen.ready && known.as_ref() == Some(&seen.id) {
            return Ok(true);
        }
        let settings = &self.settings;
        if !self
            .store
            .lease_recovery(&self.owner, settings.recovery_lease_ms)
            .await?
        {
            return Ok(false);
        }
        // No queue was ever ready: nobody can have joined, and nothing can have been lost. That is noted before anybody can, so
        // that a loss from now on is seen.
        let first = known.is_none();
        if first && !self.note_first(&seen.id).await? {
            return Ok(false);
        }
        let campaigns = self.live().await?;
        if !first {
            tracing::warn!(
                campaigns = campaigns.len(),
                "the coupon queue's server came back different: recovering"
            );
        }
        let coupons: Vec<CouponId> = match first {
            true => Vec::new(),
            false => campaigns.iter().map(|campaign| campaign.id).collect(),
        };
        let incarnation = self.queue.reopen(&coupons).await?;
        if first && incarnation != seen.id {
            return Ok(false);
        }
        if !first && campaigns.iter().any(|campaign| campaign.opened_epoch > 0) {
            self.drain().await?;
        }
        for campaign in &campaigns {
            self.store
                .lease_recovery(&self.owner, settings.recovery_lease_ms)
                .await?;
            self.reopen(campaign, first).await?;
        }
        if !self.store.recovered(&self.owner, &incarnation).await? {
            tracing::warn!("the right to recover was lost meanwhile: recovering again");
            return Ok(false);
        }
        metrics::counter!("madang_coupon_queue_recoveries_total").increment(1);
        Ok(true)
    }

    /// One campaign that a ready queue does not know as it should: never told, lost, or left half recovered.
    pub(super) async fn heal(&self, campaign: &Campaign) -> Result<(), Error> {
        if campaign.opened_epoch == 0 {
            self.opening.first(campaign.id).await?;
            return Ok(());
        }
        // A join may be bringing it in at this moment: it is lost only if it is missed twice.
        let again = (campaign.id, campaign.range.epoch);
        if !self.missed.lock().contains(&again) {
            return Ok(());
        }
        let settings = &self.settings;
        if !self
            .store
            .lease_recovery(&self.owner, settings.recovery_lease_ms)
            .await?
        {
            return Ok(());
        }
        self.queue.suspend(campaign.id).await?;
        self.drain().await?;
        self.opening.again(campaign.id).await?;
        if let Some(incarnation) = self.store.incarnation().await? {
            self.store.recovered(&self.owner, &incarnation).await?;
        }
        Ok(())
    }

    async fn note_first(&self, incarnation: &str) -> Result<bool, Error> {
        let lease_ms = self.settings.recovery_lease_ms;
        Ok(self.store.recovered(&self.owner, incarnation).await?
            && self.store.lease_recovery(&self.owner, lease_ms).await?)
    }

    async fn reopen(&self, campaign: &Campaign, first: bool) -> Result<(), Error> {
        let opened = campaign.opened_epoch > 0;
        if !opened && self.opening.first(campaign.id).await? {
            return Ok(());
        }
        if first {
            // It is in this very server, or on its way there; if it is not, `heal` will find it missing.
            return Ok(());
        }
        if !opened {
            // A join has brought it in since the campaigns were read: into this very server, where it was not suspended.
            let terms = self.opening.terms(campaign);
            if matches!(self.queue.refresh(&terms).await?, Known::Current(_)) {
                return Ok(());
            }
        }
        self.opening.again(campaign.id).await?;
        Ok(())
    }

    /// Waits until the issuing consumers have read what is on the topic now, so that nobody with a place there is refused
    /// for its old epoch. They may be away: it does not wait for ever.
    async fn drain(&self) -> Result<(), Error> {
        let topic = &self.settings.dress.topic;
        let ends = match self.log.watermarks(topic).await {
            Err(messaging::log::Error::UnknownTopic(_)) => return Ok(()),
            ends => ends?,
        };
        let until = Instant::now() + Duration::from_millis(self.settings.drain_max_ms);
        loop {
            let committed = self.log.committed(&self.settings.group, topic).await?;
            let behind = ends.iter().any(|end| {
                let at = committed.iter().find(|(p, _)| *p == end.partition);
                let at = at.and_then(|(_, offset)| *offset).unwrap_or(0);
                end.high > end.low && at < end.high
            });
            if !behind {
                return Ok(());
            }
            if Instant::now() >= until {
                tracing::warn!(
                    topic,
                    group = self.settings.group,
                    "not drained in time: messages of the old epoch will be refused"
                );
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(DRAIN_POLL_MS)).await;
        }
    }
}
