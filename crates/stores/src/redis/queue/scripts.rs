//! The queue's scripts. `join`, `lease` and `begin` are loaded by `reopen` alone: a server that does not hold them is one
//! that recovery has not been to, and that says so. The others may be loaded by whoever needs them.

use super::super::Script;

pub struct Scripts {
    pub join: Script,
    pub lease: Script,
    pub begin: Script,
    pub acknowledge: Script,
    pub give_back: Script,
    pub settle: Script,
    pub standings: Script,
    pub refresh: Script,
    pub shrink: Script,
    pub resign: Script,
    pub suspend: Script,
}

impl Scripts {
    pub fn new() -> Self {
        Self {
            join: Script::new(include_str!("join.lua")),
            lease: Script::new(include_str!("lease.lua")),
            begin: Script::new(include_str!("begin.lua")),
            acknowledge: Script::new(include_str!("acknowledge.lua")),
            give_back: Script::new(include_str!("give_back.lua")),
            settle: Script::new(include_str!("settle.lua")),
            standings: Script::new(include_str!("standings.lua")),
            refresh: Script::new(include_str!("refresh.lua")),
            shrink: Script::new(include_str!("shrink.lua")),
            resign: Script::new(include_str!("resign.lua")),
            suspend: Script::new(include_str!("suspend.lua")),
        }
    }

    /// Those that a server holds only after `reopen`.
    pub fn guarded(&self) -> [&Script; 3] {
        [&self.join, &self.lease, &self.begin]
    }
}
