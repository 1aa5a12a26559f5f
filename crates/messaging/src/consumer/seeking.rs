//! Going back in a partition, until it has worked: the log may be away, or may have done it without being able to say so.
//! Where to, the worker has said. Part of the member.

use std::sync::atomic::Ordering;

use super::member::{Member, Report};
use super::worker::End;
use crate::log::Error;
use crate::record::TopicPartition;

impl Member {
    /// Reads the partition again from the offset.
    pub(super) async fn seek(&mut self, partition: TopicPartition, offset: i64) {
        let Some(held) = self.partitions.get_mut(&partition) else {
            return;
        };
        let Some(membership) = self.membership.as_mut() else {
            return;
        };
        held.rewinds = held.rewinds.saturating_add(1);
        held.progress.store(offset, Ordering::Release);
        let consumer = &self.shared.settings.name;
        match membership.seek(&partition, offset).await {
            Ok(()) => {
                tracing::warn!(consumer, %partition, offset, "reading again from here");
            }
            // No batch of it is out: an earlier try has worked, or the partition is on its way to another member.
            Err(Error::Refused(reason)) => {
                tracing::warn!(consumer, %partition, offset, reason, "not sought once more");
            }
            Err(error) => self.seek_later(partition, offset, &error),
        }
    }

    fn seek_later(&mut self, partition: TopicPartition, offset: i64, error: &Error) {
        let Some(held) = self.partitions.get_mut(&partition) else {
            return;
        };
        let settings = &self.shared.settings;
        tracing::error!(consumer = settings.name, %partition, offset, %error, "cannot seek, trying again");
        let wait = settings.backoff.delay(held.rewinds);
        self.generations += 1;
        let generation = self.generations;
        held.generation = generation;
        held.worker = Some(self.workers.spawn(async move {
            tokio::time::sleep(wait).await;
            Report {
                partition,
                generation,
                end: End::Seek(offset),
            }
        }));
    }
}
