//! An authority of the test's own, and the certificates that it signs, as PEM files in a folder that goes with the test.
//! No key is kept anywhere else, and none is used twice.
//! Called by `secured_kafka`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pem: String,
}

/// A certificate and its key, each in a file of its own.
pub struct Signed {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Result<Authority> {
        let mut wanted = named(name, Vec::new())?;
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("a key")?;
        let pem = wanted.self_signed(&key).context("an authority")?.pem();
        Ok(Authority {
            issuer: Issuer::new(wanted, key),
            pem,
        })
    }

    /// Its certificate, for those who are to trust it.
    pub fn write(&self, file: &Path) -> Result<()> {
        write(file, &self.pem)
    }

    /// A new certificate for a holder with these host names and addresses, as `NAME.pem` and `NAME.key` in `folder`.
    pub fn sign(&self, folder: &Path, name: &str, hosts: &[&str]) -> Result<Signed> {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let wanted = named(name, hosts)?;
        let key = KeyPair::generate().context("a key")?;
        let signed = wanted.signed_by(&key, &self.issuer).context("signing")?;
        let files = Signed {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        write(&files.certificate, &signed.pem())?;
        write(&files.key, &key.serialize_pem())?;
        Ok(files)
    }
}

fn named(name: &str, hosts: Vec<String>) -> Result<CertificateParams> {
    let mut wanted = CertificateParams::new(hosts).context("a host's name")?;
    // Who signs and who is signed must not share a name: that would read as a certificate signed by itself.
    wanted.distinguished_name = DistinguishedName::new();
    wanted.distinguished_name.push(DnType::CommonName, name);
    Ok(wanted)
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}
