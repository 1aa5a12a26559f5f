//! What the command line asks for.
//! It does nothing about it.
//! Called by `main`.

pub const HELP: &str = "\
cargo suite [--only NAME] [--embedded] [-- ARGUMENTS...]

Checks format and lints, runs all tests and the benchmark's guard (ratios to the way before events), with MariaDB, Redis and Kafka
started for them on free loopback ports in temporary folders. As root it installs the missing Debian packages first. Kafka's jars are fetched by Maven into target/kafka-libs.

  --only NAME   only the tests whose names contain NAME, such as kafka; no format, no lints
                (those of Kafka over TLS, a build of its own, are looked through where NAME has kafka or tls in it;
                the crash loop, another, where NAME is failpoint)
  --embedded    no services: the tests that need them are skipped, and Kafka over TLS is not built
  ARGUMENTS     for the test binaries, such as --nocapture or --test-threads=1

Services that run already are used when MADANG_TEST_MYSQL_URL, MADANG_TEST_REDIS_URL or MADANG_TEST_KAFKA name them.
The last line of the output is `N passed, N failed, N skipped`. With CI=true, what cannot run is a failure.";

#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Help,
    Run(Options),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A part of the names of the tests to run.
    pub only: Option<String>,
    pub embedded: bool,
    /// For the test binaries.
    pub arguments: Vec<String>,
}

impl Options {
    /// Whether Kafka over TLS is meant too: OpenSSL takes too long to be built for nothing.
    pub fn wants_secured(&self) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|name| name.contains("kafka") || name.contains("tls"))
    }

    /// Whether the crash loop is meant too, which takes minutes.
    pub fn wants_failpoints(&self) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|name| name.contains("failpoint"))
    }
}

/// The error is a sentence for the user.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Asked, String> {
    let mut arguments = arguments.into_iter();
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--embedded" => options.embedded = true,
            "--only" => {
                let name = arguments.next().filter(|name| !name.starts_with('-'));
                options.only = Some(name.ok_or("--only needs a part of a test's name")?);
            }
            "--" => options.arguments.extend(arguments.by_ref()),
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(Asked::Run(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_every_option() {
        let options = Options {
            only: Some("kafka".to_owned()),
            embedded: true,
            arguments: vec!["--nocapture".to_owned(), "--help".to_owned()],
        };
        assert_eq!(
            parsed("--only kafka --embedded -- --nocapture --help"),
            Ok(Asked::Run(options))
        );
        assert_eq!(parsed(""), Ok(Asked::Run(Options::default())));
        assert_eq!(parsed("--help"), Ok(Asked::Help));
    }

    #[test]
    fn kafka_over_tls_is_built_for_who_means_it() {
        let wants = |only: Option<&str>| {
            let only = only.map(str::to_owned);
            Options {
                only,
                ..Options::default()
            }
            .wants_secured()
        };
        assert!(wants(None) && wants(Some("kafka")) && wants(Some("over_tls::ssl")));
        assert!(!wants(Some("wallet")));
    }

    #[test]
    fn the_crash_loop_runs_for_who_means_it() {
        let wants = |only: Option<&str>| {
            let only = only.map(str::to_owned);
            Options {
                only,
                ..Options::default()
            }
            .wants_failpoints()
        };
        assert!(wants(None) && wants(Some("failpoints_fire_embedded")));
        assert!(!wants(Some("kafka")));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(parsed("--onyl kafka").is_err());
        assert!(parsed("--only").is_err());
        assert!(parsed("--only --embedded").is_err());
    }
}
