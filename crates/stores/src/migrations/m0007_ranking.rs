//! The ranking boards where there is no Redis: counts by day and product, and how far the partitions count.
//! Which events count already is told by consumers' notes, under names of the day's sheets.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let d = super::dialect(manager);
        let end = d.table_options();
        let day = d.ascii(10);
        let statements = vec![
            // generation: the live sheet, 0 before the first. While a rebuild is on, sheet generation + 1 is its shadow:
            // token and the pages fed say whose, until lease_until_us.
            format!(
                "CREATE TABLE ranking_boards (
                    day {day} NOT NULL PRIMARY KEY,
                    generation BIGINT NOT NULL,
                    token {token} NULL,
                    pages BIGINT NOT NULL,
                    lease_until_us BIGINT NOT NULL
                ){end}",
                token = d.ascii(40)
            ),
            // No row where quantity and amount are both 0.
            format!(
                "CREATE TABLE ranking_scores (
                    day {day} NOT NULL,
                    sheet BIGINT NOT NULL,
                    product_id BIGINT NOT NULL,
                    quantity BIGINT NOT NULL,
                    amount BIGINT NOT NULL,
                    PRIMARY KEY (day, sheet, product_id)
                ){end}"
            ),
            format!(
                "CREATE TABLE ranking_places (
                    topic_partition VARCHAR(300) NOT NULL PRIMARY KEY,
                    next_offset BIGINT NOT NULL
                ){end}"
            ),
        ];
        super::run(manager, statements).await
    }
}
