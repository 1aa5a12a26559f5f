//! The data platform's receipts are notes of the consumer `data-platform` in the foundation's tables;
//! what is added here is the index that old foreign notes are pruned by.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = vec![
            "CREATE INDEX consumer_foreign_notes_noted ON consumer_foreign_notes (noted_us)"
                .to_owned(),
        ];
        super::run(manager, statements).await
    }
}
