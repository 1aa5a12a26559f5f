//! How many events a row of the outbox holds. One: its columns show it. Several: they are its payload, in JSON.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = "ALTER TABLE outbox ADD COLUMN events SMALLINT NOT NULL DEFAULT 1";
        super::run(manager, vec![column.to_owned()]).await
    }
}
