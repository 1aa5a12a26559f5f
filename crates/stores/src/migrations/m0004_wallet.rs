//! Wallets and their ledger: a row for every change of a balance, with the balance after it.

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
                "CREATE TABLE wallets (
                    user_id BIGINT NOT NULL PRIMARY KEY,
                    balance BIGINT NOT NULL,
                    CONSTRAINT wallets_balance CHECK (balance >= 0)
                ){end}"
            ),
            // kind: CHARGE, PAYMENT or REFUND. order_id: of the latter two; NULLs do not collide.
            format!(
                "CREATE TABLE wallet_ledger (
                    id BIGINT NOT NULL PRIMARY KEY,
                    user_id BIGINT NOT NULL,
                    kind {word} NOT NULL,
                    amount BIGINT NOT NULL,
                    balance_after BIGINT NOT NULL,
                    order_id BIGINT NULL,
                    created_us BIGINT NOT NULL,
                    CONSTRAINT wallet_ledger_once UNIQUE (order_id, kind)
                ){end}",
                word = d.ascii(16)
            ),
            "CREATE INDEX wallet_ledger_user ON wallet_ledger (user_id, created_us, id)".to_owned(),
        ];
        super::run(manager, statements).await
    }
}
