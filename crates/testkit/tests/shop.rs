//! `ShopProcess` and `Client`, against this very test binary in the part of the shop.
//! Not a test of the shop.
//! Run by `cargo test`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::ShopSettings;

/// `serve`, the first argument that a shop is started with, selects the one test below that is called so.
fn settings(part: &str) -> Result<ShopSettings> {
    Ok(ShopSettings::new(std::env::current_exe()?)?
        .env("TESTKIT_PART", part)
        .arg("--nocapture"))
}

#[tokio::test]
async fn a_shop_starts_answers_and_stops() -> Result<()> {
    let settings = settings("shop")?;
    let mut shop = settings.start().await?;
    let answer = shop.client().get("/readyz").await?.expect(200);
    assert_eq!(answer.json["ready"], true);
    assert_eq!(answer.header("x-part"), "shop");
    assert!(shop.logs().contains("GET /readyz"), "{}", shop.logs());
    assert_eq!(shop.exit_code()?, None);
    // It has no handler, so the signal itself ends it.
    assert_eq!(shop.stop().await?, -1);
    assert!(shop.client().get("/readyz").await.is_err());
    let mut again = settings.start().await?;
    again.kill();
    assert_eq!(again.exit_code()?, Some(-1));
    Ok(())
}

#[tokio::test]
async fn a_shop_that_ends_is_not_waited_for() -> Result<()> {
    let settings = settings("refuses")?;
    let error = settings.start().await.err().context("it must not start")?;
    let text = format!("{error:#}");
    assert!(text.contains("database.url is wrong"), "{text}");
    let mut shop = settings.start_unready()?;
    assert_eq!(shop.wait(Duration::from_secs(60)).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_command_gives_back_what_it_printed() -> Result<()> {
    let settings = settings("refuses")?;
    let refused = settings.run(&["serve", "--nocapture"]).await?;
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("database.url is wrong"));
    let listed = settings.run(&["--list"]).await?.expect_success();
    assert!(listed.stdout.contains("serve: test"));
    Ok(())
}

/// Only does something when a test above runs it as its shop.
#[test]
fn serve() -> Result<()> {
    match std::env::var("TESTKIT_PART").as_deref() {
        Ok("shop") => be_a_shop(),
        Ok(_) => {
            eprintln!("database.url is wrong");
            std::process::exit(2);
        }
        Err(_) => Ok(()),
    }
}

/// Not ready at the first look, ready from the second.
fn be_a_shop() -> Result<()> {
    let listener = TcpListener::bind(std::env::var("MADANG_HTTP__LISTEN")?)?;
    let mut looks = 0;
    loop {
        let (mut stream, _) = listener.accept()?;
        let lines: Vec<String> = BufReader::new(&stream)
            .lines()
            .map_while(|line| line.ok().filter(|line| !line.is_empty()))
            .collect();
        println!("{}", lines.first().context("a request")?);
        looks += 1;
        let (status, body) = if looks == 1 {
            ("503 Service Unavailable", "{}")
        } else {
            ("200 OK", "{\"ready\":true}")
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nx-part: shop\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}
