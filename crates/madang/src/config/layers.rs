//! The sources of settings, each a layer over the one before: defaults, file, environment, flags.
//! Whether a name is known and a value has the right type is told from the defaults, which name every setting.
//! Only `config` calls it.

use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use toml::Table;

use super::{DEFAULT_TOML, Error, Wrong};

const PREFIX: &str = "MADANG_";
/// Variables of the test command, which are no settings.
const TEST_PREFIX: &str = "MADANG_TEST_";
/// Below it any name is taken: they are librdkafka's.
const FREE: [&str; 2] = ["kafka", "client"];

#[derive(Clone)]
pub struct Layer {
    origin: String,
    table: Table,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let value = Value::serialize(&self.table)?;
        let dict = value.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

fn known() -> Table {
    // The file is compiled in and a test reads it: it parses.
    DEFAULT_TOML.parse().unwrap_or_default()
}

pub fn defaults() -> Layer {
    Layer {
        origin: "default".to_owned(),
        table: known(),
    }
}

pub fn file(path: &Path) -> Result<Layer, Error> {
    let wrong = |cause: String| Error::File {
        path: path.display().to_string(),
        cause,
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut table = text
        .parse()
        .map_err(|error: toml::de::Error| wrong(error.to_string().trim_end().replace('\n', " ")))?;
    flatten_free(&mut table);
    Ok(Layer {
        origin: path.display().to_string(),
        table,
    })
}

/// In TOML `a.b = 1` without quotes is a table `a` with a `b`: librdkafka's names have dots, and all of its values are texts.
fn flatten_free(table: &mut Table) {
    fn flatten(prefix: &str, table: Table, flat: &mut Table) {
        for (name, value) in table {
            let name = format!("{prefix}{name}");
            match value {
                toml::Value::Table(inner) => flatten(&format!("{name}."), inner, flat),
                toml::Value::String(_) | toml::Value::Array(_) | toml::Value::Datetime(_) => {
                    flat.insert(name, value);
                }
                number => {
                    flat.insert(name, toml::Value::String(number.to_string()));
                }
            }
        }
    }
    let [section, name] = FREE;
    let section = table.get_mut(section).and_then(toml::Value::as_table_mut);
    if let Some(toml::Value::Table(free)) = section.and_then(|section| section.get_mut(name)) {
        let mut flat = Table::new();
        flatten("", std::mem::take(free), &mut flat);
        *free = flat;
    }
}

pub fn flag(origin: &str, path: &[&str], value: &str) -> Layer {
    Layer {
        origin: origin.to_owned(),
        table: nested(path, toml::Value::String(value.to_owned())),
    }
}

fn nested(path: &[impl AsRef<str>], value: toml::Value) -> Table {
    let mut table = Table::new();
    if let [first, rest @ ..] = path {
        let inner = if rest.is_empty() {
            value
        } else {
            toml::Value::Table(nested(rest, value))
        };
        table.insert(first.as_ref().to_owned(), inner);
    }
    table
}

/// One layer a variable, so that the origin is its name; and those that name no setting or hold a wrong value.
pub fn environment(variables: impl Iterator<Item = (String, String)>) -> (Vec<Layer>, Vec<Wrong>) {
    let known = known();
    let mut variables: Vec<_> = variables
        .filter(|(name, _)| name.starts_with(PREFIX) && !name.starts_with(TEST_PREFIX))
        .collect();
    variables.sort();
    let mut layers = Vec::new();
    let mut wrong = Vec::new();
    for (name, text) in variables {
        match variable(&known, &name, &text) {
            Ok(table) => layers.push(Layer {
                origin: name,
                table,
            }),
            Err(error) => wrong.push(error),
        }
    }
    (layers, wrong)
}

fn variable(known: &Table, name: &str, text: &str) -> Result<Table, Wrong> {
    let lower = name[PREFIX.len()..].to_ascii_lowercase();
    let mut path: Vec<String> = lower.split("__").map(str::to_owned).collect();
    if path.len() > FREE.len() && path.iter().zip(FREE).all(|(part, free)| part == free) {
        let client = path.split_off(FREE.len()).join("__").replace('_', ".");
        path.push(client);
        return Ok(nested(&path, toml::Value::String(text.to_owned())));
    }
    let Some(default) = find(known, &path).filter(|value| !value.is_table()) else {
        let suggestion = nearest(known, &path.join("."))
            .map(|near| format!("{PREFIX}{}", near.replace('.', "__").to_ascii_uppercase()));
        return Err(unknown(name.to_owned(), suggestion));
    };
    let value = read_as(default, text).ok_or_else(|| Wrong {
        setting: name.to_owned(),
        value: format!("{text:?}"),
        right: must_be(default),
    })?;
    Ok(nested(&path, value))
}

fn unknown(setting: String, suggestion: Option<String>) -> Wrong {
    Wrong {
        setting,
        value: String::new(),
        right: match suggestion {
            Some(near) => format!("is unknown; did you mean {near}?"),
            None => "is unknown; `madang config --default` lists all settings".to_owned(),
        },
    }
}

fn find<'a>(table: &'a Table, path: &[String]) -> Option<&'a toml::Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(first)?;
    if rest.is_empty() {
        return Some(value);
    }
    find(value.as_table()?, rest)
}

