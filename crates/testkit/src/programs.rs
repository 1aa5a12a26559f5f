//! The programs that the services and the builds need, where they are and which Debian package brings each.
//! It installs nothing: the `suite` command does.
//! Called by the services before they start and by `suite` to see what is missing.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

/// Program and the Debian package that brings it.
pub const NEEDED: [(&str, &str); 7] = [
    ("mariadbd", "mariadb-server"),
    ("redis-server", "redis-server"),
    ("kcat", "kcat"),
    ("java", "default-jre-headless"),
    ("mvn", "maven"),
    // For librdkafka and the vendored OpenSSL. Debian's `perl` alone may come without the modules that OpenSSL's build takes:
    // what the full package brings is looked for.
    ("make", "make"),
    ("prove", "perl"),
];

/// Full path of a program. Looks in the system folders too, which are not always in an ordinary user's PATH.
pub fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
        .ok_or_else(|| {
            let package = NEEDED.iter().find(|(name, _)| *name == program);
            match package {
                Some((_, package)) => anyhow!("no {program} here (Debian package {package})"),
                None => anyhow!("no {program} here"),
            }
        })
}

/// The packages that would have to be installed for all builds to succeed and all services to start.
pub fn missing_packages() -> Vec<&'static str> {
    NEEDED
        .iter()
        .filter(|(program, _)| find(program).is_err())
        .map(|(_, package)| *package)
        .collect()
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
