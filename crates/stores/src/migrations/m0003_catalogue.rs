//! The catalogue: products with their stock, and a ledger row for every change of stock that is not a sale
//! (a sale's row is its order line).

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let d = super::dialect(manager);
        let end = d.table_options();
        let statements = vec![
            // status: PREPARING, ON_SALE or STOPPED. SOLD_OUT is never stored: it is ON_SALE with stock 0,
            // so whoever changes the stock has no status to keep in step.
            format!(
                "CREATE TABLE products (
                    id BIGINT NOT NULL PRIMARY KEY,
                    name VARCHAR(200) NOT NULL,
                    price BIGINT NOT NULL,
                    stock BIGINT NOT NULL,
                    status {word} NOT NULL,
                    created_us BIGINT NOT NULL,
                    updated_us BIGINT NOT NULL,
                    CONSTRAINT products_stock CHECK (stock >= 0)
                ){end}",
                word = d.ascii(16)
            ),
            // kind: SEED, RESTOCK, ADJUST or CANCEL. order_id: of a CANCEL only; NULLs do not collide.
            format!(
                "CREATE TABLE stock_ledger (
                    id BIGINT NOT NULL PRIMARY KEY,
                    product_id BIGINT NOT NULL,
                    kind {word} NOT NULL,
                    order_id BIGINT NULL,
                    delta BIGINT NOT NULL,
                    created_us BIGINT NOT NULL,
                    CONSTRAINT stock_ledger_once UNIQUE (order_id, product_id, kind)
                ){end}",
                word = d.ascii(16)
            ),
            "CREATE INDEX stock_ledger_product ON stock_ledger (product_id)".to_owned(),
        ];
        super::run(manager, statements).await
    }
}
