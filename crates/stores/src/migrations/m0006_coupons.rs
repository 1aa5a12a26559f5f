//! Campaigns, the coupons people hold, numbers that were spent without a coupon, and how the queue's server is known.
//! On SQLite also the embedded queue's own tables. Orders change `user_coupons.status`, `order_id` and `used_us`.

use sea_orm_migration::prelude::*;

use crate::sql::Dialect;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let d = super::dialect(manager);
        let mut statements = vec![campaigns(d), held(d), voids(d), incarnations(d)];
        statements.extend([
            "CREATE INDEX coupons_window ON coupons (claim_to_us, id)".to_owned(),
            "CREATE INDEX user_coupons_user ON user_coupons (user_id, issued_us, id)".to_owned(),
        ]);
        if d == Dialect::Sqlite {
            statements.extend(embedded_queue(d));
        }
        super::run(manager, statements).await
    }
}

/// The winners are `base < sequence <= base + slots` of the current epoch. `ceiling`: the highest number that any epoch may
/// have given out. `issued`: rows of `user_coupons`, counted under the row's lock. `opened_epoch`: the last epoch that the
/// queue was told of, 0 before the first. `version` rises with every change that the queue must hear of.
fn campaigns(d: Dialect) -> String {
    format!(
        "CREATE TABLE coupons (
            id BIGINT NOT NULL PRIMARY KEY,
            name VARCHAR(200) NOT NULL,
            discount_amount BIGINT NOT NULL,
            min_order_amount BIGINT NOT NULL,
            quota BIGINT NOT NULL,
            issued BIGINT NOT NULL,
            claim_from_us BIGINT NOT NULL,
            claim_to_us BIGINT NOT NULL,
            expires_us BIGINT NOT NULL,
            state {word} NOT NULL,
            issue_mode {word} NOT NULL,
            epoch BIGINT NOT NULL,
            base BIGINT NOT NULL,
            slots BIGINT NOT NULL,
            ceiling BIGINT NOT NULL,
            opened_epoch BIGINT NOT NULL,
            version BIGINT NOT NULL,
            created_us BIGINT NOT NULL,
            updated_us BIGINT NOT NULL
        ){end}",
        word = d.ascii(16),
        end = d.table_options()
    )
}

/// `sequence` is null where the coupon was issued directly. EXPIRED is never stored: it follows from the campaign's `expires_us`.
fn held(d: Dialect) -> String {
    format!(
        "CREATE TABLE user_coupons (
            id BIGINT NOT NULL PRIMARY KEY,
            coupon_id BIGINT NOT NULL,
            user_id BIGINT NOT NULL,
            epoch BIGINT NOT NULL,
            sequence BIGINT NULL,
            status {word} NOT NULL,
            order_id BIGINT NULL,
            issued_us BIGINT NOT NULL,
            used_us BIGINT NULL,
            UNIQUE (coupon_id, user_id),
            UNIQUE (coupon_id, epoch, sequence)
        ){end}",
        word = d.ascii(16),
        end = d.table_options()
    )
}

/// Numbers of the winners' range that will never be a coupon, and why.
fn voids(d: Dialect) -> String {
    format!(
        "CREATE TABLE coupon_voids (
            coupon_id BIGINT NOT NULL,
            epoch BIGINT NOT NULL,
            sequence BIGINT NOT NULL,
            user_id BIGINT NOT NULL,
            reason {reason} NOT NULL,
            PRIMARY KEY (coupon_id, epoch, sequence)
        ){end}",
        reason = d.ascii(32),
        end = d.table_options()
    )
}

/// `incarnation`: the server run that the queue was last made ready on. `owner` may do so again until `until_us`.
fn incarnations(d: Dialect) -> String {
    format!(
        "CREATE TABLE queue_incarnations (
            name {name} NOT NULL PRIMARY KEY,
            incarnation {name} NOT NULL,
            owner {name} NULL,
            until_us BIGINT NOT NULL
        ){end}",
        name = d.ascii(64),
        end = d.table_options()
    )
}

/// `phase`: 0 waiting, 1 leased to the scheduler until `due_us`, 2 published, 3 settled (`result` says how).
fn embedded_queue(d: Dialect) -> Vec<String> {
    vec![
        format!(
            "CREATE TABLE coupon_queues (
                coupon_id BIGINT NOT NULL PRIMARY KEY,
                epoch BIGINT NOT NULL,
                base BIGINT NOT NULL,
                slots BIGINT NOT NULL,
                last_sequence BIGINT NOT NULL,
                claim_from_us BIGINT NOT NULL,
                claim_to_us BIGINT NOT NULL,
                keep_until_us BIGINT NOT NULL,
                state VARCHAR(16) NOT NULL,
                version BIGINT NOT NULL,
                leader VARCHAR(64) NULL,
                leader_until_us BIGINT NOT NULL,
                token BIGINT NOT NULL
            ){end}",
            end = d.table_options()
        ),
        format!(
            "CREATE TABLE coupon_queue_entries (
                coupon_id BIGINT NOT NULL,
                user_id BIGINT NOT NULL,
                sequence BIGINT NOT NULL,
                joined_us BIGINT NOT NULL,
                phase SMALLINT NOT NULL,
                due_us BIGINT NOT NULL,
                result VARCHAR(64) NULL,
                PRIMARY KEY (coupon_id, user_id)
            ){end}",
            end = d.table_options()
        ),
        // Settled entries, the many, stay out of it.
        "CREATE INDEX coupon_queue_turn ON coupon_queue_entries (coupon_id, phase, sequence) WHERE phase < 3"
            .to_owned(),
    ]
}
