//! The ground of the whole-shop tests, which these stand on too.
//! Nothing of its own. Used by every test here.

#[path = "../it/whole/stage.rs"]
#[allow(
    unused,
    reason = "shared with the whole-shop tests, which use all of it"
)]
pub mod stage;
