//! The settings: where they come from, what they are, whether they fit, how they are shown.
//! The only place that reads the environment; no other crate knows a setting's name.
//! The command line loads them once; `shop` turns them into the modules' own settings.

mod check;
mod features;
mod layers;
mod limits;
mod messaging;
mod retries;
mod sections;
mod show;

use std::path::{Path, PathBuf};

pub use check::log_settings;
pub use features::*;
pub use messaging::*;
pub use sections::*;
pub use show::{rows, to_json};

/// The commented defaults, compiled in.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// What the command line says about settings.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub file: Option<PathBuf>,
    pub listen: Option<String>,
}

/// A setting that does not fit: what it is called, what it says, what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub setting: String,
    pub value: String,
    pub right: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the settings file {path}: {cause}")]
    File { path: String, cause: String },
    #[error("{}", sentence(.0))]
    Wrong(Vec<Wrong>),
}

fn sentence(all: &[Wrong]) -> String {
    let each = all.iter().map(|wrong| {
        let Wrong {
            setting,
            value,
            right,
        } = wrong;
        if value.is_empty() {
            format!("setting {setting}: {right}")
        } else {
            format!("setting {setting} = {value}: {right}")
        }
    });
    each.collect::<Vec<_>>().join("; ")
}

/// The settings in force, and where each came from.
pub struct Loaded {
    pub config: Config,
    merged: figment::Figment,
}

/// Reads defaults, file, environment and flags, in this order, and checks the whole.
///
/// # Errors
/// A file that cannot be read; else every setting that is unknown or does not fit.
pub fn load(flags: &Flags) -> Result<Loaded, Error> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(flags, environment)
}

fn load_from(
    flags: &Flags,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Error> {
    let mut config_layers = vec![layers::defaults()];
    if let Some(path) = &flags.file {
        config_layers.push(layers::file(path)?);
    }
    let (variables, wrong) = layers::environment(environment);
    if !wrong.is_empty() {
        return Err(Error::Wrong(wrong));
    }
    config_layers.extend(variables);
    if let Some(listen) = &flags.listen {
        config_layers.push(layers::flag("--listen", &["http", "listen"], listen));
    }
    let unknown = config_layers[1..]
        .iter()
        .flat_map(layers::unfit)
        .collect::<Vec<_>>();
    if !unknown.is_empty() {
        return Err(Error::Wrong(unknown));
    }
    let merged = config_layers
        .iter()
        .fold(figment::Figment::new(), |all, layer| {
            all.merge(layer.clone())
        });
    let merged = layers::follow_data_dir(merged);
    let config: Config = merged
        .extract()
        .map_err(|error| Error::Wrong(layers::unreadable(&merged, error)))?;
    let wrong = check::all(&config);
    if wrong.is_empty() {
        Ok(Loaded { config, merged })
    } else {
        Err(Error::Wrong(wrong))
    }
}

impl Config {
    /// Whether the shop's database is the local file.
    pub fn is_embedded(&self) -> bool {
        self.database.url.starts_with("sqlite:")
    }

    /// Where events go, with the default resolved.
    pub fn publisher(&self) -> Publisher {
        match self.events.publisher {
            PublisherSetting::Kafka => Publisher::Kafka,
            PublisherSetting::Embedded => Publisher::Embedded,
            PublisherSetting::Inline => Publisher::Inline,
            PublisherSetting::ByBrokers if self.kafka.brokers.is_empty() => Publisher::Embedded,
            PublisherSetting::ByBrokers => Publisher::Kafka,
        }
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(variables: &[(&str, &str)]) -> Result<Loaded, Error> {
        let variables = variables
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        load_from(&Flags::default(), variables)
    }

    fn refused(variables: &[(&str, &str)]) -> String {
        match loaded(variables) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_defaults_fit() {
        let config = loaded(&[]).unwrap().config;
        assert_eq!(config.http.listen, "127.0.0.1:8083");
        assert_eq!(config.publisher(), Publisher::Embedded);
        assert!(config.is_embedded());
    }

    #[test]
    fn the_environment_is_read_by_the_type_of_the_default() {
        let config = loaded(&[
            ("MADANG_HTTP__BODY_MAX_BYTES", "1024"),
            (
                "MADANG_AUTH__HMAC_SECRET",
                "12345678901234567890123456789012",
            ),
            ("MADANG_KAFKA__CLIENT__SOCKET_TIMEOUT_MS", "5000"),
            ("MADANG_TEST_WHATEVER", "1"),
            ("MADANG_DATA_DIR", "elsewhere"),
        ])
        .unwrap()
        .config;
        assert_eq!(config.http.body_max_bytes, 1024);
        assert_eq!(config.auth.hmac_secret.len(), 32);
        assert_eq!(config.kafka.client["socket.timeout.ms"], "5000");
        assert_eq!(config.database.url, "sqlite://elsewhere/madang.db");
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        assert_eq!(
            refused(&[("MADANG_DATABASE__ULR", "x")]),
            "setting MADANG_DATABASE__ULR: is unknown; did you mean MADANG_DATABASE__URL?"
        );
        assert_eq!(
            refused(&[("MADANG_KAFKA_BROKERS", "x")]),
            "setting MADANG_KAFKA_BROKERS: is unknown; did you mean MADANG_KAFKA__BROKERS?"
        );
    }

    #[test]
    fn a_wrong_value_names_setting_value_and_what_is_right() {
        assert_eq!(
            refused(&[("MADANG_HTTP__BODY_MAX_BYTES", "lots")]),
            "setting MADANG_HTTP__BODY_MAX_BYTES = \"lots\": must be an integer"
        );
        assert_eq!(
            refused(&[("MADANG_AUTH__MODE", "none")]),
            "setting auth.mode = \"none\" (MADANG_AUTH__MODE): must be one of \"jwt\", \"off\""
        );
    }
}
