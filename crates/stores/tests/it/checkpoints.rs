//! Checkpoints of SQLite's file beside whoever writes it, seen by what stands in the file itself while its write-ahead log is in use.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use sea_orm::ConnectionTrait;
use stores::sql::{Database, Error, Settings, within};
use testkit::eventually;

const DEADLINE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// A quarter of 1 MiB. The connection that writes moves what the log holds once that is 40 MiB.
const ROW: &str = "INSERT INTO id_blocks (name, next_value) VALUES (hex(randomblob(131072)), 1)";

async fn opened(file: &Path, checkpoint_transactions: u32) -> Database {
    let settings = Settings {
        url: format!("sqlite://{}", file.display()),
        checkpoint_transactions,
        ..Settings::default()
    };
    let db = Database::connect(&settings).await.unwrap();
    db.writer()
        .execute_unprepared(
            "CREATE TABLE id_blocks (name TEXT NOT NULL, next_value INTEGER NOT NULL)",
        )
        .await
        .unwrap();
    db
}

async fn write(db: &Database, text: &'static str, times: usize) {
    for _ in 0..times {
        let done: Result<(), Error> = within(db, "test", |tx, _| {
            Box::pin(async move {
                tx.execute_unprepared(text).await?;
                Ok(())
            })
        })
        .await;
        done.unwrap();
    }
}

fn bytes(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |meta| meta.len())
}

async fn grown(file: &Path, to: u64) {
    eventually(DEADLINE, "the file grows", async || {
        ensure!(bytes(file) > to, "{} bytes", bytes(file));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_the_log_holds_is_moved_into_the_file_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let db = opened(&file, 4).await;
    write(&db, ROW, 4).await;
    // The last of these has its turn when it is counted.
    grown(&file, MIB / 2).await;
    write(&db, ROW, 4).await;
    grown(&file, MIB + MIB / 2).await;
}

#[tokio::test]
async fn with_none_asked_for_the_file_stays_as_it_is_until_the_log_is_long() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let db = opened(&file, 0).await;
    let before = bytes(&file);
    write(&db, ROW, 8).await;
    assert_eq!(bytes(&file), before);
    // As long as it may be: the connection that writes moves it in its COMMIT.
    write(&db, ROW, 160).await;
    assert!(bytes(&file) > 32 * MIB, "{} bytes", bytes(&file));
}
