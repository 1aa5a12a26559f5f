//! Orders and their lines. A line is also the stock ledger's row of its sale, and carries the numbers of its product's events.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let d = super::dialect(manager);
        let end = d.table_options();
        let statements = vec![
            // status: COMPLETED or CANCELLED. owes, cancel_owes: which follow-ups by event the sale and the cancel owe,
            // a sum of 1 (ranking), 2 (data platform), 4 (analytics). *_seq: the numbers of those events, owed or not.
            format!(
                "CREATE TABLE orders (
                    id BIGINT NOT NULL PRIMARY KEY,
                    user_id BIGINT NOT NULL,
                    user_coupon_id BIGINT NULL,
                    total_amount BIGINT NOT NULL,
                    discount_amount BIGINT NOT NULL,
                    discounted_amount BIGINT NOT NULL,
                    status {word} NOT NULL,
                    created_us BIGINT NOT NULL,
                    owes SMALLINT NOT NULL,
                    completed_seq BIGINT NOT NULL,
                    data_platform_seq BIGINT NOT NULL,
                    cancelled_us BIGINT NULL,
                    cancel_owes SMALLINT NOT NULL,
                    cancel_completed_seq BIGINT NULL,
                    cancel_data_platform_seq BIGINT NULL
                ){end}",
                word = d.ascii(16)
            ),
            "CREATE INDEX orders_user ON orders (user_id, created_us, id)".to_owned(),
            "CREATE INDEX orders_created ON orders (created_us, id)".to_owned(),
            // An order's lines lie together. ranking_seq, cancel_ranking_seq: on the first line of each product, the numbers
            // of the product's events; lines of one product are merged in those.
            format!(
                "CREATE TABLE order_lines (
                    order_id BIGINT NOT NULL,
                    id BIGINT NOT NULL,
                    product_id BIGINT NOT NULL,
                    product_name VARCHAR(200) NOT NULL,
                    quantity BIGINT NOT NULL,
                    unit_price BIGINT NOT NULL,
                    total_price BIGINT NOT NULL,
                    ranking_seq BIGINT NULL,
                    cancel_ranking_seq BIGINT NULL,
                    PRIMARY KEY (order_id, id)
                ){end}"
            ),
        ];
        super::run(manager, statements).await
    }
}
