//! Sales per product and hour, kept by the analytics consumer.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let end = super::dialect(manager).table_options();
        let statements = vec![
            // hour_us: start of the UTC hour of the sale. Cancels subtract from the sale's own hour.
            format!(
                "CREATE TABLE sales_hourly (
                    product_id BIGINT NOT NULL,
                    hour_us BIGINT NOT NULL,
                    quantity BIGINT NOT NULL,
                    amount BIGINT NOT NULL,
                    orders BIGINT NOT NULL,
                    PRIMARY KEY (product_id, hour_us)
                ){end}"
            ),
            "CREATE INDEX sales_hourly_hour ON sales_hourly (hour_us, product_id)".to_owned(),
        ];
        super::run(manager, statements).await
    }
}
