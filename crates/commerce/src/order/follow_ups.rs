//! What follows an order (ranking, data platform, analytics) and how: by an event, or inside the request as it used to be.
//! Each step is switched on its own. The store asks an `Outlet` what to write; the service asks it what to run.

use std::sync::Arc;

use async_trait::async_trait;
use messaging::outbox::Event;

use super::events::Events;
use super::model::Turn;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FollowUp {
    Ranking,
    DataPlatform,
    Analytics,
}

impl FollowUp {
    pub const ALL: [Self; 3] = [Self::Ranking, Self::DataPlatform, Self::Analytics];

    /// Its bit in `orders.owes`.
    #[must_use]
    pub fn bit(self) -> i16 {
        match self {
            Self::Ranking => 1,
            Self::DataPlatform => 2,
            Self::Analytics => 4,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Through the outbox and its topic.
    #[default]
    Events,
    /// Inside the request.
    Inline,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowUps {
    pub ranking: Mode,
    pub data_platform: Mode,
    pub analytics: Mode,
}

impl FollowUps {
    #[must_use]
    pub fn of(self, step: FollowUp) -> Mode {
        match step {
            FollowUp::Ranking => self.ranking,
            FollowUp::DataPlatform => self.data_platform,
            FollowUp::Analytics => self.analytics,
        }
    }

    /// The steps that an order owes by event, as a sum of their bits.
    #[must_use]
    pub fn owes(self) -> i16 {
        FollowUp::ALL
            .into_iter()
            .filter(|step| self.of(*step) == Mode::Events)
            .map(FollowUp::bit)
            .sum()
    }
}

/// A step carried out inside the request. It is given the events that would have gone to its topic. The binary implements it.
#[async_trait]
pub trait InlineFollowUps: Send + Sync + 'static {
    /// The error is text for the log.
    async fn run(&self, step: FollowUp, events: &[Event]) -> Result<(), String>;
}

/// Where the news of an order goes.
pub struct Outlet {
    events: Events,
    follow_ups: FollowUps,
    inline: Arc<dyn InlineFollowUps>,
}

impl Outlet {
    #[must_use]
    pub fn new(events: Events, follow_ups: FollowUps, inline: Arc<dyn InlineFollowUps>) -> Self {
        Self {
            events,
            follow_ups,
            inline,
        }
    }

    #[must_use]
    pub fn follow_ups(&self) -> FollowUps {
        self.follow_ups
    }

    /// The events of a turn, to be written in its transaction.
    #[must_use]
    pub fn events(&self, turn: &Turn) -> Vec<Event> {
        FollowUp::ALL
            .into_iter()
            .filter(|step| self.follow_ups.of(*step) == Mode::Events)
            .flat_map(|step| self.events.of(turn, step))
            .collect()
    }

    /// Runs, last thing before the commit, what can still fail the turn: an inline data platform.
    ///
    /// # Errors
    /// Text for the log; roll back then.
    pub async fn before_commit(&self, turn: &Turn) -> Result<(), String> {
        if self.follow_ups.data_platform == Mode::Events {
            return Ok(());
        }
        let events = self.events.of(turn, FollowUp::DataPlatform);
        self.inline.run(FollowUp::DataPlatform, &events).await
    }

    /// Runs the other inline steps, inside the request and after its commit: a failure is logged and changes nothing.
    pub async fn after_commit(&self, turn: &Turn) {
        for step in [FollowUp::Ranking, FollowUp::Analytics] {
            if self.follow_ups.of(step) == Mode::Events {
                continue;
            }
            let events = self.events.of(turn, step);
            if let Err(cause) = self.inline.run(step, &events).await {
                metrics::counter!("madang_inline_follow_up_failures_total", "step" => format!("{step:?}"))
                    .increment(1);
                tracing::error!(order = turn.order.id.get(), ?step, %cause, "an inline follow-up failed");
            }
        }
    }
}
