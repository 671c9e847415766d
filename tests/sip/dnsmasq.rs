//! dnsmasq as the nameserver that knows a carrier.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    peers::{Group, spawn},
    ports::free_address,
};

pub struct Dnsmasq {
    _process: Group,
    pub address: SocketAddr,
    _dir: TempDir,
}

impl Dnsmasq {
    /// Serves what `options` say of names, with answers that may be kept for `ttl` seconds.
    pub async fn start(address: Option<SocketAddr>, ttl: u32, options: &[String]) -> Dnsmasq {
        let address = address.unwrap_or_else(free_address);
        let dir = tempfile::tempdir().unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
        command.args([
            "--bind-interfaces",
            "--user=",
            "--group=",
            "--pid-file=",
            "--listen-address=127.0.0.1",
        ]);
        command.arg(format!("--port={}", address.port())).arg(format!("--local-ttl={ttl}"));
        // The names are ours alone: what is not known does not exist.
        command.arg("--local=/carrier.test/").args(options);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = spawn("dnsmasq", "dnsmasq-base", &mut command);
        let dnsmasq = Dnsmasq { _process: process, address, _dir: dir };
        dnsmasq.answers().await;
        dnsmasq
    }

    /// Asks for `carrier.test` until anything comes back.
    async fn answers(&self) {
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let query =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07carrier\x04test\x00\x00\x01\x00\x01";
        let mut buf = [0; 512];
        for _ in 0..100 {
            let _ = socket.send_to(query, self.address).await;
            let answer = tokio::time::timeout(Duration::from_millis(100), socket.recv_from(&mut buf)).await;
            if matches!(answer, Ok(Ok(_))) {
                return;
            }
        }
        panic!("dnsmasq does not answer:\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self._dir.path().join("log")).unwrap_or_default()
    }
}

/// `name` by UDP at `host`'s address 127.0.0.1 and this port.
pub fn srv(name: &str, host: &str, port: u16, priority: u16, weight: u16) -> [String; 2] {
    service("_sip._udp", name, host, port, priority, weight)
}

/// `name` by TLS likewise.
pub fn srv_tls(name: &str, host: &str, port: u16, priority: u16) -> [String; 2] {
    service("_sips._tcp", name, host, port, priority, 1)
}

fn service(service: &str, name: &str, host: &str, port: u16, priority: u16, weight: u16) -> [String; 2] {
    [
        format!("--srv-host={service}.{name},{host},{port},{priority},{weight}"),
        format!("--host-record={host},127.0.0.1"),
    ]
}
