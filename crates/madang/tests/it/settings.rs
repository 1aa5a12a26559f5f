//! Settings from the outside: `madang config`, and what stops a start.

use anyhow::Result;
use serde_json::Value;

use testkit::Finished;

use crate::modes::embedded;

#[tokio::test]
async fn no_arguments_explain_the_program() -> Result<()> {
    let said = embedded().run(&[]).await?.expect_success();
    for word in [
        "serve", "token", "config", "topics", "produce", "consume", "dlt", "--demo",
    ] {
        assert!(said.stdout.contains(word), "{word} in {}", said.stdout);
    }
    Ok(())
}

#[tokio::test]
async fn wrong_usage_is_2() -> Result<()> {
    for arguments in [
        &["srve"][..],
        &["serve", "--role", "console"],
        &["serve", "--role", "consumers=nobody"],
        &["token", "--sub", "0"],
        &["topics", "list", "--jsn"],
        &["dlt", "list", "--since", "yesterday"],
        &["dlt", "redrive", "--rate-per-second", "0"],
        &["dlt", "show", "--id", "a-topic"],
        &["serve", "--config", "/nowhere/shop.toml"],
    ] {
        let said = embedded().run(arguments).await?;
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.stderr);
        assert!(!said.stderr.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn what_kafkas_client_refuses_is_a_wrong_setting() -> Result<()> {
    let settings = embedded().env("MADANG_KAFKA__BROKERS", "127.0.0.1:9092");
    let file = settings.folder().join("shop.toml");
    std::fs::write(&file, "[kafka.client]\n\"acks.or.not\" = \"all\"\n")?;
    let path = file.to_str().unwrap_or_default();
    let said = settings.run(&["topics", "list", "--config", path]).await?;
    assert_eq!(said.code, 2, "{}", said.stderr);
    for word in ["setting kafka.client", "acks.or.not"] {
        assert!(said.stderr.contains(word), "{}", said.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn config_names_value_and_origin_and_masks_secrets() -> Result<()> {
    let settings = embedded()
        .env(
            "MADANG_AUTH__HMAC_SECRET",
            "a secret that nobody may see, ever",
        )
        .env("MADANG_DATABASE__URL", "mysql://shop:hunter2@db/shop")
        .env("MADANG_REDIS__URL", "redis://:hunter2@redis:6379")
        .env("MADANG_KAFKA__BROKERS", "kafka:9092")
        .env("MADANG_TEST_ANYTHING", "is not ours");
    let file = settings.folder().join("shop.toml");
    std::fs::write(&file, "[shop]\ntime_zone = \"Europe/Paris\"\n")?;
    let path = file.to_str().unwrap_or_default().to_owned();
    let arguments = ["config", "--json", "--config", &path];
    let said = settings.run(&arguments).await?.expect_success();
    assert!(!said.stdout.contains("hunter2") && !said.stdout.contains("nobody may see"));
    let all: Value = serde_json::from_str(&said.stdout)?;
    let of = |name: &str| (all[name]["value"].clone(), all[name]["origin"].clone());
    assert_eq!(of("shop.time_zone"), ("Europe/Paris".into(), path.into()));
    assert_eq!(
        of("database.url"),
        (
            "mysql://shop:********@db/shop".into(),
            "MADANG_DATABASE__URL".into()
        )
    );
    assert_eq!(of("auth.hmac_secret").0, "********");
    assert_eq!(
        of("http.listen"),
        ("127.0.0.1:8083".into(), "default".into())
    );
    Ok(())
}

#[tokio::test]
async fn the_default_file_is_a_valid_file() -> Result<()> {
    let settings = embedded();
    let file = settings.folder().join("default.toml");
    let printed = settings
        .run(&["config", "--default"])
        .await?
        .expect_success();
    std::fs::write(&file, &printed.stdout)?;
    let path = file.to_str().unwrap_or_default();
    settings
        .run(&["config", "--config", path])
        .await?
        .expect_success();
    Ok(())
}

/// What `serve` says to one wrong variable.
async fn refused(name: &str, value: &str) -> Result<Finished> {
    embedded().env(name, value).run(&["serve"]).await
}

async fn assert_says(name: &str, value: &str, says: &str) -> Result<()> {
    let said = refused(name, value).await?;
    assert_eq!(said.code, 2, "{name}={value}: {}", said.stderr);
    let told = said.stderr.contains(says);
    assert!(told, "{name}={value}: {}", said.stderr);
    assert_eq!(said.stderr.trim().lines().count(), 1, "{}", said.stderr);
    Ok(())
}

#[tokio::test]
async fn a_number_out_of_range_is_told_its_range() -> Result<()> {
    let name = "MADANG_OUTBOX__ROW_EVENTS_MAX";
    assert_says(name, "300", "must be a whole number from 0 to 255").await?;
    let least = "setting outbox.row_events_max = 0: must be at least 1";
    assert_says(name, "0", least).await?;
    let days = "MADANG_ANALYTICS__BY_HOUR_MAX_DAYS";
    assert_says(days, "65536", "must be a whole number from 0 to 65535").await
}

#[tokio::test]
async fn a_wrong_setting_stops_the_start_and_says_what_is_right() -> Result<()> {
    for (name, value, says) in [
        (
            "MADANG_DATABASE__ULR",
            "x",
            "did you mean MADANG_DATABASE__URL?",
        ),
        (
            "MADANG_HTTP__LISTEN",
            "8083",
            "setting http.listen = \"8083\": must be an address and port",
        ),
        (
            "MADANG_HTTP__CONCURRENCY_MAX",
            "0",
            "setting http.concurrency_max = 0: must be at least 1",
        ),
        ("MADANG_HTTP__CONCURRENCY_MAX", "many", "must be an integer"),
        (
            "MADANG_HTTP__HEAD_MAX_BYTES",
            "4096",
            "must be at least 8192",
        ),
        (
            "MADANG_DATABASE__URL",
            "postgres://db/shop",
            "must begin with sqlite:// or mysql://",
        ),
        (
            "MADANG_REDIS__URL",
            "http://redis",
            "must begin with redis://",
        ),
        (
            "MADANG_SHOP__TIME_ZONE",
            "Asia/Soul",
            "must be the IANA name of a time zone",
        ),
        ("MADANG_EVENTS__PUBLISHER", "kafka", "needs kafka.brokers"),
        (
            "MADANG_EVENTS__PUBLISHER",
            "pigeon",
            "must be one of \"kafka\", \"embedded\", \"inline\"",
        ),
        (
            "MADANG_AUTH__HMAC_SECRET",
            "short",
            "must have at least 32 bytes",
        ),
        (
            "MADANG_TOPICS__COUPON_ISSUE__PARTITIONS",
            "0",
            "must be at least 1",
        ),
        ("MADANG_KAFKA__ASSIGNOR", "best", "must be one of range"),
    ] {
        assert_says(name, value, says).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_way_of_retrying_that_cannot_be_gone_stops_the_start() -> Result<()> {
    for (name, value, says) in [
        (
            "ANALYTICS__RETRY",
            "aside",
            "must be one of \"in-place\", \"topics\"",
        ),
        (
            "ANALYTICS__RETRY",
            "topics",
            "setting consumers.analytics.attempts_max = 0: must be from 1 to 16 where consumers.analytics.retry is \"topics\"",
        ),
        (
            "COUPON_ISSUE__RETRY",
            "topics",
            "coupons are issued in order",
        ),
        (
            "DATA_PLATFORM__ATTEMPTS_MAX",
            "5",
            "gives the waits [1000, 10000, 60000, 60000] ms, which must differ",
        ),
        ("RANKING__RETRY_FACTOR", "0.5", "must be from 1 to 1000"),
        ("RANKING__RETRY_INITIAL_MS", "0", "must be at least 1"),
        (
            "RANKING__FETCH_WAIT_MAX_MS",
            "10001",
            "must be from 1 to 10000",
        ),
        (
            "RANKING__RETRY_MAX_MS",
            "100",
            "must be at least consumers.ranking.retry_initial_ms, 200",
        ),
        ("RANKING__GROUP", "outbox", "must be another name"),
    ] {
        assert_says(&format!("MADANG_CONSUMERS__{name}"), value, says).await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_consumer_retries_where_its_settings_say() -> Result<()> {
    let settings = embedded()
        .env("MADANG_CONSUMERS__ANALYTICS__RETRY", "topics")
        .env("MADANG_CONSUMERS__ANALYTICS__ATTEMPTS_MAX", "4")
        .env("MADANG_CONSUMERS__ANALYTICS__RETRY_FACTOR", "3")
        .env("MADANG_CONSUMERS__DATA_PLATFORM__RETRY", "in-place");
    let said = settings.run(&["topics", "create"]).await?.expect_success();
    let of_group = |group: &str| {
        let mut topics: Vec<&str> = said
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("created ")?.split_once(group))
            .map(|(_, rest)| rest)
            .collect();
        topics.sort_unstable();
        topics
    };
    assert_eq!(
        of_group("analytics-group"),
        [
            "-dlt",
            "-retry-0",
            "-retry-1800",
            "-retry-200",
            "-retry-600"
        ]
    );
    assert_eq!(of_group("data-platform-group"), ["-dlt", "-retry-0"]);
    let said = settings.run(&["dlt", "list"]).await?.expect_success();
    assert_eq!(said.stdout, "no dead letters\n");
    let said = settings.run(&["dlt", "list", "--group", "nobody"]).await?;
    assert!(
        said.code == 1 && said.stderr.contains("analytics-group-dlt"),
        "{}",
        said.stderr
    );
    Ok(())
}

#[tokio::test]
async fn settings_that_do_not_fit_together_stop_the_start() -> Result<()> {
    let off_for_all = embedded()
        .env("MADANG_AUTH__MODE", "off")
        .env("MADANG_HTTP__LISTEN", "0.0.0.0:0");
    let said = off_for_all.run(&["serve"]).await?;
    assert!(
        said.code == 2 && said.stderr.contains("loopback"),
        "{}",
        said.stderr
    );
    let mysql_without_log = embedded()
        .env("MADANG_DATABASE__URL", "mysql://u:p@127.0.0.1/shop")
        .env("MADANG_REDIS__URL", "redis://127.0.0.1")
        .env("MADANG_AUTH__MODE", "off");
    let said = mysql_without_log.run(&["serve"]).await?;
    assert!(
        said.code == 2 && said.stderr.contains("works only beside SQLite"),
        "{}",
        said.stderr
    );
    Ok(())
}

#[tokio::test]
async fn an_unknown_name_in_the_file_suggests_the_nearest() -> Result<()> {
    let settings = embedded();
    let file = settings.folder().join("shop.toml");
    std::fs::write(
        &file,
        "[http]\nlistn = \"127.0.0.1:1\"\n[kafka]\nbroker = \"a:1\"\n",
    )?;
    let path = file.to_str().unwrap_or_default();
    let said = settings.run(&["serve", "--config", path]).await?;
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("did you mean http.listen?"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("did you mean kafka.brokers?"),
        "{}",
        said.stderr
    );
    Ok(())
}

#[tokio::test]
#[cfg(not(feature = "kafka-tls"))]
async fn kafka_security_names_the_feature_it_needs() -> Result<()> {
    let settings = embedded();
    let file = settings.folder().join("shop.toml");
    let text = "[kafka]\nbrokers = \"127.0.0.1:1\"\n[kafka.client]\n";
    for (line, named) in [
        (
            "\"security.protocol\" = \"SASL_SSL\"",
            "\"security.protocol\" = \"SASL_SSL\"",
        ),
        (
            "sasl.password = \"hunter2\"",
            "\"sasl.password\" = \"********\"",
        ),
        (
            "ssl.ca.location = \"/ca.pem\"",
            "\"ssl.ca.location\" = \"/ca.pem\"",
        ),
    ] {
        std::fs::write(&file, format!("{text}{line}\n"))?;
        let path = file.to_str().unwrap_or_default();
        for command in ["serve", "config"] {
            let said = settings.run(&[command, "--config", path]).await?;
            assert_eq!(said.code, 2, "{command} {line}: {}", said.stderr);
            let says = format!("setting kafka.client.{named}: needs TLS and SASL");
            assert!(said.stderr.contains(&says), "{}", said.stderr);
            let feature = "build with the cargo feature kafka-tls";
            assert!(said.stderr.contains(feature), "{}", said.stderr);
        }
    }
    Ok(())
}

#[tokio::test]
async fn kafka_clients_own_settings_pass_through_as_texts_or_numbers_with_or_without_quotes()
-> Result<()> {
    let settings = embedded().env("MADANG_KAFKA__CLIENT__FETCH_MIN_BYTES", "2");
    let file = settings.folder().join("shop.toml");
    let text = "[kafka]\nbrokers = \"127.0.0.1:1\"\n[kafka.client]\nsocket.timeout.ms = 5000\n\"log.thread.name\" = false\n";
    std::fs::write(&file, text)?;
    let path = file.to_str().unwrap_or_default();
    let arguments = ["config", "--json", "--config", path];
    let said = settings.run(&arguments).await?.expect_success();
    let all: Value = serde_json::from_str(&said.stdout)?;
    let of = |name: &str| &all[format!("kafka.client.{name:?}")];
    assert_eq!(of("socket.timeout.ms")["value"], "5000");
    assert_eq!(of("log.thread.name")["value"], "false");
    assert_eq!(of("fetch.min.bytes")["value"], "2");
    let wrong = settings.env("MADANG_KAFKA__CLIENT__FETCH_MIN_BYTES", "many");
    let said = wrong.run(&arguments).await?;
    assert_eq!(said.code, 2);
    let says = "setting kafka.client.\"fetch.min.bytes\" = \"many\": cannot be: ";
    assert!(said.stderr.contains(says), "{}", said.stderr);
    Ok(())
}
