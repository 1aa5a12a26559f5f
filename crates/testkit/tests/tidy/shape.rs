//! The shape of files: how long they and their functions may be, how they start, what they are called, what they must not hold.
//! It does not look at what the code uses: `doors` does.
//! Called by `main` for each Rust file.

use crate::source::{Finding, Source};
use crate::tokens::{self, Code};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Names that say nothing about what is inside, so that anything ends up there.
const NAMELESS: [&str; 6] = ["utils", "util", "helpers", "helper", "common", "misc"];
const UNFINISHED_MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
// In two pieces, so that this file does not hold them.
const UNFINISHED_WORDS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("dead", "_code"),
];

pub fn check(source: &Source) -> Vec<Finding> {
    let code = tokens::read(source);
    let mut findings = file(source);
    findings.extend(functions(source, &code));
    findings.extend(names(source, &code));
    findings.extend(unfinished(source, &code));
    findings
}

fn file(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let what = format!("{lines} lines, at most {FILE_LINES_MAX}");
        findings.push(source.finding(1, what));
    }
    if !source.text.starts_with("//!") {
        findings.push(source.finding(1, "starts without `//!`: say what it is"));
    }
    findings
}

fn functions(source: &Source, code: &Code) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in &code.functions {
        let lines = function.last - function.first + 1;
        if lines > FUNCTION_LINES_MAX {
            let what = format!(
                "{} has {lines} lines, at most {FUNCTION_LINES_MAX}",
                function.name
            );
            findings.push(source.finding(function.first, what));
        }
    }
    findings
}

fn names(source: &Source, code: &Code) -> Vec<Finding> {
    let nameless = |name: &str| NAMELESS.contains(&name);
    let mut findings = Vec::new();
    for part in source.parts() {
        if nameless(part) {
            findings.push(source.finding(1, format!("{part} says nothing about what is inside")));
        }
    }
    for (module, line) in &code.modules {
        if nameless(module) {
            let what = format!("mod {module} says nothing about what is inside");
            findings.push(source.finding(*line, what));
        }
    }
    findings
}

fn unfinished(source: &Source, code: &Code) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, line) in &code.macros {
        if UNFINISHED_MACROS.contains(&name.as_str()) {
            findings.push(source.finding(*line, format!("{name}! is not finished code")));
        }
    }
    for (at, line) in source.text.lines().enumerate() {
        for word in UNFINISHED_WORDS {
            if line.contains(word) {
                findings.push(source.finding(at + 1, format!("{word} is not finished code")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        crate::said(check, path, text)
    }

    const PATH: &str = "crates/stores/src/sql/outbox.rs";

    #[test]
    fn a_good_file_passes() {
        assert!(said(PATH, "//! One.\nfn f() {}\n").is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        let long = |lines: usize| format!("//! One.\n{}", "// x\n".repeat(lines - 1));
        assert!(said(PATH, &long(400)).is_empty());
        assert_eq!(said(PATH, &long(401)), ["401 lines, at most 400"]);
    }

    #[test]
    fn a_long_function_is_found() {
        let long =
            |lines: usize| format!("//! One.\nfn f() {{\n{}}}\n", "g();\n".repeat(lines - 2));
        assert!(said(PATH, &long(70)).is_empty());
        assert_eq!(said(PATH, &long(71)), ["f has 71 lines, at most 70"]);
        let inside = format!("//! One.\nmod a {{ impl B {{ {} }} }}", &long(71)[9..]);
        assert_eq!(said(PATH, &inside).len(), 1);
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_found() {
        assert_eq!(said(PATH, "use std::fs;\n").len(), 1);
        assert_eq!(said(PATH, "").len(), 1);
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        for path in [
            "crates/stores/src/utils.rs",
            "crates/stores/src/common/time.rs",
        ] {
            assert_eq!(said(path, "//! One.\n").len(), 1, "{path}");
        }
        assert_eq!(said(PATH, "//! One.\nmod helpers { }").len(), 1);
    }

    #[test]
    fn unfinished_code_is_found() {
        for code in ["todo!()", "unimplemented!(\"x\")", "dbg!(1)"] {
            assert_eq!(
                said(PATH, &format!("//! One.\nfn f() {{ {code} }}")).len(),
                1,
                "{code}"
            );
        }
        for word in UNFINISHED_WORDS {
            assert_eq!(
                said(PATH, &format!("//! One.\n// {word}\n")).len(),
                1,
                "{word}"
            );
        }
        assert!(said(PATH, "//! One.\nconst A: &str = \"todo!()\";").is_empty());
    }
}
