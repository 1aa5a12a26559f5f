//! The schema, as a list of numbered migrations: each names the tables of one feature.
//! A migration that has been released is never edited; a change is a new one at the end.

mod m0001_foundation;
mod m0002_outbox;
mod m0003_catalogue;
mod m0004_wallet;
mod m0005_orders;
mod m0006_coupons;
mod m0008_analytics;
mod m0009_data_platform;

use sea_orm::{DatabaseConnection, DbBackend};
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
            Box::new(m0008_analytics::Migration),
            Box::new(m0009_data_platform::Migration),
        ]
    }
}

pub(crate) async fn up(connection: &DatabaseConnection) -> Result<(), Error> {
    Migrator::up(connection, None).await.map_err(Error::from)
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