/// Text as a value of the default's type; lists are separated by commas.
fn read_as(default: &toml::Value, text: &str) -> Option<toml::Value> {
    match default {
        toml::Value::Integer(_) => text.trim().parse().ok().map(toml::Value::Integer),
        toml::Value::Float(_) => text.trim().parse().ok().map(toml::Value::Float),
        toml::Value::Boolean(_) => text.trim().parse().ok().map(toml::Value::Boolean),
        toml::Value::Array(items) => {
            let like = items
                .first()
                .cloned()
                .unwrap_or(toml::Value::String(String::new()));
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            parts
                .map(|part| read_as(&like, part))
                .collect::<Option<Vec<_>>>()
                .map(toml::Value::Array)
        }
        _ => Some(toml::Value::String(text.to_owned())),
    }
}

fn must_be(default: &toml::Value) -> String {
    match default {
        toml::Value::Integer(_) => "must be an integer",
        toml::Value::Float(_) => "must be a number",
        toml::Value::Boolean(_) => "must be true or false",
        toml::Value::Array(items) if items.first().is_some_and(toml::Value::is_integer) => {
            "must be a list of integers"
        }
        toml::Value::Array(_) => "must be a list of texts",
        toml::Value::Table(_) => "must be a section",
        _ => "must be text in quotes",
    }
    .to_owned()
}

/// The names in a layer that no setting has, and values of another type than the default's.
pub fn unfit(layer: &Layer) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    unfit_in(
        &layer.table,
        &known(),
        &mut Vec::new(),
        &layer.origin,
        &mut wrong,
    );
    wrong
}

fn unfit_in(
    table: &Table,
    known: &Table,
    path: &mut Vec<String>,
    origin: &str,
    wrong: &mut Vec<Wrong>,
) {
    if path.iter().eq(FREE.iter()) {
        return;
    }
    for (name, value) in table {
        path.push(name.clone());
        let dotted = path.join(".");
        match (known.get(name), value) {
            (None, _) => {
                let suggestion = nearest(&self::known(), &dotted);
                wrong.push(unknown(format!("{dotted} ({origin})"), suggestion));
            }
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => {
                unfit_in(value, inner, path, origin, wrong);
            }
            (Some(default), value) if !same_type(default, value) => wrong.push(Wrong {
                setting: dotted,
                value: format!("{value} ({origin})"),
                right: must_be(default),
            }),
            _ => {}
        }
        path.pop();
    }
}

fn same_type(default: &toml::Value, value: &toml::Value) -> bool {
    match (default, value) {
        (toml::Value::Float(_), toml::Value::Integer(_)) => true,
        (toml::Value::Array(defaults), toml::Value::Array(values)) => match defaults.first() {
            Some(like) => values.iter().all(|value| same_type(like, value)),
            None => true,
        },
        _ => default.same_type(value),
    }
}

/// The setting whose dotted name is most like this one, if any is alike at all.
fn nearest(known: &Table, dotted: &str) -> Option<String> {
    let mut names = Vec::new();
    leaves(known, "", &mut names);
    let alike = |name: &String| strsim::normalized_damerau_levenshtein(name, dotted);
    let tail = |name: &String| {
        let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
        strsim::normalized_damerau_levenshtein(&last(name), &last(dotted))
    };
    names
        .into_iter()
        .map(|name| (alike(&name) + 0.1 * tail(&name), name))
        .filter(|(score, _)| *score > 0.55)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

fn leaves(table: &Table, prefix: &str, names: &mut Vec<String>) {
    for (name, value) in table {
        let dotted = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value.as_table() {
            Some(inner) => leaves(inner, &dotted, names),
            None => names.push(dotted),
        }
    }
}

/// The database lies in `data_dir` unless it was put elsewhere.
pub fn follow_data_dir(merged: Figment) -> Figment {
    let by_default = |name: &str| {
        merged
            .find_metadata(name)
            .is_some_and(|metadata| metadata.name == "default")
    };
    if by_default("data_dir") || !by_default("database.url") {
        return merged;
    }
    let Some(folder) = merged.extract_inner::<String>("data_dir").ok() else {
        return merged;
    };
    let url = format!("sqlite://{}/madang.db", folder.trim_end_matches('/'));
    let layer = flag("data_dir", &["database", "url"], &url);
    merged.merge(layer)
}

/// What serde could not take, in the words of all other wrong settings.
pub fn unreadable(merged: &Figment, error: figment::Error) -> Vec<Wrong> {
    error
        .into_iter()
        .map(|error| {
            let setting = error.path.join(".");
            let value = merged.find_value(&setting).ok();
            let shown = value.and_then(|value| toml::Value::try_from(&value).ok());
            let origin = error
                .metadata
                .as_ref()
                .map_or("default", |m| m.name.as_ref());
            let value = shown.map_or_else(String::new, |value| format!("{value} ({origin})"));
            Wrong {
                setting,
                value,
                right: right_of(&error.kind),
            }
        })
        .collect()
}

fn right_of(kind: &figment::error::Kind) -> String {
    use figment::error::Kind;
    match kind {
        Kind::UnknownVariant(_, allowed) => {
            let allowed: Vec<_> = allowed.iter().map(|name| format!("{name:?}")).collect();
            format!("must be one of {}", allowed.join(", "))
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            match expected.as_str() {
                "u8" => format!("must be a whole number from 0 to {}", u8::MAX),
                "u16" => format!("must be a whole number from 0 to {}", u16::MAX),
                "u32" | "u64" | "usize" => "must be a whole number from 0".to_owned(),
                expected => format!("must be {expected}"),
            }
        }
        other => other.to_string(),
    }
}
