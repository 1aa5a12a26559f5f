//! The table of failpoints as `docs/FAULTS.md` has it.

use std::fmt::Write;

use crate::points::{Reach, STEPS, Step};

/// In Markdown, a row a step; each step has two points, each point three faults.
pub fn markdown() -> String {
    let mut text = String::from(
        "| Step | Where | Between `.before` and `.after` | Reached by |\n|---|---|---|---|\n",
    );
    for step in STEPS {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            step.name,
            place(step),
            step.what,
            reached_by(step)
        );
    }
    text
}

fn place(step: &Step) -> String {
    match (step.embedded, step.reach) {
        (_, Reach::Rebuild) => "embedded, a command".into(),
        (true, _) => "embedded".into(),
        (false, _) => format!("{:?}", step.role).to_lowercase(),
    }
}

fn reached_by(step: &Step) -> String {
    match step.reach {
        Reach::Load => "the load".into(),
        Reach::Start => "a start".into(),
        Reach::Stop => "SIGTERM".into(),
        Reach::After(point, _) => format!("the load, once `{point}` has failed"),
        Reach::RedisRestart => "Redis restarted".into(),
        Reach::RedisForgets => "Redis emptied".into(),
        Reach::BoardBehind => "boards set back".into(),
        Reach::PlatformFails => "the data platform answering 500".into(),
        Reach::Pause => "a campaign paused".into(),
        Reach::Janitor => "a janitor when answers have grown old".into(),
        Reach::Rebuild => "`madang ranking rebuild`".into(),
    }
}
