//! What must be gone when this process ends: child processes and folders, also those held by statics.
//! It does not own them (their guards do); it is the net under guards whose Drop never runs.
//! Called by `process` and `folder`; an exit handler does the rest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

static LEFTOVERS: Mutex<Leftovers> = Mutex::new(Leftovers {
    pids: BTreeSet::new(),
    folders: BTreeSet::new(),
});
static AT_EXIT: Once = Once::new();

struct Leftovers {
    pids: BTreeSet<u32>,
    folders: BTreeSet<PathBuf>,
}

pub fn add_process(pid: u32) {
    lock().pids.insert(pid);
}

/// To be called before the child is reaped: afterwards the number may belong to another process.
pub fn remove_process(pid: u32) {
    lock().pids.remove(&pid);
}

pub fn add_folder(folder: &Path) {
    lock().folders.insert(folder.to_owned());
}

pub fn remove_folder(folder: &Path) {
    lock().folders.remove(folder);
}

fn lock() -> MutexGuard<'static, Leftovers> {
    AT_EXIT.call_once(|| {
        // SAFETY: `clean` has the signature atexit wants and lives as long as the program.
        unsafe { libc::atexit(clean) };
    });
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills before it removes, so that nothing writes into a folder that is being removed.
extern "C" fn clean() {
    // A thread that still runs may hold the lock; then the parent-death signal and the next start's sweep do the work.
    let Ok(mut leftovers) = LEFTOVERS.try_lock() else {
        return;
    };
    for pid in std::mem::take(&mut leftovers.pids) {
        let Ok(pid) = libc::pid_t::try_from(pid) else {
            continue;
        };
        // SAFETY: plain system calls on a child of ours that nobody has reaped yet.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
    for folder in std::mem::take(&mut leftovers.folders) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
