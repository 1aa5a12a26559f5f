//! `madang serve`: brings the process up in the order that its dependencies allow, runs its roles, and takes it down again.
//! The listener is first, so that health answers from the start; /api opens once the schema is there, the roles that move
//! events start once the topics are there too.

use std::sync::Arc;
use std::time::Duration;

use commerce::http::Gate;
use tokio_util::sync::CancellationToken;

use super::{lock, stop};
use crate::config::Config;
use crate::http::{self, Edge, Parts};
use crate::readiness::Readiness;
use crate::roles::{self, Role, Roles};
use crate::shop::{self, Shop};
use crate::{auth, telemetry};

/// From the signal to the end of the process at most.
const STOP_WITHIN: Duration = Duration::from_secs(9);
const SCHEMA: &str = "the database's schema";
const TOPICS: &str = "the topics";

#[derive(clap::Args)]
pub struct Args {
    /// api, relay, coupon-scheduler, consumers (or consumers=ranking,analytics,coupon-issue,data-platform), janitor; all by default.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Roles>,
    /// Address and port in place of http.listen.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

pub async fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let roles = roles::merge(args.roles);
    let _lock = lock::serve(&config)?;
    let cancel = CancellationToken::new();
    stop::on_signal(cancel.clone())?;
    let metrics = telemetry::install_metrics()?;
    let listener = http::bind(&config.http).await?;
    let address = listener.local_addr()?;
    let shop = Shop::open(config).await?;
    let authenticator = auth::authenticator(&shop.config, &shop.issuer_keys)?;
    if shop.config.is_embedded() {
        // A local file needs no waiting for, and what is wrong with it is said before anything listens.
        shop::migrate(&shop).await?;
    }
    let readiness = Readiness::start(shop::dependencies(&shop, &roles), &cancel);
    readiness.begin(SCHEMA);
    readiness.begin(TOPICS);
    let settings = &shop.config.http;
    let edge = Arc::new(Edge::new(settings));
    let router = http::app(
        settings,
        Parts {
            edge: Arc::clone(&edge),
            gate: Arc::new(Gate::new(authenticator, settings.body_max_bytes)),
            readiness: Arc::clone(&readiness),
            metrics,
            features: if roles.contains(&Role::Api) {
                shop.features.routers()
            } else {
                Vec::new()
            },
        },
    );
    let names: Vec<_> = roles.iter().map(Role::name).collect();
    tracing::info!(%address, roles = names.join(","), "listening");
    let serving = tokio::spawn({
        let (settings, cancel) = (settings.clone(), cancel.clone());
        async move { http::run(listener, router, &settings, cancel).await }
    });
    let coupons = Arc::clone(&shop.features.coupons);
    let stopping = cancel.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        coupons.close_streams();
    });
    let working = work(&shop, &roles, &readiness, &edge, &cancel);
    let ended = within_bound(working, serving, &cancel).await;
    readiness.stopping();
    ended
}

/// The start's steps and then the roles, until `cancel`.
async fn work(
    shop: &Arc<Shop>,
    roles: &[Role],
    readiness: &Readiness,
    edge: &Edge,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(migrated) = cancel.run_until_cancelled(shop::migrate(shop)).await else {
        return Ok(());
    };
    migrated?;
    readiness.done(SCHEMA);
    edge.open();
    let (early, late): (Vec<_>, Vec<_>) =
        roles.iter().cloned().partition(|role| !role.moves_events());
    let after_topics = async {
        match cancel.run_until_cancelled(shop::topics_ready(shop)).await {
            None => return Ok(()),
            Some(ready) => ready?,
        }
        readiness.done(TOPICS);
        tracing::info!("ready");
        roles::run(shop, &late, cancel).await
    };
    let early = async { roles::run(shop, &early, cancel).await };
    tokio::try_join!(early, after_topics).map(|_| ())
}

/// Waits for the work and the listener to end; a failure of either cancels the other. After `cancel`, only so long.
async fn within_bound(
    working: impl Future<Output = anyhow::Result<()>>,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let both = async {
        let working = async {
            let ended = working.await;
            if ended.is_err() {
                cancel.cancel();
            }
            ended
        };
        let serving = async {
            let ended = serving.await.unwrap_or_else(|error| Err(error.into()));
            cancel.cancel();
            ended
        };
        let (worked, served) = tokio::join!(working, serving);
        worked.and(served)
    };
    let bound = async {
        cancel.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    };
    tokio::select! {
        ended = both => {
            tracing::info!("stopped");
            ended
        }
        () = bound => {
            tracing::warn!(within_ms = STOP_WITHIN.as_millis(), "not everything was settled in time; what is left is settled by the next start");
            Ok(())
        }
    }
}
