//! The secret that tokens are signed with: the setting, or on the embedded default one that is made once and kept beside the data.
//! Not for processes on several machines: those share the setting.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::config::Config;

const FILE: &str = "auth-secret";
const BYTES: usize = 32;

/// # Errors
/// The kept secret cannot be read or written.
pub fn of(config: &Config) -> anyhow::Result<String> {
    if !config.auth.hmac_secret.is_empty() {
        return Ok(config.auth.hmac_secret.clone());
    }
    let folder = config.data_dir();
    let path = folder.join(FILE);
    let kept = match fs::read_to_string(&path) {
        Ok(kept) => kept,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(folder, &path)
                .with_context(|| format!("cannot keep a secret in {}", path.display()))?;
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let secret = kept.trim().to_owned();
    ensure!(
        secret.len() >= BYTES,
        "{} holds no secret: delete it to have a new one made (tokens signed before are then refused)",
        path.display()
    );
    Ok(secret)
}

/// Written aside and linked into place, so that no other process ever reads half of it, and the first one wins.
fn make(folder: &Path, path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let aside = folder.join(format!(".{FILE}-{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    writeln!(file, "{}", random_hex()?)?;
    file.sync_all()?;
    let linked = fs::hard_link(&aside, path);
    fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0_u8; BYTES];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
