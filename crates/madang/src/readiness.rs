//! Whether the process can do its work: each dependency's state, asked for again and again.
//! It decides nothing else: roles wait on their own, requests fail on their own. `/readyz` reports it.
//! The process is ready once every dependency has been there; afterwards only the essential ones can make it unready,
//! so that one that is away does not take from the load balancer what does not need it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::RwLock;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// Between two questions to a dependency that is there, and to one that is not: its return is to be noticed soon.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How many different causes of one absence the log is told.
const CAUSES_TOLD: usize = 4;
/// How long a dependency may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// One thing that the process needs.
pub struct Dependency {
    pub name: &'static str,
    /// Without it the process is not ready even after a good start.
    pub essential: bool,
    pub ask: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl Dependency {
    pub fn new<F, W>(name: &'static str, essential: bool, ask: F) -> Self
    where
        F: Fn() -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self {
            name,
            essential,
            ask: Box::new(move || Box::pin(ask())),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not reached since the process started.
    Waiting,
    Up,
    Down,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DependencyReport {
    #[schema(value_type = String, example = "database")]
    name: &'static str,
    state: State,
    essential: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// The body of `/readyz`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Report {
    /// `ready` or `not-ready`.
    #[schema(value_type = String, example = "ready")]
    status: &'static str,
    dependencies: Vec<DependencyReport>,
    /// What the start waits for, where it has not been done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting_for: Vec<String>,
}

impl Report {
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

struct Known {
    dependencies: Vec<DependencyReport>,
    /// Of each, the causes that the log has been told since it was there, without their numbers.
    told: Vec<Vec<String>>,
    /// Steps of the start that are not done.
    steps: Vec<String>,
    was_ready: bool,
    stopping: bool,
}

pub struct Readiness {
    known: RwLock<Known>,
}

impl Readiness {
    /// Starts asking; the questions end with `cancel`.
    pub fn start(dependencies: Vec<Dependency>, cancel: &CancellationToken) -> Arc<Self> {
        let reports = dependencies.iter().map(|dependency| DependencyReport {
            name: dependency.name,
            state: State::Waiting,
            essential: dependency.essential,
            detail: None,
        });
        let readiness = Arc::new(Self {
            known: RwLock::new(Known {
                told: vec![Vec::new(); dependencies.len()],
                dependencies: reports.collect(),
                steps: Vec::new(),
                was_ready: false,
                stopping: false,
            }),
        });
        for (index, dependency) in dependencies.into_iter().enumerate() {
            let watch = watch(Arc::clone(&readiness), index, dependency);
            let cancel = cancel.clone();
            tokio::spawn(async move { cancel.run_until_cancelled(watch).await });
        }
        readiness
    }

    /// A step of the start that must be done before the process is ready.
    pub fn begin(&self, step: &str) {
        self.known.write().steps.push(step.to_owned());
    }

    pub fn done(&self, step: &str) {
        self.known.write().steps.retain(|name| name != step);
    }

    /// The process is about to end: no further requests, please.
    pub fn stopping(&self) {
        self.known.write().stopping = true;
    }

    pub fn report(&self) -> Report {
        let mut known = self.known.write();
        let all_up = known.dependencies.iter().all(|d| d.state == State::Up);
        if all_up && known.steps.is_empty() {
            known.was_ready = true;
        }
        let essential_up = known
            .dependencies
            .iter()
            .all(|d| d.state == State::Up || !d.essential);
        let ready = known.was_ready && essential_up && !known.stopping;
        Report {
            status: if ready { "ready" } else { "not-ready" },
            dependencies: known.dependencies.clone(),
            waiting_for: known.steps.clone(),
        }
    }

    fn learn(&self, index: usize, answer: Result<(), String>) {
        let known = &mut *self.known.write();
        let dependency = &mut known.dependencies[index];
        let told = &mut known.told[index];
        let before = dependency.state;
        let name = dependency.name;
        match answer {
            Ok(()) => {
                dependency.state = State::Up;
                let had_trouble = dependency.detail.take().is_some();
                told.clear();
                if before == State::Down || had_trouble {
                    tracing::info!(dependency = name, "dependency is there again");
                }
            }
            Err(cause) => {
                if before != State::Waiting {
                    dependency.state = State::Down;
                }
                // Once each: the first is often that nobody has answered yet, and the next why.
                let kind = cause.replace(|c: char| c.is_ascii_digit(), "");
                if told.len() < CAUSES_TOLD && !told.contains(&kind) {
                    told.push(kind);
                    tracing::warn!(dependency = name, %cause, "dependency is not there, waiting for it");
                }
                dependency.detail = Some(cause);
            }
        }
    }
}

async fn watch(readiness: Arc<Readiness>, index: usize, dependency: Dependency) {
    loop {
        let answer = match tokio::time::timeout(ANSWER_WITHIN, (dependency.ask)()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
        };
        let pause = if answer.is_ok() { ASK_EVERY } else { ASK_AGAIN };
        readiness.learn(index, answer);
        tokio::time::sleep(pause).await;
    }
}
