//! What is written about faults is true: the tables of `docs/FAULTS.md` are those of the program, the table of failpoints names
//! what the sources name, and every planted bug's patch still fits.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use faults::points::STEPS;
use faults::{planted, table};

/// Transactions of commands and of pruning, which can be run again from the start: they have points, and the loop has no use for them.
const NOT_IN_THE_LOOP: [&str; 6] = [
    "sql.seed-wallets",
    "sql.seed-products",
    "sql.seed-coupons",
    "sql.ids-raise",
    "sql.queue-prune",
    "sql.board-compare",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn documented() -> String {
    std::fs::read_to_string(workspace().join("docs/FAULTS.md")).expect("docs/FAULTS.md")
}

#[test]
fn the_tables_are_those_of_the_program() {
    let text = documented();
    let points = table::markdown();
    assert!(
        text.contains(&points),
        "docs/FAULTS.md must hold what `faults table` prints:\n{points}"
    );
    let bugs = planted::markdown().expect("planted bugs");
    assert!(
        text.contains(&bugs),
        "docs/FAULTS.md must hold what `faults planted --list` prints:\n{bugs}"
    );
}

#[test]
fn the_table_names_what_the_sources_name() {
    let mut named = BTreeSet::new();
    for folder in ["crates/madang/src/steps", "crates/stores/src"] {
        names_in(&workspace().join(folder), &mut named);
    }
    for name in NOT_IN_THE_LOOP {
        assert!(named.remove(name), "{name} is no step any more");
    }
    let listed: BTreeSet<String> = STEPS.iter().map(|step| step.name.to_owned()).collect();
    assert_eq!(listed.len(), STEPS.len(), "a step is listed twice");
    assert_eq!(named, listed);
    let on_the_real_three = faults::points::faults(false).len() / 3;
    assert!(on_the_real_three >= 60, "{on_the_real_three} points");
}

/// Text literals of the form `place.step`, as steps are named.
fn names_in(folder: &Path, named: &mut BTreeSet<String>) {
    const PLACES: [&str; 10] = [
        "http",
        "sql",
        "queue",
        "board",
        "outbox",
        "relay",
        "scheduler",
        "consumers",
        "platform",
        "handle",
    ];
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            names_in(&path, named);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            for literal in text.split('"').skip(1).step_by(2) {
                let place = literal.split_once('.').map_or("", |(place, _)| place);
                let plain = |c: char| c.is_ascii_lowercase() || c == '-' || c == '.';
                if PLACES.contains(&place)
                    && literal.chars().all(plain)
                    && literal.matches('.').count() == 1
                {
                    named.insert(literal.to_owned());
                }
            }
        }
    }
}

#[tokio::test]
async fn every_planted_bug_can_be_planted() {
    let bugs = planted::bugs().expect("planted bugs");
    assert!(bugs.len() >= 20, "{} bugs", bugs.len());
    for bug in bugs {
        planted::fits(&bug).await.expect("a patch that fits");
    }
}
