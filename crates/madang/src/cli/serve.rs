//! `madang serve`: brings the process up in the order that its dependencies allow, runs its roles, and takes it down again.
//! The listener is first, so that health answers from the start; /api opens once the schema is there, the roles that move
//! events start once the topics are there too.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use commerce::http::Gate;
use tokio_util::sync::CancellationToken;

use super::{demo, lock, stop};
use crate::config::Config;
use crate::http::{self, Edge, Parts};
use crate::readiness::Readiness;
use crate::roles::{self, Role, Roles};
use crate::shop::{self, Shop};
use crate::{auth, telemetry};

/// From the signal to the end of the process at most.
const STOP_WITHIN: Duration = Duration::from_secs(9);
/// Between two looks at whether all is ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const SCHEMA: &str = "the database's schema";
const TOPICS: &str = "the topics";

#[derive(clap::Args)]
pub struct Args {
    /// api, relay, coupon-scheduler, consumers (or consumers=ranking,analytics,coupon-issue,data-platform), janitor; all by default.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Roles>,
    /// Fill an empty shop with products 1-20, users 1001-2000 with money and open coupons 1-10, and say what to try.
    #[arg(long)]
    demo: bool,
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
    let edge = Arc::new(Edge::new(settings, shop.config.telemetry.has_collector()));
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
    let start = Start {
        shop: &shop,
        readiness: &readiness,
        edge: &edge,
        cancel: &cancel,
        demo: args.demo.then_some(address),
    };
    let working = start.work(&roles);
    let ended = within_bound(working, serving, &cancel).await;
    readiness.stopping();
    ended
}

/// What the steps of a start have in common.
struct Start<'a> {
    shop: &'a Arc<Shop>,
    readiness: &'a Readiness,
    edge: &'a Edge,
    cancel: &'a CancellationToken,
    /// The address to tell a newcomer.
    demo: Option<SocketAddr>,
}

impl Start<'_> {
    /// The steps and then the roles, until `cancel`.
    async fn work(&self, roles: &[Role]) -> anyhow::Result<()> {
        let Some(opened) = self.cancel.run_until_cancelled(self.open()).await else {
            return Ok(());
        };
        let filled = opened?;
        let (early, late): (Vec<_>, Vec<_>) =
            roles.iter().cloned().partition(|role| !role.moves_events());
        let late = async {
            let topics = shop::topics_ready(self.shop);
            match self.cancel.run_until_cancelled(topics).await {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.cancel.cancel();
                    return Err(error);
                }
            }
            self.readiness.done(TOPICS);
            tracing::info!("ready");
            roles::run(self.shop, &late, self.cancel).await
        };
        let early = roles::run(self.shop, &early, self.cancel);
        let welcome = self.cancel.run_until_cancelled(self.welcome(filled));
        // Each ends by itself once the other has failed: a failure cancels.
        let (early, late, welcomed) = tokio::join!(early, late, welcome);
        early.and(late).and(welcomed.unwrap_or(Ok(())))
    }

    /// The schema, the demo's goods, and then the doors; whether the shop was filled.
    async fn open(&self) -> anyhow::Result<bool> {
        shop::migrate(self.shop).await?;
        let filled = match self.demo {
            Some(_) => demo::fill_if_empty(self.shop).await?,
            None => false,
        };
        self.readiness.done(SCHEMA);
        self.edge.open();
        Ok(filled)
    }

    /// Tells a newcomer what to try, once it will work.
    async fn welcome(&self, filled: bool) -> anyhow::Result<()> {
        let Some(address) = self.demo else {
            return Ok(());
        };
        while !self.readiness.report().is_ready() || !demo::coupons_known(self.shop).await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let text = demo::welcome(&self.shop.config, address, filled)?;
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

/// Waits for the work and the listener to end; a failure of either cancels the other. After `cancel`, only so long.
async fn within_bound(
    working: impl Future<Output = anyhow::Result<()>>,
    serving: tokio::task::JoinHandle<()>,
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
            let ended = serving.await.context("the HTTP listener failed");
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
