//! What every feature stands on: reserved numbers, idempotency records, consumers' deduplication notes.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let d = super::dialect(manager);
        let end = d.table_options();
        let statements = vec![
            format!(
                "CREATE TABLE id_blocks (
                    name {name} NOT NULL PRIMARY KEY,
                    next_value BIGINT NOT NULL
                ){end}",
                name = d.ascii(64)
            ),
            // scope: SHA-256 of caller, method, path and key. request_hash: SHA-256 of query and body.
            format!(
                "CREATE TABLE idempotency (
                    scope BINARY(32) NOT NULL PRIMARY KEY,
                    request_hash BINARY(32) NOT NULL,
                    status SMALLINT NOT NULL,
                    location VARCHAR(255) NULL,
                    body {blob} NOT NULL,
                    created_us BIGINT NOT NULL
                ){end}",
                blob = d.blob()
            ),
            "CREATE INDEX idempotency_created ON idempotency (created_us)".to_owned(),
            // One bit an event number: bit n % 65536 of block n / 65536, least significant bit of a byte first.
            format!(
                "CREATE TABLE consumer_notes (
                    consumer {name} NOT NULL,
                    block BIGINT NOT NULL,
                    bits {blob} NOT NULL,
                    PRIMARY KEY (consumer, block)
                ){end}",
                name = d.ascii(64),
                blob = d.blob()
            ),
            // event_id: the id's UTF-8 bytes; as text, MySQL would take ids for equal that differ in blanks at the end.
            format!(
                "CREATE TABLE consumer_foreign_notes (
                    consumer {name} NOT NULL,
                    event_id VARBINARY(300) NOT NULL,
                    noted_us BIGINT NOT NULL,
                    PRIMARY KEY (consumer, event_id)
                ){end}",
                name = d.ascii(64)
            ),
        ];
        super::run(manager, statements).await
    }
}
