//! A small authority, and what it signs: openssl makes both.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

pub struct Authority {
    dir: TempDir,
}

/// Files in PEM form.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Authority {
        let dir = tempfile::tempdir().unwrap();
        openssl(
            dir.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=Authority \
             -addext keyUsage=keyCertSign -keyout ca.key -out ca.pem",
        );
        Authority { dir }
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// For `trunk.test` and 127.0.0.1.
    pub fn sign(&self, name: &str) -> Certificate {
        self.sign_until("20991231000000Z", name)
    }

    /// The same, valid from 2020 to `end`.
    pub fn sign_until(&self, end: &str, name: &str) -> Certificate {
        self.sign_for("DNS:trunk.test,IP:127.0.0.1", end, name)
    }

    /// The same for other names than those.
    pub fn sign_for(&self, names: &str, end: &str, name: &str) -> Certificate {
        let dir = self.dir.path();
        let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n\
                      default_md=sha256\npolicy=any\nrand_serial=yes\nunique_subject=no\n[any]\ncommonName=supplied\n\
                      [leaf]\nsubjectAltName=@NAMES@\nbasicConstraints=CA:FALSE\n";
        std::fs::write(dir.join("ca.cnf"), config.replace("@NAMES@", names)).unwrap();
        std::fs::write(dir.join("index"), "").unwrap();
        openssl(
            dir,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout \
                 {name}.key -out {name}.csr"
            ),
        );
        openssl(
            dir,
            &format!(
                "ca -batch -notext -config ca.cnf -extensions leaf -cert ca.pem -keyfile ca.key -startdate \
                 20200101000000Z -enddate {end} -in {name}.csr -out {name}.pem"
            ),
        );
        Certificate { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) }
    }
}

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
    let output = output.unwrap_or_else(|e| panic!("openssl does not start ({e}): install the package"));
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
