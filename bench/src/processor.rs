//! Processor time and memory of processes, as the kernel tells them.
//! A process' time is told in ticks of 10 ms, so it is worth reading over seconds only.

use std::io;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// User and system time of the calling thread.
pub fn of_this_thread_us() -> Result<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is as the call wants it, and zeroes are a valid one.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error()).context("getrusage");
        }
        usage.assume_init()
    };
    let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    Ok(us(usage.ru_utime) + us(usage.ru_stime))
}

/// User and system time of a process and all its threads.
pub fn of_process_us(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid}"))?;
    let ticks = ticks(&stat).with_context(|| format!("/proc/{pid}/stat"))?;
    // SAFETY: a plain system call.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ensure!(per_second > 0, "the kernel's ticks a second");
    Ok(ticks * 1_000_000 / per_second as u64)
}

/// utime and stime: fields 14 and 15, counted from behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Resident memory.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid}"))?;
    let kib = field_kib(&status, "VmRSS:").with_context(|| format!("/proc/{pid}/status"))?;
    Ok(kib as f64 / 1_024.0)
}

/// A line such as `VmRSS:   123 kB`.
pub fn field_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Processes whose time is told together with a load.
#[derive(Clone, Default)]
pub struct Meter {
    processes: Vec<(String, u32)>,
}

/// What each had used at one moment; `None`: it had ended.
pub struct Reading(Vec<Option<u64>>);

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Used {
    pub process: String,
    /// Processor time over answers.
    pub us_per_request: f64,
    /// Processor time over time.
    pub cores: f64,
}

impl Meter {
    pub fn add(&mut self, name: impl Into<String>, pid: u32) {
        self.processes.push((name.into(), pid));
    }

    /// A process may have ended, as when a scenario kills it: then no time is told of it.
    pub fn read(&self) -> Reading {
        let times = self
            .processes
            .iter()
            .map(|(_, pid)| of_process_us(*pid).ok());
        Reading(times.collect())
    }

    pub fn used(
        &self,
        before: &Reading,
        after: &Reading,
        requests: u64,
        seconds: f64,
    ) -> Vec<Used> {
        let times = before.0.iter().zip(&after.0);
        self.processes
            .iter()
            .zip(times)
            .filter_map(|((name, _), (before, after))| {
                let us = (*after)?.saturating_sub((*before)?);
                Some(used(name, us, requests, seconds))
            })
            .collect()
    }
}

pub fn used(name: &str, us: u64, requests: u64, seconds: f64) -> Used {
    Used {
        process: name.to_owned(),
        us_per_request: us as f64 / requests.max(1) as f64,
        cores: us as f64 / 1e6 / seconds.max(1e-6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_whatever_the_name() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 9 0 77";
        assert_eq!(ticks(stat), Some(200));
        assert_eq!(ticks("12 (a) S 1 2"), None);
    }

    #[test]
    fn reads_its_own_process() {
        assert!(of_this_thread_us().is_ok());
        assert!(of_process_us(std::process::id()).is_ok());
        assert!(resident_mib(std::process::id()).unwrap() > 0.5);
    }

    #[test]
    fn nothing_is_told_of_a_process_that_has_ended() {
        let mut meter = Meter::default();
        meter.add("here", std::process::id());
        // Above every pid that the kernel gives.
        meter.add("gone", u32::MAX);
        let used = meter.used(&meter.read(), &meter.read(), 1, 1.0);
        let names: Vec<_> = used.iter().map(|it| it.process.as_str()).collect();
        assert_eq!(names, ["here"]);
    }

    #[test]
    fn reads_a_field_of_a_status_file() {
        assert_eq!(field_kib("A: 1\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048));
        assert_eq!(field_kib("A: 1\n", "VmRSS:"), None);
    }

    #[test]
    fn time_is_told_per_request_and_as_cores() {
        let used = used("shop", 3_000_000, 1_000, 2.0);
        assert_eq!((used.us_per_request, used.cores), (3_000.0, 1.5));
    }
}
