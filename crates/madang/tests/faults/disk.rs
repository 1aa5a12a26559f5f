//! Row "disk full": the data folder of the embedded default on a small file system. What cannot be written is refused with a
//! cause, nothing is said that is not so, and with room everything goes on.
//! Kafka, MariaDB and Redis have disks of their own: this row is for the embedded default.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use testkit::{Folder, eventually, shared};

use crate::ground;
use crate::load::{Load, Plan, ask};
use crate::settle::{Places, check};
use crate::whole::stage::{PATIENCE, Stage, one_line};

const MIB: usize = 24;

/// A file system in memory, unmounted when dropped.
struct Small {
    folder: Folder,
}

impl Small {
    fn mount() -> Result<Small> {
        let folder = Folder::new("small-disk")?;
        let text = |text: &str| CString::new(text).context("a text without zeros");
        let (kind, options) = (text("tmpfs")?, text(&format!("size={MIB}m"))?);
        let at = text(&folder.path().display().to_string())?;
        // SAFETY: all four are texts that end with a zero and outlive the call.
        let mounted = unsafe {
            libc::mount(
                kind.as_ptr(),
                at.as_ptr(),
                kind.as_ptr(),
                0,
                options.as_ptr().cast(),
            )
        };
        if mounted != 0 {
            return Err(std::io::Error::last_os_error()).context("mounting a tmpfs");
        }
        Ok(Small { folder })
    }

    /// Takes all the room that is left, and keeps what it has taken before.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.folder.join("filler");
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .context("the filler")?;
        let full = std::io::copy(&mut std::io::repeat(7), &mut file);
        ensure!(full.is_err(), "endless room");
        Ok(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let Ok(at) = CString::new(self.folder.path().display().to_string()) else {
            return;
        };
        // SAFETY: a text that ends with a zero. Detached: it goes when the shop's files are closed.
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Row: disk full, and room again while the shop runs. About 15 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_survived_embedded() {
    let small = match Small::mount() {
        Ok(small) => Arc::new(small),
        Err(error) => return shared::not_run(&format!("a small disk: {error:#}")),
    };
    let data = small.folder.join("data");
    let stage = on_disk(&data);
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_orders(40).await;

    let filler = small.fill().expect("the disk is full");
    // What SQLite has already made room for may still be used: ask until that is gone.
    let refused = eventually(PATIENCE, "an order is refused", async || {
        small.fill().expect("the rest of it too");
        let key = format!("full-{}", fastrand::u64(..));
        let answer = ask(&client, "/api/orders", &key, &one_line(399, 1, 1)).await?;
        ensure!(answer.status != 201, "still taken");
        Ok(answer)
    })
    .await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(
        !refused.header("retry-after").is_empty(),
        "{:?}",
        refused.headers
    );
    let said = shop.logs();
    assert!(said.contains("full"), "the log does not say why: {said}");
    let live = client.get("/healthz").await.expect("an answer");
    assert_eq!(live.status, 200, "{}", live.text);

    std::fs::remove_file(filler).expect("room again");
    load.more_orders(40).await;
    load.more_places(10).await;
    let journal = load.stop().await;
    check(&stage, &client, journal, Places::Kept).await;
    drop(shop);
}

/// Row: disk full, and the process killed on it. About 10 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_was_killed_on_a_full_disk_comes_back_embedded() {
    let small = match Small::mount() {
        Ok(small) => small,
        Err(error) => return shared::not_run(&format!("a small disk: {error:#}")),
    };
    let data = small.folder.join("data");
    let stage = ground::on_one_port(on_disk(&data));
    let mut shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_orders(40).await;
    let filler = small.fill().expect("the disk is full");
    load.more_joins_later(3).await;
    shop.kill();
    std::fs::remove_file(filler).expect("room again");
    let shop = stage.settings.start().await.expect("it starts again");
    load.more_orders(20).await;
    let journal = load.stop().await;
    check(&stage, &client, journal, Places::Kept).await;
    drop(shop);
}

fn on_disk(data: &Path) -> Stage {
    ground::attentive(Stage::embedded()).env("MADANG_DATA_DIR", data.display().to_string())
}
