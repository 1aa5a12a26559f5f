//! What is known for certain about the newest file: its length and the events at its end.
//! Written to a file of its own and renamed into place, so that it is either the old or the new. Used by the files sink only.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const STATE: &str = "state.json";
const STATE_NEW: &str = "state.json.new";

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The newest file, relative to the folder; empty before the first.
    pub file: PathBuf,
    /// Bytes of it that count.
    pub length: u64,
    /// Ids of the events written last, oldest first.
    remembered: VecDeque<String>,
    #[serde(skip)]
    known: HashSet<String>,
}

impl State {
    pub(super) fn load(folder: &Path) -> io::Result<Self> {
        let bytes = match fs::read(folder.join(STATE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut state: Self = serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::other(format!("{STATE}: {error}")))?;
        state.known = state.remembered.iter().cloned().collect();
        Ok(state)
    }

    /// Whether the event is new; it is remembered then, and the oldest is forgotten past `max`.
    pub(super) fn remember(&mut self, id: &str, max: usize) -> bool {
        if !self.known.insert(id.to_owned()) {
            return false;
        }
        self.remembered.push_back(id.to_owned());
        while self.remembered.len() > max.max(1) {
            if let Some(oldest) = self.remembered.pop_front() {
                self.known.remove(&oldest);
            }
        }
        true
    }

    pub(super) fn save(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join(STATE_NEW);
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&new, folder.join(STATE))?;
        File::open(folder)?.sync_all()
    }
}

/// The state as this process last saw it, so that it is read again only where another has replaced it since.
#[derive(Default)]
pub(super) struct Memory(Option<(Stamp, State)>);

/// Tells one `state.json` from the next: each is a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed_s: i64,
    changed_ns: i64,
    bytes: u64,
}

impl Stamp {
    fn of(folder: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(folder.join(STATE)) {
            Ok(file) => Ok(Some(Self {
                inode: file.ino(),
                changed_s: file.ctime(),
                changed_ns: file.ctime_nsec(),
                bytes: file.len(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Memory {
    /// The state of the folder. What was kept is given away: an append that fails half-way leaves nothing behind to trust.
    pub(super) fn recall(&mut self, folder: &Path) -> io::Result<State> {
        let now = Stamp::of(folder)?;
        match self.0.take() {
            Some((stamp, state)) if now == Some(stamp) => Ok(state),
            _ => State::load(folder),
        }
    }

    pub(super) fn keep(&mut self, folder: &Path, state: State) -> io::Result<()> {
        self.0 = Stamp::of(folder)?.map(|stamp| (stamp, state));
        Ok(())
    }
}
