//! Problems that belong to no feature: routes, methods, bodies, callers. Each is a problem document with a stable code.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Response, ShopProcess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::modes::embedded;

async fn open_shop() -> Result<ShopProcess> {
    embedded().env("MADANG_AUTH__MODE", "off").start().await
}

/// The document, with what every problem must have checked.
#[track_caller]
fn problem(response: Response) -> Value {
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert!(!response.header("x-request-id").is_empty());
    let body = response.json;
    assert_eq!(body["status"], response.status);
    assert_eq!(body["message"], body["detail"]);
    assert!(body["code"].is_string());
    body
}

#[tokio::test]
async fn routes_and_methods() -> Result<()> {
    let shop = open_shop().await?;
    let client = shop.client();
    insta::assert_json_snapshot!("no-route", problem(client.get("/api/nothing").await?));
    let put = client
        .send(Method::PUT, "/api/users/balance", &[], None)
        .await?;
    assert!(put.header("allow").contains("GET"));
    insta::assert_json_snapshot!("no-method", problem(put));
    Ok(())
}

#[tokio::test]
async fn bodies() -> Result<()> {
    let shop = open_shop().await?;
    let client = shop.client();
    let path = "/api/users/balance/charge";
    let post = async |kind: &str, body: Vec<u8>| {
        let headers = [("content-type", kind)];
        let answer = client
            .send(Method::POST, path, &headers, Some(body))
            .await?;
        anyhow::Ok(problem(answer))
    };
    insta::assert_json_snapshot!("not-json", post("application/json", b"{".to_vec()).await?);
    insta::assert_json_snapshot!("media-type", post("text/plain", b"{}".to_vec()).await?);
    insta::assert_json_snapshot!(
        "too-large",
        post("application/json", vec![b' '; 1 << 20]).await?
    );
    let deep = "[".repeat(5_000).into_bytes();
    assert_eq!(post("application/json", deep).await?["status"], 400);
    let wrong = json!({"userId": 1, "amount": 1.5}).to_string().into_bytes();
    insta::assert_json_snapshot!("wrong-type", post("application/json", wrong).await?);
    let missing = json!({"userId": 1}).to_string().into_bytes();
    insta::assert_json_snapshot!("missing-field", post("application/json", missing).await?);
    Ok(())
}

