//! A carrier that is reached by TLS: Kamailio with its tls module.

use std::{fs::File, net::Ipv4Addr, path::PathBuf, process::Command};

use callbox::sip::Transport;

use super::{
    certificates::{Authority, Certificate},
    peers::{Group, free_port, spawn, traces},
    *,
};

/// A carrier that is reached by TLS, in front of a callee.
pub struct Carrier {
    process: Option<Group>,
    pub address: SocketAddr,
    dir: PathBuf,
}

/// What a carrier is made of.
pub struct Setup<'a> {
    pub shows: &'a Certificate,
    pub callee: SocketAddr,
    /// Lines of its server's TLS section.
    pub server: String,
    /// Lines of its client's.
    pub client: String,
    /// Where calls of the callee go by TLS, instead of to who is registered.
    pub node: Option<SocketAddr>,
    /// Whether what follows in a call comes through it.
    pub records_route: bool,
}

impl<'a> Setup<'a> {
    pub fn new(shows: &'a Certificate, callee: SocketAddr) -> Self {
        Setup { shows, callee, server: String::new(), client: String::new(), node: None, records_route: true }
    }

    pub fn start(&self) -> Carrier {
        let (dir, port) = (traces::folder("kamailio"), free_port());
        let path = dir.display().to_string();
        let node = self.node.map(|node| node.to_string()).unwrap_or_default();
        let config = include_str!("kamailio/tls.cfg")
            .replace("@PORT@", &port.to_string())
            .replace("@CALLEE@", &self.callee.port().to_string())
            .replace("@NODE@", &node)
            .replace("@ROUTE@", if self.records_route { "recorded" } else { "none" })
            .replace("@DIR@", &path);
        std::fs::write(dir.join("trunk.cfg"), config).unwrap();
        let Certificate { certificate, key } = self.shows;
        let tls = format!(
            "[server:default]\nmethod = TLSv1.2+\nprivate_key = {key}\ncertificate = {certificate}\n{}\n\
             [client:default]\nmethod = TLSv1.2+\n{}\n",
            self.server,
            self.client,
            key = key.display(),
            certificate = certificate.display(),
        );
        std::fs::write(dir.join("tls.cfg"), tls).unwrap();
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut carrier = Carrier { process: None, address, dir };
        carrier.start();
        carrier
    }
}

impl Carrier {
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut command = Command::new("kamailio");
        command.arg("-f").arg(self.dir.join("trunk.cfg"));
        command.args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"]).arg(&self.dir);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(spawn("kamailio", "kamailio-tls-modules", &mut command));
    }

    pub fn stop(&mut self) {
        self.process = None;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            eprintln!("--- kamailio\n{log}");
        }
    }
}

pub fn tls_trunk(server: SocketAddr, authority: &Authority) -> TrunkConfig {
    TrunkConfig {
        transport: Transport::Tls,
        tls_ca: Some(authority.file()),
        ..trunk_with_password(server, "secret")
    }
}

/// Waits until the trunk answers: a carrier takes a moment to start.
pub async fn answers(node: &SipNode) {
    within("the trunk's answer", async { while node.options(None).await.is_err() {} }).await;
}
