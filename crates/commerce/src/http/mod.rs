//! What all routes share: who is calling, problems, JSON bodies, idempotency, pages. Each feature exports its own router;
//! the binary merges them. No feature's rule lives here.

pub mod auth;
pub mod extract;
pub mod gate;
pub mod idempotency;
pub mod problem;

pub use auth::{Caller, Operator, Scope};
pub use extract::{Command, PathOf, QueryOf};
pub use gate::Gate;
pub use problem::Problem;