#[tokio::test]
async fn chunked_bodies_have_the_same_limit() -> Result<()> {
    let shop = open_shop().await?;
    let address = shop.base_url().replace("http://", "");
    let mut stream = TcpStream::connect(address).await?;
    let head = "POST /api/users/balance/charge HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    let mut answer = [0_u8; 12];
    for _ in 0..64 {
        // The shop may answer and close before it has read everything.
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    stream.read_exact(&mut answer).await?;
    assert_eq!(std::str::from_utf8(&answer)?, "HTTP/1.1 413");
    Ok(())
}

const IDLE_MS: u64 = 3_000;
/// Between the requests of a client that is there.
const PAUSE: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_secs(60);

/// Reads until the shop closes; what came before.
async fn to_the_end(stream: &mut TcpStream) -> Result<String> {
    let mut came = Vec::new();
    let ended = tokio::time::timeout(SOON, stream.read_to_end(&mut came)).await;
    ended.context("it stays open")??;
    Ok(String::from_utf8(came)?)
}

#[tokio::test]
async fn connections_without_a_whole_request_are_closed() -> Result<()> {
    let shop = embedded()
        .env("MADANG_HTTP__IDLE_MAX_MS", IDLE_MS.to_string())
        .start()
        .await?;
    let address = shop.base_url().replace("http://", "");
    let connect = async || TcpStream::connect(address.as_str()).await;
    let mut silent = connect().await?;
    let mut slow = connect().await?;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: shop\r\nx-half-a-")
        .await?;
    let mut answered = connect().await?;
    let whole = b"GET /healthz HTTP/1.1\r\nhost: shop\r\n\r\n";
    answered.write_all(whole).await?;
    assert_eq!(to_the_end(&mut silent).await?, "");
    assert_eq!(to_the_end(&mut slow).await?, "");
    let came = to_the_end(&mut answered).await?;
    assert!(came.starts_with("HTTP/1.1 200"), "{came}");

    // Between requests it counts anew. Java's client asks for HTTP/2 each time, and goes on in HTTP/1.1.
    let whole = b"GET /healthz HTTP/1.1\r\nhost: shop\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n\r\n";
    let mut asking = connect().await?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(IDLE_MS + 500) {
        asking.write_all(whole).await?;
        let mut answer = [0_u8; 12];
        asking.read_exact(&mut answer).await?;
        assert_eq!(std::str::from_utf8(&answer)?, "HTTP/1.1 200");
        while asking.read_u8().await? != b'}' {}
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

#[tokio::test]
async fn large_heads_are_refused() -> Result<()> {
    let settings = embedded().env("MADANG_HTTP__HEAD_MAX_BYTES", "8192");
    let shop = settings.start().await?;
    let ask = async |bytes: usize| {
        let mut stream = TcpStream::connect(shop.base_url().replace("http://", "")).await?;
        let head = format!(
            "GET /healthz HTTP/1.1\r\nhost: shop\r\nconnection: close\r\nx-large: {}\r\n\r\n",
            "x".repeat(bytes)
        );
        stream.write_all(head.as_bytes()).await?;
        to_the_end(&mut stream).await
    };
    let taken = ask(7_000).await?;
    assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");
    let refused = ask(10_000).await?;
    assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn callers() -> Result<()> {
    let shop = embedded().start().await?;
    let client = shop.client();
    let path = "/api/users/balance";
    insta::assert_json_snapshot!("no-token", problem(client.get(path).await?.expect(401)));
    let forged = client.with_token("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.");
    problem(forged.get(path).await?.expect(401));
    let token = shop
        .settings()
        .run(&["token", "--sub", "1001"])
        .await?
        .expect_success();
    let caller = client.with_token(token.stdout.trim());
    caller.get(path).await?.expect(200);
    let other = caller
        .get("/api/users/balance?userId=1002")
        .await?
        .expect(403);
    insta::assert_json_snapshot!("not-own", problem(other));
    let open = open_shop().await?;
    insta::assert_json_snapshot!(
        "no-user",
        problem(open.client().get(path).await?.expect(400))
    );
    Ok(())
}

#[tokio::test]
async fn request_ids_and_traces_go_through() -> Result<()> {
    let shop = open_shop().await?;
    let client = shop.client();
    let headers = [("x-request-id", "my-request-7")];
    let answer = client.send(Method::GET, "/healthz", &headers, None).await?;
    assert_eq!(answer.header("x-request-id"), "my-request-7");
    let headers = [("x-request-id", "not a word")];
    let answer = client.send(Method::GET, "/healthz", &headers, None).await?;
    assert_ne!(answer.header("x-request-id"), "not a word");
    Ok(())
}

#[tokio::test]
async fn the_rate_limit_is_a_problem_with_retry_after() -> Result<()> {
    let shop = embedded()
        .env("MADANG_AUTH__MODE", "off")
        .env("MADANG_HTTP__RATE_PER_SECOND", "1")
        .env("MADANG_HTTP__RATE_BURST", "3")
        .start()
        .await?;
    let client = shop.client();
    let mut last = client.get("/api/users/balance?userId=1").await?;
    for _ in 0..5 {
        last = client.get("/api/users/balance?userId=1").await?;
    }
    assert_eq!(last.status, 429);
    assert!(last.header("retry-after").parse::<u32>()? >= 1);
    assert_eq!(problem(last)["code"], "too-many-requests");
    client.get("/healthz").await?.expect(200);
    Ok(())
}
