//! The settings in force as `madang config` prints them: name, value, where it came from. Secrets are masked.
//! Not a way to read settings. The command `config` calls it.

use figment::value::{Dict, Value};

use super::Loaded;

const MASK: &str = "********";

/// A setting as it is shown.
pub struct Row {
    pub name: String,
    /// As TOML writes it.
    pub value: toml::Value,
    pub origin: String,
}

/// Every setting, sorted by name.
pub fn rows(loaded: &Loaded) -> Vec<Row> {
    let dict: Dict = loaded.merged.extract().unwrap_or_default();
    let mut rows = Vec::new();
    walk(loaded, &dict, "", &mut rows);
    rows
}

fn walk(loaded: &Loaded, dict: &Dict, prefix: &str, rows: &mut Vec<Row>) {
    for (key, value) in dict {
        let key_shown = if key.contains('.') {
            format!("{key:?}")
        } else {
            key.clone()
        };
        let name = if prefix.is_empty() {
            key_shown
        } else {
            format!("{prefix}.{key_shown}")
        };
        if let Value::Dict(_, inner) = value {
            walk(loaded, inner, &name, rows);
            continue;
        }
        let origin = loaded.merged.get_metadata(value.tag());
        let shown = toml::Value::try_from(value);
        rows.push(Row {
            value: masked(&name, shown.unwrap_or(toml::Value::String(String::new()))),
            origin: origin.map_or_else(|| "default".to_owned(), |m| m.name.to_string()),
            name,
        });
    }
}

/// Secrets by their name, and passwords inside addresses.
fn masked(name: &str, value: toml::Value) -> toml::Value {
    let toml::Value::String(text) = value else {
        return value;
    };
    toml::Value::String(masked_text(name, &text))
}

/// The text of the setting as it may be shown.
pub fn masked_text(name: &str, text: &str) -> String {
    let name = name.to_ascii_lowercase();
    let secrets = [
        "secret",
        "password",
        "passphrase",
        "jaas",
        "key.pem",
        "token",
    ];
    if !text.is_empty() && secrets.iter().any(|word| name.contains(word)) {
        return MASK.to_owned();
    }
    without_password(text)
}

/// `scheme://user:password@host` with the password masked.
pub fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let authority = rest.find('/').map_or(rest, |end| &rest[..end]);
    let Some(at) = authority.rfind('@') else {
        return text.to_owned();
    };
    match authority[..at].split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{MASK}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// `{"name": {"value": ..., "origin": ...}, ...}`
pub fn to_json(rows: &[Row]) -> serde_json::Value {
    let entries = rows.iter().map(|row| {
        let entry = serde_json::json!({ "value": row.value, "origin": row.origin });
        (row.name.clone(), entry)
    });
    serde_json::Value::Object(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_masked() {
        for (address, shown) in [
            ("mysql://shop:p@ss@db/shop", "mysql://shop:********@db/shop"),
            (
                "redis://:secret@host:6379/0",
                "redis://:********@host:6379/0",
            ),
            ("redis://host:6379", "redis://host:6379"),
            (
                "sqlite://madang-data/madang.db",
                "sqlite://madang-data/madang.db",
            ),
            ("plain text", "plain text"),
        ] {
            assert_eq!(without_password(address), shown);
        }
    }
}
