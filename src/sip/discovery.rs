//! Our address as the world sees it, asked of a STUN server over the SIP socket itself, so that the
//! answer is the binding which peers use; asking often also keeps that binding.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{node::Core, stun, trunk::Server, trunk::Transport, wire::GuardedSocket};

const DEFAULT_PORT: u16 = 3478;
/// Waits for an answer, after which the question is sent again: RFC 8489 section 6.2.1, shortened, since
/// it is asked again soon anyway.
const WAITS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(2)];

/// A datagram that may be an answer of a STUN server, and who sent it.
pub(super) type StunAnswer = (Vec<u8>, SocketAddr);

pub(super) struct Discovery {
    server: Server,
    socket: Arc<GuardedSocket>,
    answers: mpsc::Receiver<StunAnswer>,
    failing: bool,
}

impl Discovery {
    pub fn new(server: Server, socket: Arc<GuardedSocket>, answers: mpsc::Receiver<StunAnswer>) -> Self {
        Discovery { server, socket, answers, failing: false }
    }

    /// Asks once and takes over what it hears.
    pub async fn look(&mut self, core: &Core) {
        match self.ask().await {
            Ok(mapped) => {
                self.failing = false;
                if let Some(before) = core.addresses.learn(mapped) {
                    tracing::info!(%before, now = %mapped, "public address learned");
                    for trunk in core.trunks.iter().filter(|t| t.config.transport == Transport::Udp) {
                        trunk.flow.renew();
                    }
                }
            }
            Err(problem) if !self.failing => {
                self.failing = true;
                tracing::warn!(server = %self.server, problem, "sip.stun_server tells no address; the last one stays");
            }
            Err(_) => {}
        }
    }

    async fn ask(&mut self) -> Result<SocketAddr, String> {
        let to = self.find_server().await?;
        let id = rand::random();
        // An answer to an earlier question has another id, and is not taken for one to this.
        for wait in WAITS {
            self.socket.send(&stun::request(id), to).await.map_err(|e| e.to_string())?;
            if let Ok(mapped) = tokio::time::timeout(wait, self.answer(id, to)).await {
                return Ok(mapped);
            }
        }
        Err("no answer".into())
    }

    async fn answer(&mut self, id: stun::TransactionId, server: SocketAddr) -> SocketAddr {
        loop {
            match self.answers.recv().await {
                Some((datagram, from)) if from == server => {
                    if let Some(mapped) = stun::mapped_address(&datagram, id) {
                        return mapped;
                    }
                }
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    async fn find_server(&self) -> Result<SocketAddr, String> {
        let own = self.socket.local_address().map_err(|e| e.to_string())?;
        let port = self.server.port.unwrap_or(DEFAULT_PORT);
        let mut found =
            tokio::net::lookup_host((self.server.host.as_str(), port)).await.map_err(|e| e.to_string())?;
        let reachable = found.find(|address| address.is_ipv4() == own.is_ipv4());
        reachable.ok_or_else(|| "it has no address of the kind that `sip.bind` is".into())
    }
}

/// Asks again and again.
pub(super) async fn drive(core: Arc<Core>, mut discovery: Discovery) {
    loop {
        tokio::time::sleep(core.config.stun_interval).await;
        discovery.look(&core).await;
    }
}
