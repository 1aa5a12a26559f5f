//! Sales per product and hour, kept by the analytics consumer.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let end = super::dialect(manager).table_options();
        let max = 9_000_000_000_000_000_000_i64;
        let statements = vec![
            // product_id 0: all products together, each order counted once. hour_us: start of the sale's hour as the
            // shop's clocks show it; a cancel subtracts from the sale's own hour. The bounds keep SQLite from turning
            // a sum past 64 bits into a float.
            format!(
                "CREATE TABLE sales_hourly (
                    product_id BIGINT NOT NULL,
                    hour_us BIGINT NOT NULL,
                    quantity BIGINT NOT NULL,
                    amount BIGINT NOT NULL,
                    orders BIGINT NOT NULL,
                    PRIMARY KEY (product_id, hour_us),
                    CONSTRAINT sales_hourly_amount CHECK (amount BETWEEN -{max} AND {max}),
                    CONSTRAINT sales_hourly_quantity CHECK (quantity BETWEEN -{max} AND {max})
                ){end}"
            ),
            "CREATE INDEX sales_hourly_hour ON sales_hourly (hour_us, product_id)".to_owned(),
        ];
        super::run(manager, statements).await
    }
}
