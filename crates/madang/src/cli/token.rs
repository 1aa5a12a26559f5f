//! `madang token`: a signed token for trying things out.

use std::io::Write;

use commerce::ids::UserId;

use crate::auth::{Claims, sign};
use crate::config::Config;

const SCOPES: [&str; 2] = ["customer", "operator"];

#[derive(clap::Args)]
pub struct Args {
    /// The user's id.
    #[arg(long, value_name = "ID")]
    sub: UserId,
    /// customer, operator, or both separated by a comma.
    #[arg(long, default_value = "customer", value_delimiter = ',', value_parser = SCOPES)]
    scope: Vec<String>,
    /// How long it is good for.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(i64).range(1..))]
    ttl: i64,
}

pub fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    let claims = Claims {
        sub: args.sub.get(),
        scope: &args.scope.join(" "),
        ttl_s: args.ttl,
    };
    let token = sign(config, &claims)?;
    writeln!(std::io::stdout(), "{token}")?;
    Ok(())
}
