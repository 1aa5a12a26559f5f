//! Counts tests by the result lines that the test harness prints, and keeps what those that failed said.
//! It does not judge: a binary that crashes prints no line, which cargo's exit code tells.
//! Called by `cargo` with each line of `cargo test`.

/// Lines kept of each failed test: the first say what was expected, and a log must not bury them again.
const SAID_MAX: usize = 60;
/// Characters kept of a line.
const LINE_MAX: usize = 2_000;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
    /// In the order of the output.
    pub failures: Vec<Failure>,
    place: Place,
    /// Failures of earlier binaries, in which a test may have the same name.
    earlier: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub name: String,
    /// The lines of its panics, or of the error that it returned. None when the harness did not capture them.
    pub said: Vec<String>,
}

impl Failure {
    fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            said: Vec::new(),
        }
    }
}

/// Where in a binary's output the next line lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Elsewhere,
    /// In what a failed test printed.
    Printed,
    /// In the message of one of its panics.
    Message,
    /// Under "failures:", where each line may be a name.
    Names,
}

impl Tally {
    /// Adds a line of a test binary's output; most are no matter.
    pub fn read(&mut self, line: &str) {
        let line = without_colours(line);
        let line = line.trim_end();
        if let Some(counts) = line.strip_prefix("test result:") {
            self.count(counts);
            self.enter(Place::Elsewhere);
        } else if line.starts_with("running ") && self.place == Place::Elsewhere {
            self.earlier = self.failures.len();
        } else if let Some(name) = headed(line) {
            self.enter(Place::Printed);
            self.failures.push(Failure::of(name));
        } else if line == "failures:" {
            self.enter(Place::Names);
        } else {
            self.read_failure(line);
        }
    }

    fn read_failure(&mut self, line: &str) {
        match self.place {
            Place::Elsewhere => {}
            Place::Printed if begins_a_message(line) => {
                self.enter(Place::Message);
                self.say(line);
            }
            Place::Printed => {}
            Place::Message if ends_a_message(line) => self.enter(Place::Printed),
            Place::Message => self.say(line),
            Place::Names => self.read_name(line),
        }
    }

    /// A message that was cut off by what came next may end in empty lines, which say nothing.
    fn enter(&mut self, place: Place) {
        if let Some(failure) = self.failures.last_mut() {
            while failure.said.last().is_some_and(String::is_empty) {
                failure.said.pop();
            }
        }
        self.place = place;
    }

    fn say(&mut self, line: &str) {
        if let Some(failure) = self.failures.last_mut()
            && failure.said.len() < SAID_MAX
        {
            failure.said.push(line.chars().take(LINE_MAX).collect());
        }
    }

    /// Where a test printed nothing, or nothing was captured, its name is all there is.
    fn read_name(&mut self, line: &str) {
        let Some(name) = line.strip_prefix("    ") else {
            return;
        };
        if self.failures[self.earlier..].iter().all(|f| f.name != name) {
            self.failures.push(Failure::of(name));
        }
    }

    /// Such as ` ok. 5 passed; 0 failed; 1 ignored; 0 measured; ...`
    fn count(&mut self, counts: &str) {
        let words: Vec<&str> = counts.split_whitespace().collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed;" => self.passed += number,
                "failed;" => self.failed += number,
                "ignored;" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// The test whose output follows: `---- NAME stdout ----`
fn headed(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

fn begins_a_message(line: &str) -> bool {
    (line.starts_with("thread '") && line.contains(" panicked at ")) || line.starts_with("Error: ")
}

/// A message may have empty lines of its own; what follows it is told by its words.
fn ends_a_message(line: &str) -> bool {
    line.starts_with("note: ") || line.starts_with("stack backtrace:") || line.starts_with("--- ")
}

/// Drops the escape sequences `ESC [ ... letter`.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.read(line);
        }
        tally
    }

    #[test]
    fn sums_the_result_lines_and_nothing_else() {
        let tally = read(&[
            "running 6 tests",
            "test tally ... ok",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.19s",
            "test result: \u{1b}[31mFAILED\u{1b}(B\u{1b}[m. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            "all doctests ran in 0.46s; merged doctests compilation took 0.45s",
        ]);
        assert_eq!((tally.passed, tally.failed, tally.ignored), (6, 2, 1));
        assert_eq!(tally.failures, []);
    }

    #[test]
    fn keeps_what_failed_tests_said() {
        let binary = [
            "running 4 tests",
            "test a::fails ... FAILED",
            "test returns ... FAILED",
            "test fine ... ok",
            "test a::silent ... FAILED",
            "",
            "failures:",
            "",
            "---- a::fails stdout ----",
            "a line of its own",
            "",
            "thread 'a::fails' (31) panicked at src/a.rs:3:5:",
            "assertion `left == right` failed",
            "",
            "  left: 1",
            " right: 2",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            "--- http://127.0.0.1:1 printed last:",
            "a log line",
            "thread 'tokio-rt-worker' (32) panicked at src/b.rs:1:1:",
            "another",
            "--- more",
            "",
            "---- returns stdout ----",
            "Error: no",
            "",
            "Caused by:",
            "    why",
            "",
            "failures:",
            "    a::fails",
            "    a::silent",
            "    returns",
            "",
            "test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ];
        let tally = read(&[binary, binary].concat());
        let said: Vec<(&str, String)> = tally
            .failures
            .iter()
            .map(|failure| (failure.name.as_str(), failure.said.join("|")))
            .collect();
        let fails = "thread 'a::fails' (31) panicked at src/a.rs:3:5:|assertion `left == right` failed||  left: 1| right: 2|thread 'tokio-rt-worker' (32) panicked at src/b.rs:1:1:|another";
        let returns = "Error: no||Caused by:|    why";
        let once = [
            ("a::fails", fails.to_owned()),
            ("returns", returns.to_owned()),
            ("a::silent", String::new()),
        ];
        assert_eq!(said, [once.clone(), once].concat());
        assert_eq!((tally.passed, tally.failed), (2, 6));
    }
}
