//! Every step of the shop that has failpoints, where it happens, and what has to happen for it to be reached.
//! The shop's own sources and `docs/FAULTS.md` are held against this table by a test.

/// A process of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Api,
    Relay,
    Scheduler,
    Consumers,
    Janitor,
}

/// What has to happen, besides the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Load,
    /// The role's process starts.
    Start,
    /// The role's process is told to stop.
    Stop,
    /// Another step of the process has failed (its point, and what it is told).
    After(&'static str, &'static str),
    /// Redis comes back as another run of the server, with its data.
    RedisRestart,
    /// Redis forgets all keys and stays the same run.
    RedisForgets,
    /// The boards on Redis know less of the topic than they did.
    BoardBehind,
    /// The data platform fails for a while.
    PlatformFails,
    /// A campaign with places on their way is paused.
    Pause,
    /// A round of the janitor in which answers to keys have grown old.
    Janitor,
    /// The command `ranking rebuild`, in a process of its own.
    Rebuild,
}

#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub name: &'static str,
    pub role: Role,
    pub reach: Reach,
    /// Only on the embedded default, whose queue and boards lie in the shop's own file.
    pub embedded: bool,
    /// What is between the two points.
    pub what: &'static str,
}

const fn step(name: &'static str, role: Role, reach: Reach, what: &'static str) -> Step {
    Step {
        name,
        role,
        reach,
        embedded: false,
        what,
    }
}

const fn embedded(name: &'static str, role: Role, reach: Reach, what: &'static str) -> Step {
    Step {
        embedded: true,
        ..step(name, role, reach, what)
    }
}

use Reach::{
    After, BoardBehind, Load, Pause, PlatformFails, Rebuild, RedisForgets, RedisRestart, Start,
    Stop,
};
use Role::{Api, Consumers, Janitor, Relay, Scheduler};

/// The answers to COMMITs lost; not each leads to the question (a batch of refusals does not).
const LOST_ORDER: Reach = After("sql.order-place.after", "8*return(error)->off");
const LOST_CHARGE: Reach = After("sql.wallet-charge.after", "8*return(error)->off");

