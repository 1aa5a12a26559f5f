//! The data platform as files: newline-delimited JSON, a folder a day, each event once whenever the power goes.
//! Beside them lies `state.json`: how long the newest file is and which events were last written to it. It is replaced
//! atomically after each append, so what lies past that length is an append that was cut off, and is cut away first thing.
//! For one or more processes of one machine; built by the binary where no URL is set.

mod state;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::tz::TimeZone;

use super::ports::{Delivered, Delivery, Sink};
use crate::clock::Clock;
use state::{Memory, State};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the folders go, such as `madang-data/data-platform`; made when missing.
    pub folder: PathBuf,
    /// Where days begin.
    pub time_zone: TimeZone,
    /// Ids of the last events that are remembered, to know those again that were written but not yet noted as received:
    /// more than all consumers of this machine have in hand together.
    pub remembered_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("madang-data/data-platform"),
            // Seoul, which has no summer time.
            time_zone: TimeZone::fixed(jiff::tz::offset(9)),
            remembered_max: 4_096,
        }
    }
}

/// The file of a day, in its folder.
const EVENTS: &str = "events.ndjson";
const LOCK: &str = "lock";

pub struct FileSink {
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
    /// One writer of this process at a time; the lock file keeps other processes out.
    turn: Arc<tokio::sync::Mutex<Memory>>,
}

impl FileSink {
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings: Arc::new(settings),
            clock,
            turn: Arc::default(),
        }
    }
}

#[async_trait]
impl Sink for FileSink {
    fn batch_max(&self) -> usize {
        // One append a batch: the larger the better, as long as the last few are remembered.
        (self.settings.remembered_max / 4).max(1)
    }

    async fn deliver(&self, batch: &[Delivery]) -> Vec<Delivered> {
        let mut turn = self.turn.clone().lock_owned().await;
        let now = self.clock.now().to_zoned(self.settings.time_zone.clone());
        let file = PathBuf::from(now.date().to_string()).join(EVENTS);
        let (settings, events) = (self.settings.clone(), batch.to_vec());
        // Runs to its end even where nobody waits for it any more, and keeps its turn until then.
        let appended = tokio::task::spawn_blocking(move || {
            let appended = append(&settings, &file, &events, &mut turn);
            drop(turn);
            appended
        })
        .await
        .unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        let delivered = match appended {
            Ok(()) => Delivered::Received,
            Err(error) => Delivered::Retry {
                cause: format!("{}: {error}", self.settings.folder.display()),
                after_ms: None,
            },
        };
        vec![delivered; batch.len()]
    }
}

/// Writes what is not there yet and makes it durable. `file` is relative to the folder.
fn append(
    settings: &Settings,
    file: &Path,
    batch: &[Delivery],
    memory: &mut Memory,
) -> io::Result<()> {
    let folder = &settings.folder;
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.join(LOCK))?;
    // Given back when the file is closed, by a crash too.
    lock.lock()?;
    let mut state = memory.recall(folder)?;
    let mut out = open(folder, file, &mut state)?;
    let mut bytes = Vec::new();
    for event in batch {
        if state.remember(&event.id, settings.remembered_max) {
            line(&event.value, &mut bytes);
        }
    }
    if !bytes.is_empty() {
        out.write_all(&bytes)?;
        out.sync_data()?;
        state.length += bytes.len() as u64;
        state.save(folder)?;
    }
    memory.keep(folder, state)
}

/// The file at its end, with whatever an append that was cut off has left behind cut away. Nothing is ever appended to a file
/// that the state does not name.
fn open(folder: &Path, file: &Path, state: &mut State) -> io::Result<File> {
    if !state.file.as_os_str().is_empty() {
        cut(&folder.join(&state.file), state.length)?;
    }
    let path = folder.join(file);
    let known = state.file == file && path.exists();
    if !known && let Some(day) = path.parent() {
        fs::create_dir_all(day)?;
    }
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?;
    // Not 0 where the clock went back to a day before; shorter than it was where somebody cut it.
    state.length = out.seek(SeekFrom::End(0))?;
    if !known {
        out.sync_all()?;
        for folder in path.parent().into_iter().chain([folder]) {
            File::open(folder)?.sync_all()?;
        }
        state.file = file.to_path_buf();
        state.save(folder)?;
    }
    Ok(out)
}

fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        // Somebody has taken the file away to read it, as one may.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() > length {
        file.set_len(length)?;
        file.sync_all()?;
    }
    Ok(())
}

/// The value on one line: in JSON, line ends occur between tokens only, where a blank does as well.
fn line(value: &[u8], bytes: &mut Vec<u8>) {
    let blank = |byte: &u8| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    };
    bytes.extend(value.trim_ascii().iter().map(blank));
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests;
