//! The roles a process can have, and how they are run together: each is one task with one `run` function.
//! A role that ends before it is told to takes the process down with it: a half-dead process helps nobody, and whoever
//! supervises it starts it again.

pub mod api;
pub mod consumers;
pub mod coupon_scheduler;
pub mod janitor;
pub mod relay;

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::shop::{Name, Shop};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Api,
    Relay,
    CouponScheduler,
    Consumers(Vec<Name>),
    Janitor,
}

impl Role {
    pub fn all() -> Vec<Self> {
        vec![
            Self::Api,
            Self::Relay,
            Self::CouponScheduler,
            Self::Consumers(Name::ALL.to_vec()),
            Self::Janitor,
        ]
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Relay => "relay",
            Self::CouponScheduler => "coupon-scheduler",
            Self::Consumers(_) => "consumers",
            Self::Janitor => "janitor",
        }
    }

    /// Whether it needs the event log.
    pub fn moves_events(&self) -> bool {
        matches!(
            self,
            Self::Relay | Self::CouponScheduler | Self::Consumers(_)
        )
    }
}

/// What `--role` takes: a role, `all`, or `consumers=ranking,analytics`.
#[derive(Clone, Debug)]
pub struct Roles(pub Vec<Role>);

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, of) = match text.split_once('=') {
            Some((name, of)) => (name, Some(of)),
            None => (text, None),
        };
        match (name, of) {
            ("consumers", Some(of)) => Ok(Self(vec![Role::Consumers(consumers_of(of)?)])),
            ("all", None) => Ok(Self(Role::all())),
            (name, None) => Role::all()
                .into_iter()
                .find(|role| role.name() == name)
                .map(|role| Self(vec![role]))
                .ok_or_else(|| {
                    format!("no role {name:?}; there are api, relay, coupon-scheduler, consumers, consumers=NAME[,NAME], janitor, all")
                }),
            (name, Some(_)) => Err(format!("only the role consumers takes names, not {name:?}")),
        }
    }
}

fn consumers_of(text: &str) -> Result<Vec<Name>, String> {
    text.split(',')
        .map(|name| {
            Name::parse(name.trim()).ok_or_else(|| {
                let known = Name::ALL.map(Name::as_str).join(", ");
                format!("no consumer {name:?}; there are {known}")
            })
        })
        .collect()
}

/// The named roles, each once; all of them when none is named.
pub fn merge(named: Vec<Roles>) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::new();
    for role in named.into_iter().flat_map(|roles| roles.0) {
        let known = roles.iter_mut().find(|known| known.name() == role.name());
        match (known, role) {
            (Some(Role::Consumers(names)), Role::Consumers(more)) => {
                for name in more {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
            (Some(_), _) => {}
            (None, role) => roles.push(role),
        }
    }
    if roles.is_empty() { Role::all() } else { roles }
}

/// Runs the roles until `cancel`, then until each has ended.
///
/// # Errors
/// The first role that failed, panicked or ended by itself; the others are cancelled first.
pub async fn run(
    shop: &Arc<Shop>,
    roles: &[Role],
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for role in roles.iter().cloned() {
        let shop = Arc::clone(shop);
        let cancel = cancel.clone();
        tasks.spawn(async move {
            let name = role.name();
            let ended = match role {
                Role::Api => api::run(shop, cancel.clone()).await,
                Role::Relay => relay::run(shop, cancel.clone()).await,
                Role::CouponScheduler => coupon_scheduler::run(shop, cancel.clone()).await,
                Role::Consumers(names) => consumers::run(shop, names, cancel.clone()).await,
                Role::Janitor => janitor::run(shop, cancel.clone()).await,
            };
            match ended {
                Ok(()) if !cancel.is_cancelled() => Err(anyhow!("it ended by itself")),
                other => other,
            }
            .with_context(|| format!("role {name}"))
        });
    }
    let mut first = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(error).context("a role panicked"));
        if ended.is_err() && first.is_ok() {
            first = ended;
            cancel.cancel();
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(texts: &[&str]) -> Vec<Role> {
        merge(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn roles_are_named_once_and_all_by_default() {
        assert_eq!(merged(&[]), Role::all());
        assert_eq!(merged(&["all", "api"]), Role::all());
        assert_eq!(
            merged(&["consumers=ranking", "api", "consumers=analytics,ranking"]),
            [
                Role::Consumers(vec![Name::Ranking, Name::Analytics]),
                Role::Api
            ]
        );
        assert!("api=1".parse::<Roles>().is_err());
        assert!("consumers=nobody".parse::<Roles>().is_err());
        assert!("console".parse::<Roles>().is_err());
    }
}
