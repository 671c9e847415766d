//! Kamailio as a trunk.

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
    /// A proxy by a configuration in which these words are put in place.
    pub async fn of(config: &str, words: &[(&str, &str)]) -> Kamailio {
        let config = words.iter().fold(config.to_owned(), |text, (from, to)| text.replace(from, to));
        Kamailio::run(&config, free_port()).await
    }

    pub async fn run(config: &str, port: u16) -> Kamailio {
        Kamailio::run_with(config, port, "").await
    }

    pub async fn run_with(config: &str, port: u16, gateways: &str) -> Kamailio {
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
