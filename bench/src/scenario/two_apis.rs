//! Orders on two API processes over one database, against one, everything else being alike: a process for the other roles in both.
//! Two processes lock the same rows; no 5xx may reach a client.

use anyhow::{Context, Result};
use clap::Args;
use testkit::Which;

use super::contest::{compete, described};
use super::orders::{Shape, work};
use crate::options::Pairs;
use crate::report::Report;
use crate::stage::{Grounds, Seed, Side, Stage, in_roles, seed};

const OTHER_ROLES: [&str; 4] = ["relay", "coupon-scheduler", "consumers", "janitor"];

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub pairs: Pairs,
    #[command(flatten)]
    shape: Shape,
}

pub async fn run(options: &Options) -> Result<Report> {
    let orders = options.shape.orders()?;
    let work = work(orders);
    let mut grounds = Grounds::prepare(&options.pairs.ours, Which::ALL).await?;
    let two = side(&mut grounds, "two APIs", 2, &work.seed).await?;
    let one = side(&mut grounds, "one API", 1, &work.seed).await?;
    let mut stage = Stage {
        sides: vec![two, one],
        grounds: Some(grounds),
    };
    let drive = options.pairs.drive();
    let (sides, checks) = compete(&work, &drive, &stage).await?;
    let load = described(&options.pairs.effort, None, options.pairs.runs);
    let name = format!("two API processes against one: {}", work.name);
    let mut report = Report::new(name, load, stage.grounds.as_mut()).await?;
    for (side, runs) in stage.sides.iter().zip(sides) {
        report.side(&side.name, runs);
    }
    report.checks = checks;
    report.check("no answer but 201 came (and refusals where they were asked for)");
    Ok(report)
}

async fn side(grounds: &mut Grounds, name: &str, apis: usize, filled: &Seed) -> Result<Side> {
    let settings = grounds.settings().await?;
    seed(&settings, filled).await?;
    let mut shops = Vec::new();
    for _ in 0..apis {
        let api = in_roles(&settings, &["api"]);
        shops.push(api.start().await?);
    }
    let others = in_roles(&settings, &OTHER_ROLES);
    shops.push(others.start().await.context("the other roles")?);
    let mut side = Side::of(name, settings, shops)?;
    side.addresses.truncate(apis);
    Ok(side)
}
