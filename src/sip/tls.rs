//! TLS for trunks (RFC 3261 section 26, RFC 5922): whom a trunk's certificate is checked against, what
//! this node shows of itself, and what a failed handshake means.
//!
//! In: the files that the configuration names, read at the start and at every reload. Out: what makes connections. There
//! is no way to leave the check out: a trunk must show a certificate for its `server` (or `tls_name`)
//! by an authority that is trusted for it.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    server::WebPkiClientVerifier,
};
use serde::{Deserialize, Serialize};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::trunk::{Transport, TrunkConfig};

/// The `[sip.tls]` section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Address and port for SIP over TLS that trunks connect to. Without one, calls come in by the
    /// connections that are made to the trunks.
    pub bind: Option<SocketAddr>,
    /// PEM file with this node's certificate, those of the authorities between it and the root after it:
    /// shown to trunks that connect, and to those that ask for one.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// PEM file with authorities: a trunk that connects must show a certificate of one of them.
    pub client_ca: Option<PathBuf>,
}

impl TlsConfig {
    /// The field that is wrong, and what it must be.
    pub(super) fn problem(&self) -> Option<(&'static str, &'static str)> {
        let own = self.certificate.is_some();
        if own != self.key.is_some() {
            return Some(("tls.key", "must be set where `tls.certificate` is, and nowhere else"));
        }
        if self.bind.is_some() && !own {
            return Some(("tls.certificate", "must be set, since `tls.bind` is"));
        }
        (self.client_ca.is_some() && self.bind.is_none())
            .then_some(("tls.client_ca", "has nothing to check without `tls.bind`"))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{field}: cannot read {}: {source}", path.display())]
    Unreadable { field: String, path: PathBuf, source: io::Error },
    #[error("{field}: {} {problem}", path.display())]
    Unfit { field: String, path: PathBuf, problem: String },
    #[error("trunk `{0}`: `tls_name` must be a host name or an address")]
    Name(String),
    #[error(
        "trunk `{0}`: this machine trusts no authority: install ca-certificates, or set `tls_ca` to the \
         file of the trunk's authority"
    )]
    NoAuthority(String),
}

/// How one trunk is connected to.
pub(super) struct Client {
    pub connector: TlsConnector,
    /// What its certificate must be for.
    pub name: ServerName<'static>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Client {
    /// `None` for a trunk that does not speak TLS.
    pub fn new(own: &TlsConfig, trunk: &TrunkConfig) -> Result<Option<Self>, TlsError> {
        if trunk.transport != Transport::Tls {
            return Ok(None);
        }
        let name = trunk.tls_name.as_ref().unwrap_or(&trunk.server.host);
        let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(trunk.name.clone()))?;
        let roots = Arc::new(authorities(trunk)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|_| TlsError::NoAuthority(trunk.name.clone()))?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_webpki_verifier(verifier.clone());
        let config = match own_certificate(own)? {
            Some((chain, key, unfit)) => config.with_client_auth_cert(chain, key).map_err(unfit)?,
            None => config.with_no_client_auth(),
        };
        Ok(Some(Client { connector: TlsConnector::from(Arc::new(config)), name, verifier }))
    }

    /// Whether a certificate that another trunk's connection showed would do for this one, too.
    pub fn trusts(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, between)) = chain.split_first() else { return false };
        self.verifier.verify_server_cert(leaf, between, &self.name, &[], UnixTime::now()).is_ok()
    }
}

/// How trunks that connect are met, and where.
pub(super) fn server(own: &TlsConfig) -> Result<Option<(SocketAddr, TlsAcceptor)>, TlsError> {
    let (Some(bind), Some((chain, key, unfit))) = (own.bind, own_certificate(own)?) else { return Ok(None) };
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3");
    let config = match &own.client_ca {
        Some(path) => {
            let roots = Arc::new(read_authorities("sip.tls.client_ca", path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let unfit = |e: rustls::server::VerifierBuilderError| unfit_file("sip.tls.client_ca", path, e);
            config.with_client_cert_verifier(verifier.map_err(unfit)?)
        }
        None => config.with_no_client_auth(),
    };
    let config = config.with_single_cert(chain, key).map_err(unfit)?;
    Ok(Some((bind, TlsAcceptor::from(Arc::new(config)))))
}

/// Named, since more than one provider is linked into the program, and the library then takes none by itself.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Where a request within a call goes to an address that no trunk is connected to, the stack connects by
/// itself, with the provider of the process, and panics if there is none. It trusts no authority then, so
/// that such a connection is refused.
pub(super) fn install_provider() {
    // One that is installed already does as well.
    let _ = ring::default_provider().install_default();
}

/// The trunk's own authority, and no other; or those that the system trusts.
fn authorities(trunk: &TrunkConfig) -> Result<RootCertStore, TlsError> {
    if let Some(path) = &trunk.tls_ca {
        return read_authorities(&format!("trunk `{}`: tls_ca", trunk.name), path);
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoAuthority(trunk.name.clone())) } else { Ok(roots) }
}

fn read_authorities(field: &str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(field, path)? {
        roots.add(certificate).map_err(|e| unfit_file(field, path, e))?;
    }
    Ok(roots)
}

type OwnCertificate<'a> =
    (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, Box<dyn Fn(rustls::Error) -> TlsError + 'a>);

/// The certificate, its key, and what to say if they do not fit each other.
fn own_certificate(own: &TlsConfig) -> Result<Option<OwnCertificate<'_>>, TlsError> {
    let (Some(certificate), Some(key_file)) = (&own.certificate, &own.key) else { return Ok(None) };
    let chain = read_chain("sip.tls.certificate", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read("sip.tls.key", key_file)?);
    let key = key.map_err(|e| match e {
        pem::Error::NoItemsFound => unfit_file("sip.tls.key", key_file, "holds no private key in PEM form"),
        other => unfit_file("sip.tls.key", key_file, other),
    })?;
    let unfit = move |error: rustls::Error| match error {
        rustls::Error::InconsistentKeys(_) => {
            unfit_file("sip.tls.key", key_file, "is not the key of `sip.tls.certificate`")
        }
        other => unfit_file("sip.tls.key", key_file, other),
    };
    Ok(Some((chain, key, Box::new(unfit))))
}

fn read_chain(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(field, path)?).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(unfit_file(field, path, "holds no certificate in PEM form")),
        Ok(chain) => Ok(chain),
        Err(e) => Err(unfit_file(field, path, e)),
    }
}

