//! The outbox and the leases of its shards. `outbox` is inserted into and deleted from, never updated, and its columns
//! `id`, `aggregatetype`, `aggregateid`, `type`, `payload` are those that Debezium's outbox router reads.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let d = super::dialect(manager);
        let end = d.table_options();
        let statements = vec![
            // The key comes first by shard: each shard's owner reads and deletes its own end of the table.
            format!(
                "CREATE TABLE outbox (
                    shard SMALLINT NOT NULL,
                    id {id} NOT NULL,
                    aggregatetype {topic} NOT NULL,
                    aggregateid VARCHAR(255) NOT NULL,
                    type VARCHAR(100) NOT NULL,
                    payload {text} NOT NULL,
                    headers {text} NULL,
                    seq BIGINT NULL,
                    traceparent {trace} NULL,
                    created_us BIGINT NOT NULL,
                    PRIMARY KEY (shard, id)
                ){end}",
                id = d.ascii_fixed(36),
                topic = d.ascii(249),
                text = d.text(),
                trace = d.ascii(55),
            ),
            // token rises with every change of owner; until_us is by the database's clock.
            format!(
                "CREATE TABLE outbox_leases (
                    shard SMALLINT NOT NULL PRIMARY KEY,
                    owner VARCHAR(100) NOT NULL,
                    token BIGINT NOT NULL,
                    until_us BIGINT NOT NULL
                ){end}"
            ),
        ];
        super::run(manager, statements).await
    }
}
