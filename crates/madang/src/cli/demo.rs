//! `madang serve --demo`: fills an empty shop and tells a newcomer what to do with it.

use std::fmt::Write;
use std::net::SocketAddr;

use commerce::coupon::IssueMode;
use commerce::page::PageRequest;

use crate::auth::{Claims, sign};
use crate::config::{AuthMode, Config};
use crate::shop::{self, Fill, Shop};

const USER: i64 = 1001;
const TOKEN_TTL_S: i64 = 7 * 24 * 3600;

const FILL: Fill = Fill {
    first_user: 1001,
    users: 1_000,
    balance: 1_000_000,
    products: 20,
    stock: 1_000,
    price: 12_000,
    coupons: 10,
    quota: 100,
    discount: 2_000,
};

/// Fills the shop if its catalogue is empty; whether it did.
pub async fn fill_if_empty(shop: &Shop) -> anyhow::Result<bool> {
    let first = PageRequest {
        after: None,
        limit: 1,
    };
    if !shop.features.catalogue.list(first).await?.items.is_empty() {
        return Ok(false);
    }
    shop::fill(shop, &FILL).await?;
    Ok(true)
}

/// Whether the queue knows the first campaign: until then a join is told to come back. Direct campaigns have no queue.
pub async fn coupons_known(shop: &Shop) -> anyhow::Result<bool> {
    let coupons = &shop.features.coupons;
    let campaigns = coupons.audit(&coupons.given_out().await?).await?;
    let unknown = campaigns
        .first()
        .is_some_and(|first| first.issue_mode == IssueMode::Queue && first.last.is_none());
    Ok(!unknown)
}

/// What to open and what to paste.
pub fn welcome(config: &Config, address: SocketAddr, filled: bool) -> anyhow::Result<String> {
    let base = format!("http://{}", reachable(address));
    let off = config.auth.mode == AuthMode::Off;
    let signed = off || config.auth.jwks_url.is_empty();
    let token = |scope| {
        let claims = Claims {
            sub: USER,
            scope,
            ttl_s: TOKEN_TTL_S,
        };
        sign(config, &claims)
    };
    let bearer = match (off, signed) {
        (true, _) => String::new(),
        (false, true) => format!(" -H 'Authorization: Bearer {}'", token("customer")?),
        (false, false) => " -H \"Authorization: Bearer $TOKEN\"".to_owned(),
    };
    let (in_query, in_body) = if off {
        (format!("?userId={USER}"), format!("\"userId\":{USER},"))
    } else {
        (String::new(), String::new())
    };
    let mut text = String::new();
    writeln!(
        text,
        "\nMadang is open.{}\n",
        if filled {
            ""
        } else {
            " It was filled before and is left as it is."
        }
    )?;
    writeln!(text, "  Products   {base}/api/products")?;
    writeln!(text, "  The API    {base}/docs")?;
    writeln!(
        text,
        "  Health     {base}/readyz   Metrics  {base}/metrics\n"
    )?;
    writeln!(
        text,
        "There are products 1-20, users 1001-2000 with 1,000,000 won each, and open coupons 1-10. Try as user {USER}:\n"
    )?;
    writeln!(text, "# order two of product 1")?;
    writeln!(
        text,
        "curl -s {base}/api/orders{bearer} -H 'Content-Type: application/json' -d '{{{in_body}\"orderItems\":[{{\"productId\":1,\"quantity\":2}}]}}'\n"
    )?;
    writeln!(text, "# join the queue for coupon 1, then see how it went")?;
    writeln!(
        text,
        "curl -s -X POST '{base}/api/coupons/1/issue{in_query}'{bearer}; curl -s '{base}/api/coupons/1/issue/status{in_query}'{bearer}\n"
    )?;
    writeln!(text, "# the best sellers")?;
    writeln!(
        text,
        "curl -s '{base}/api/products/popular?window=today&limit=5'{bearer}\n"
    )?;
    if signed && !off {
        writeln!(
            text,
            "Tokens for others: madang token --sub 1002 [--scope operator]\n"
        )?;
    }
    Ok(text)
}

/// A client cannot connect to "any address".
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::from(([127, 0, 0, 1], address.port()));
    }
    address
}