fn read(field: &str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { field: field.to_owned(), path: path.to_owned(), source };
    fs::read(path).map_err(unreadable)
}

fn unfit_file(field: &str, path: &Path, problem: impl ToString) -> TlsError {
    TlsError::Unfit { field: field.to_owned(), path: path.to_owned(), problem: problem.to_string() }
}

/// What a failed handshake means for the one who configured the trunk.
pub(super) fn describe_failure(error: &io::Error, name: &ServerName<'_>) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(problem)) => describe_certificate(problem, name),
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown,
        )) => "it refuses this node's certificate, or the lack of one: set `sip.tls.certificate` and \
               `sip.tls.key` to what it knows"
            .into(),
        Some(rustls::Error::InvalidMessage(_)) => {
            "it does not speak TLS at this port: check the port, or `transport`".into()
        }
        Some(other) => format!("the TLS handshake fails: {other}"),
        None => format!("the TLS handshake fails: {error}"),
    }
}

fn describe_certificate(problem: &CertificateError, name: &ServerName<'_>) -> String {
    use CertificateError::*;
    match problem {
        Expired | ExpiredContext { .. } => {
            "its certificate has expired: the trunk's operator must renew it, or this machine's clock is \
             wrong"
                .into()
        }
        NotValidYet | NotValidYetContext { .. } => {
            "its certificate is not valid yet: check this machine's clock".into()
        }
        // An authority of the same name, but with another key, shows as a bad signature.
        UnknownIssuer | BadSignature => {
            "its certificate is of an authority that is not trusted here: set `tls_ca` to \
                          that authority's file"
                .into()
        }
        NotValidForName | NotValidForNameContext { .. } => format!(
            "its certificate is not for {}: set `server`, or `tls_name`, to a name that the certificate holds",
            name.to_str()
        ),
        other => format!("its certificate is not accepted: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(error: rustls::Error) -> String {
        let name = ServerName::try_from("sip.example.com").unwrap();
        describe_failure(&io::Error::new(io::ErrorKind::InvalidData, error), &name)
    }

    #[test]
    fn failures_name_the_fix() {
        let certificate = |e| refused(rustls::Error::InvalidCertificate(e));
        assert!(certificate(CertificateError::Expired).contains("renew"));
        assert!(certificate(CertificateError::UnknownIssuer).contains("`tls_ca`"));
        assert!(certificate(CertificateError::NotValidForName).contains("not for sip.example.com"));
        let asks = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert!(refused(asks).contains("`sip.tls.certificate`"));
        let plain = io::Error::new(io::ErrorKind::UnexpectedEof, "closed");
        let name = ServerName::try_from("192.0.2.1").unwrap();
        assert_eq!(describe_failure(&plain, &name), "the TLS handshake fails: closed");
    }

    #[test]
    fn files_are_named_with_their_fields() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = Some(file.path().to_owned());
        let own = TlsConfig { certificate: path.clone(), key: path.clone(), ..TlsConfig::default() };
        let error = own_certificate(&own).err().unwrap().to_string();
        assert!(error.starts_with("sip.tls.certificate: /"), "{error}");
        assert!(error.ends_with("holds no certificate in PEM form"), "{error}");
        let mut trunk = TrunkConfig::peer("a", "sip.example.com".parse().unwrap());
        trunk.transport = Transport::Tls;
        trunk.tls_ca = Some("/nowhere/ca.pem".into());
        let error = Client::new(&TlsConfig::default(), &trunk).err().unwrap().to_string();
        assert!(error.starts_with("trunk `a`: tls_ca: cannot read /nowhere/ca.pem"), "{error}");
    }

    #[test]
    fn certificate_and_key_come_together() {
        let own: TlsConfig = toml::from_str("bind = '0.0.0.0:5061'").unwrap();
        assert_eq!(own.problem().unwrap().0, "tls.certificate");
        let own: TlsConfig = toml::from_str("certificate = 'c.pem'").unwrap();
        assert_eq!(own.problem().unwrap().0, "tls.key");
        let own: TlsConfig = toml::from_str("client_ca = 'c.pem'").unwrap();
        assert_eq!(own.problem().unwrap().0, "tls.client_ca");
        assert_eq!(TlsConfig::default().problem(), None);
    }
}
