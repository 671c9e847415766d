//! Kamailio as a trunk that challenges.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::peers::{Group, free_port, spawn};

pub struct Kamailio {
    _process: Group,
    pub address: SocketAddr,
    _dir: TempDir,
}

impl Kamailio {
    /// A proxy that challenges by `kind` (`www` for 401, `proxy` for 407) with `algorithm`, in front
    /// of `callee`.
    pub async fn start(kind: &str, algorithm: &str, callee: SocketAddr) -> Kamailio {
        let config = include_str!("kamailio/trunk.cfg")
            .replace("@CALLEE@", &callee.port().to_string())
            .replace("@ALGORITHM@", algorithm)
            .replace("@KIND@", kind);
        Kamailio::run(&config, free_port()).await
    }

    /// A carrier's edge that hands calls to `gateway`, and answers 503 if that is silent.
    pub async fn dispatcher(gateway: SocketAddr) -> Kamailio {
        let gateways = format!("1 sip:{gateway}\n");
        Kamailio::run_with(include_str!("kamailio/dispatcher.cfg"), free_port(), &gateways).await
    }

    /// A registrar that keeps its bindings in memory, and a proxy in front of `callee`, at `port`.
    pub async fn registrar(callee: SocketAddr, port: u16) -> Kamailio {
        let config = include_str!("kamailio/registrar.cfg").replace("@CALLEE@", &callee.port().to_string());
        Kamailio::run(&config, port).await
    }

    async fn run(config: &str, port: u16) -> Kamailio {
        Kamailio::run_with(config, port, "").await
    }

    async fn run_with(config: &str, port: u16, gateways: &str) -> Kamailio {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("dispatcher.list");
        std::fs::write(&list, gateways).unwrap();
        let config = config.replace("@PORT@", &port.to_string()).replace("@LIST@", &list.to_string_lossy());
        let file = dir.path().join("trunk.cfg");
        std::fs::write(&file, config).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("kamailio");
        command.arg("-f").arg(file).args(["-DD", "-E", "-m", "32", "-M", "4", "-Y"]).arg(dir.path());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = spawn("kamailio", "kamailio", &mut command);
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let kamailio = Kamailio { _process: process, address, _dir: dir };
        kamailio.answers().await;
        kamailio
    }

    /// Its port opens before its workers run: only an answer shows that it serves.
    async fn answers(&self) {
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = socket.local_addr().unwrap();
        let ping = format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKready;rport\r\n\
             From: <sip:test@{own}>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            to = self.address
        );
        let mut buf = [0; 2000];
        for _ in 0..100 {
            let _ = socket.send_to(ping.as_bytes(), self.address).await;
            let answer = tokio::time::timeout(Duration::from_millis(100), socket.recv_from(&mut buf)).await;
            if matches!(answer, Ok(Ok(_))) {
                return;
            }
        }
        panic!("Kamailio does not answer:\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self._dir.path().join("log")).unwrap_or_default()
    }
}
