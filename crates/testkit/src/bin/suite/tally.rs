//! Counts tests by the result lines that the test harness prints.
//! It does not judge: a binary that crashes prints no line, which cargo's exit code tells.
//! Called by `cargo` with each line of `cargo test`.

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
}

impl Tally {
    /// Adds a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; ...`; any other line is no matter.
    pub fn read(&mut self, line: &str) {
        let line = without_colours(line);
        let Some(counts) = line.trim().strip_prefix("test result:") else {
            return;
        };
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

    #[test]
    fn sums_the_result_lines_and_nothing_else() {
        let mut tally = Tally::default();
        for line in [
            "running 6 tests",
            "test tally ... ok",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.19s",
            "test result: \u{1b}[31mFAILED\u{1b}(B\u{1b}[m. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            "all doctests ran in 0.46s; merged doctests compilation took 0.45s",
        ] {
            tally.read(line);
        }
        let expected = Tally {
            passed: 6,
            failed: 2,
            ignored: 1,
        };
        assert_eq!(tally, expected);
    }
}
