//! `topics`, `produce` and `consume`, on the embedded log and on Kafka.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::ShopSettings;

use crate::modes::{embedded, real};

/// Runs a command with this on stdin; what it printed.
pub fn feed(settings: &ShopSettings, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = settings
        .command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("stdin")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

async fn printed(settings: &ShopSettings, topic: &str, arguments: &[&str]) -> Result<Vec<String>> {
    let all = [
        &[
            "consume",
            topic,
            "--from-beginning",
            "--idle-exit-ms",
            "20000",
        ],
        arguments,
    ]
    .concat();
    let said = settings.run(&all).await?.expect_success();
    Ok(said.stdout.lines().map(str::to_owned).collect())
}

async fn goes_round(settings: &ShopSettings, topic: &str) -> Result<()> {
    let create = ["topics", "create", topic, "--partitions", "2"];
    settings.run(&create).await?.expect_success();
    let described = settings
        .run(&["topics", "describe", topic, "--json"])
        .await?
        .expect_success();
    let described: Value = serde_json::from_str(&described.stdout)?;
    assert_eq!(described["partitions"], 2);
    assert_eq!(described["maxMessageBytes"], 1_048_588);
    let listed = settings.run(&["topics", "list"]).await?.expect_success();
    assert!(listed.stdout.contains(topic));

    feed(
        settings,
        &["produce", topic, "--key-separator", ":"],
        "a:one\nb:two\na:three:3\n",
    )?;
    let json = r#"{"key":"c","value":{"n":4},"headers":[{"name":"h","value":"x"}]}"#;
    feed(settings, &["produce", topic, "--format", "json"], json)?;
    let mut values = printed(settings, topic, &["--max-records", "4"]).await?;
    values.sort();
    assert_eq!(values, ["one", "three:3", "two", r#"{"n":4}"#]);
    let keyed = printed(
        settings,
        topic,
        &["--key", "a", "--keys", "--max-records", "2"],
    )
    .await?;
    assert_eq!(keyed, ["a\tone", "a\tthree:3"]);
    let all = ["--format", "json", "--key", "c", "--max-records", "1"];
    let shown: Value = serde_json::from_str(&printed(settings, topic, &all).await?[0])?;
    assert_eq!(shown["headers"][0]["name"], "h");

    // Whoever finds nothing has come to the end of each partition, which is no trouble.
    let none = ["--key", "nobody", "--from-beginning"];
    let none = [&["consume", topic, "--idle-exit-ms", "3000"], &none[..]].concat();
    let said = settings.run(&none).await?.expect_success();
    assert_eq!(said.stdout, "");
    assert!(!said.stderr.contains("trouble"), "{}", said.stderr);

    let group = ["--group", "readers", "--max-records", "3"];
    assert_eq!(printed(settings, topic, &group).await?.len(), 3);
    let rest = ["--group", "readers", "--max-records", "1"];
    assert_eq!(printed(settings, topic, &rest).await?.len(), 1);

    settings
        .run(&["topics", "delete", topic])
        .await?
        .expect_success();
    let gone = settings.run(&["topics", "describe", topic]).await?;
    assert_eq!(gone.code, 1);
    Ok(())
}

#[tokio::test]
async fn records_go_round_on_the_embedded_log() -> Result<()> {
    goes_round(&embedded(), "letters").await
}

#[tokio::test]
async fn records_go_round_on_kafka() -> Result<()> {
    let Some(place) = real().await else {
        return Ok(());
    };
    let topic = format!("letters-{}", std::process::id());
    goes_round(&place?.settings, &topic).await
}

/// The group waits for a member that was killed until its session has run out; whoever reads on waits with it.
#[tokio::test]
async fn a_group_is_read_on_after_a_member_was_killed_on_kafka() -> Result<()> {
    let Some(place) = real().await else {
        return Ok(());
    };
    // The shortest that a broker allows.
    let settings = place?
        .settings
        .env("MADANG_KAFKA__SESSION_TIMEOUT_MS", "6000");
    let topic = format!("killed-{}", std::process::id());
    let create = ["topics", "create", &topic, "--partitions", "1"];
    settings.run(&create).await?.expect_success();
    feed(&settings, &["produce", &topic], "one\n")?;
    let read = ["consume", &topic, "--from-beginning", "--group", &topic];
    let mut killed = settings
        .command()
        .args(read)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let out = killed.stdout.take().context("stdout")?;
    BufReader::new(out).read_line(&mut line)?;
    killed.kill()?;
    killed.wait()?;
    assert_eq!(line, "one\n");

    feed(&settings, &["produce", &topic], "two\n")?;
    let short = [&read[..], &["--idle-exit-ms", "1000"]].concat();
    let said = settings.run(&short).await?.expect_success();
    // What was printed and not committed may come again.
    assert!(said.stdout.ends_with("two\n"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() -> Result<()> {
    let settings = embedded();
    settings
        .run(&["topics", "create", "letters"])
        .await?
        .expect_success();
    feed(&settings, &["produce", "letters"], &"line\n".repeat(20_000))?;
    let mut child = settings
        .command()
        .args(["consume", "letters", "--from-beginning"])
        .stdout(Stdio::piped())
        .spawn()?;
    // The pipe is closed while most is unread.
    drop(child.stdout.take());
    let status = tokio::task::spawn_blocking(move || child.wait()).await??;
    assert!(status.success(), "{status}");
    Ok(())
}