#[rustfmt::skip]
pub const STEPS: &[Step] = &[
    step("http.order-place", Api, Load, "an order's request is answered"),
    step("http.order-cancel", Api, Load, "a cancel's request is answered"),
    step("http.wallet-charge", Api, Load, "a top-up's request is answered"),
    step("http.coupon-join", Api, Load, "a join's request is answered"),
    step("http.coupon-status", Api, Load, "a status poll is answered"),
    step("sql.order-place", Api, Load, "COMMIT of a batch of orders"),
    step("sql.order-settle", Api, LOST_ORDER, "COMMIT of the question whether a batch was committed"),
    step("sql.order-cancel", Api, Load, "COMMIT of a cancel"),
    step("sql.wallet-charge", Api, Load, "COMMIT of a top-up"),
    step("sql.idempotency-settle", Api, LOST_CHARGE, "COMMIT of the question whether a keyed command was committed"),
    step("sql.idempotency-prune", Janitor, Reach::Janitor, "COMMIT of the deletion of old answers"),
    step("sql.ids-reserve", Api, Load, "COMMIT of a block of numbers"),
    step("sql.product-create", Api, Load, "COMMIT of a new product"),
    step("sql.product-change", Api, Load, "COMMIT of a changed product"),
    step("sql.stock-adjust", Api, Load, "COMMIT of a stock adjustment"),
    step("sql.coupon-create", Api, Load, "COMMIT of a new campaign"),
    step("sql.coupon-change", Api, Load, "COMMIT of a changed campaign"),
    step("sql.coupon-open", Api, Load, "COMMIT that the queue is told of a campaign"),
    step("sql.coupon-issue-direct", Api, Load, "COMMIT of a coupon issued in the request"),
    step("sql.coupon-issue", Consumers, Load, "COMMIT of a batch of issues"),
    step("sql.coupon-epoch", Scheduler, RedisRestart, "COMMIT of a campaign's next epoch"),
    step("sql.recovery-lease", Scheduler, RedisRestart, "COMMIT of the right to recover the queue"),
    step("sql.recovery-done", Scheduler, RedisRestart, "COMMIT that the queue is recovered"),
    step("sql.outbox-lease", Relay, Load, "COMMIT of the lease of an outbox shard"),
    step("sql.outbox-delete", Relay, Load, "COMMIT of the deletion of acknowledged rows"),
    step("sql.receipts-note", Consumers, Load, "COMMIT of what the data platform has received"),
    step("sql.analytics-apply", Consumers, Load, "COMMIT of statistics and their notes"),
    step("queue.join", Api, Load, "joins are admitted on Redis"),
    step("queue.standings", Api, Load, "places and results are read from Redis"),
    step("queue.refresh", Scheduler, Load, "the queue is told of a campaign's terms"),
    step("queue.shrink", Api, Load, "the queue is asked for a lower quota"),
    step("queue.lease", Scheduler, Load, "the next places are leased"),
    step("queue.acknowledge", Scheduler, Load, "published places are taken off the queue"),
    step("queue.give-back", Consumers, Pause, "places return to the queue at their numbers"),
    step("queue.resign", Scheduler, Stop, "the lead of a campaign is given up"),
    step("queue.settle", Consumers, Load, "results are written for those who wait"),
    step("queue.incarnation", Scheduler, Load, "Redis is asked which run it is"),
    step("queue.reopen", Scheduler, RedisRestart, "the queue is closed for recovery and its scripts loaded"),
    step("queue.suspend", Scheduler, RedisForgets, "one campaign is closed for recovery"),
    step("queue.rebuild", Scheduler, RedisRestart, "a campaign's new epoch begins on Redis"),
    step("board.apply", Consumers, Load, "a batch of sales is counted on the boards"),
    step("board.place", Consumers, RedisForgets, "the boards are told how far a partition counts"),
    step("board.open", Consumers, RedisForgets, "a shadow board is opened"),
    step("board.feed", Consumers, RedisForgets, "a page of the recount is fed to the shadow"),
    step("board.flip", Consumers, RedisForgets, "the shadow takes the board's place"),
    step("relay.publish", Relay, Load, "a batch of outbox rows is published"),
    step("scheduler.publish", Scheduler, Load, "leased places are published"),
    step("consumers.publish", Consumers, PlatformFails, "a record is given on to a retry topic"),
    step("consumers.join", Consumers, Start, "a member joins its group"),
    step("consumers.seek", Consumers, BoardBehind, "a partition is read again from an earlier offset"),
    step("consumers.commit", Consumers, Load, "offsets are committed"),
    step("consumers.leave", Consumers, Stop, "a member leaves its group"),
    step("outbox.read", Relay, Load, "the outbox is read"),
    step("outbox.release", Relay, Stop, "the lease of a shard is given up"),
    step("platform.deliver", Consumers, Load, "events are sent to the data platform"),
    step("handle.analytics", Consumers, Load, "a batch is handled by analytics"),
    step("handle.ranking", Consumers, Load, "a batch is handled by ranking"),
    step("handle.coupon-issue", Consumers, Load, "a batch is handled by the issuing consumer"),
    step("handle.data-platform", Consumers, Load, "a batch is handled by the data platform's consumer"),
    embedded("sql.queue-join", Api, Load, "COMMIT of joins on the embedded queue"),
    embedded("sql.queue-lease", Scheduler, Load, "COMMIT of a lease of places"),
    embedded("sql.queue-acknowledge", Scheduler, Load, "COMMIT of places taken off"),
    embedded("sql.queue-change", Scheduler, Load, "COMMIT of changed terms"),
    embedded("sql.queue-shrink", Api, Load, "COMMIT of a lower quota"),
    embedded("sql.queue-give-back", Consumers, Pause, "COMMIT of places that return"),
    embedded("sql.queue-settle", Consumers, Load, "COMMIT of results"),
    embedded("sql.queue-rebuild", Api, Load, "COMMIT of a campaign's epoch on the embedded queue"),
    embedded("sql.board-apply", Consumers, Load, "COMMIT of counts on the embedded boards"),
    embedded("sql.board-open", Consumers, Rebuild, "COMMIT of a shadow board"),
    embedded("sql.board-feed", Consumers, Rebuild, "COMMIT of a page fed to a shadow"),
    embedded("sql.board-flip", Consumers, Rebuild, "COMMIT of a shadow in the board's place"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// SIGKILL.
    Kill,
    /// The step fails, or seems to have failed.
    Error,
    Delay,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Kill, Mode::Error, Mode::Delay];

    pub fn word(self) -> &'static str {
        match self {
            Mode::Kill => "kill",
            Mode::Error => "error",
            Mode::Delay => "delay",
        }
    }
}

/// One fault: a point and what it is told.
#[derive(Clone, Debug)]
pub struct Fault {
    pub step: Step,
    /// `before` or `after`.
    pub side: &'static str,
    pub mode: Mode,
}

impl Fault {
    pub fn point(&self) -> String {
        format!("{}.{}", self.step.name, self.side)
    }

    /// `point:mode`, by which it is asked for.
    pub fn name(&self) -> String {
        format!("{}:{}", self.point(), self.mode.word())
    }
}

/// All faults of one ground, point by point.
pub fn faults(embedded: bool) -> Vec<Fault> {
    let of_ground = |step: &&Step| step.embedded == embedded;
    let mut faults = Vec::new();
    for step in STEPS.iter().filter(of_ground) {
        for side in ["before", "after"] {
            let of_mode = |mode| Fault {
                step: *step,
                side,
                mode,
            };
            faults.extend(Mode::ALL.map(of_mode));
        }
    }
    faults
}
