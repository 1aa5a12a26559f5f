//! The schema, as a list of numbered migrations: each names the tables of one feature.
//! A migration that has been released is never edited; a change is a new one at the end.

mod m0001_foundation;
mod m0002_outbox;
mod m0003_catalogue;
mod m0004_wallet;
mod m0005_orders;
mod m0006_coupons;
mod m0007_ranking;
mod m0008_analytics;
mod m0009_data_platform;
mod m0010_outbox_events;

use sea_orm::{DatabaseConnection, DbBackend, sqlx};
use sea_orm_migration::prelude::*;

use crate::sql::{Dialect, Error};

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_foundation::Migration),
            Box::new(m0002_outbox::Migration),
            Box::new(m0003_catalogue::Migration),
            Box::new(m0004_wallet::Migration),
            Box::new(m0005_orders::Migration),
            Box::new(m0006_coupons::Migration),
            Box::new(m0007_ranking::Migration),
            Box::new(m0008_analytics::Migration),
            Box::new(m0009_data_platform::Migration),
            Box::new(m0010_outbox_events::Migration),
        ]
    }
}

/// How long one process waits for another that is migrating.
const LOCK_WAIT_S: u32 = 120;

/// One process at a time: a named lock on MySQL and MariaDB, held by a connection of its own (`guard`); a SQLite file is
/// migrated by the one process that serves it and by commands beside it, each step in a transaction of its own.
pub(crate) async fn up(
    dialect: Dialect,
    connection: &DatabaseConnection,
    guard: &DatabaseConnection,
) -> Result<(), Error> {
    if dialect == Dialect::Sqlite {
        return Migrator::up(connection, None).await.map_err(Error::from);
    }
    // The server's locks know no database: its name is part of theirs.
    const NAME: &str = "CONCAT('madang-', MD5(DATABASE()))";
    let mut held = guard.get_mysql_connection_pool().acquire().await?;
    let take = format!("SELECT GET_LOCK({NAME}, {LOCK_WAIT_S})");
    let taken: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(take))
        .fetch_one(&mut *held)
        .await?;
    if taken != Some(1) {
        return Err(Error::Unavailable(format!(
            "another process has been migrating the database for {LOCK_WAIT_S} s"
        )));
    }
    let migrated = Migrator::up(connection, None).await.map_err(Error::from);
    let release = format!("DO RELEASE_LOCK({NAME})");
    if sqlx::query(sqlx::AssertSqlSafe(release))
        .execute(&mut *held)
        .await
        .is_err()
    {
        // The lock ends with its connection.
        drop(held.detach());
    }
    migrated
}

/// Runs each statement of a migration in turn.
async fn run(manager: &SchemaManager<'_>, statements: Vec<String>) -> Result<(), DbErr> {
    for sql in statements {
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}

fn dialect(manager: &SchemaManager<'_>) -> Dialect {
    match manager.get_database_backend() {
        DbBackend::Sqlite => Dialect::Sqlite,
        _ => Dialect::MySql,
    }
}
