//! What the data platform has received, as notes of its consumer.
//! A receipt follows its delivery and cannot be one step with it: a repeat after a crash carries the same id.
//! Built by the binary for the data platform's handler.

use async_trait::async_trait;
use commerce::answer::StoreError;
use commerce::data_platform::{CONSUMER, Receipts};
use messaging::envelope::Identity;

use super::{Database, Error, follow_up, notes};

pub struct SqlReceipts {
    db: Database,
}

impl SqlReceipts {
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Receipts for SqlReceipts {
    async fn seen(&self, identities: &[Identity]) -> Result<Vec<bool>, StoreError> {
        let seen = notes::seen(self.db.reader(), self.db.dialect(), CONSUMER, identities).await?;
        Ok(seen)
    }

    async fn note(&self, identities: &[Identity], now_us: i64) -> Result<(), StoreError> {
        let dialect = self.db.dialect();
        follow_up::<_, Error, _>(&self.db, "sql.receipts-note", |tx, _| {
            Box::pin(notes::mark(tx, dialect, CONSUMER, identities, now_us))
        })
        .await?;
        Ok(())
    }
}
