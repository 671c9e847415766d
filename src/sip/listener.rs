//! Connections that trunks make to this node, by TCP and TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rsipstack::{
    sip::Transport,
    transport::{SipAddr, SipConnection, tcp::TcpConnection, tls::TlsConnection},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

use super::{error::describe, flow, node::Core, trunk};

/// Connections at once, whoever made them; one more is closed at once.
const MAX_CONNECTIONS: usize = 256;
/// Handshakes at once; who connects meanwhile is closed at once.
const MAX_HANDSHAKES: usize = 64;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// Takes TCP connections from the trunks' addresses; others are closed unread.
pub(super) async fn accept_tcp(core: Arc<Core>, listener: TcpListener) {
    loop {
        let (stream, _) = next_welcome(&core, &listener).await;
        let local = core.addresses.of(trunk::Transport::Tcp);
        match TcpConnection::from_stream(stream, local, Some(core.stop.child_token())) {
            Ok(connection) => {
                core.endpoint.transport_layer.add_connection(SipConnection::Tcp(connection));
            }
            Err(error) => tracing::debug!(error = describe(&error), "SIP connection lost at once"),
        }
    }
}

/// The same for TLS.
pub(super) async fn accept_tls(core: Arc<Core>, listener: TcpListener) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let (stream, peer) = next_welcome(&core, &listener).await;
        let Ok(place) = handshakes.clone().try_acquire_owned() else { continue };
        let Some(acceptor) = core.acceptor.read().clone() else { continue };
        let core = core.clone();
        tokio::spawn(async move {
            let _place = place;
            greet(&core, acceptor, stream, peer).await;
        });
    }
}

async fn greet(core: &Core, acceptor: TlsAcceptor, stream: TcpStream, peer: SocketAddr) {
    let stream = match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(source = %peer.ip(), %error, "TLS handshake failed"),
        Err(_) => return tracing::debug!(source = %peer.ip(), "TLS handshake takes too long"),
    };
    let local = core.addresses.of(trunk::Transport::Tls);
    let remote = SipAddr { r#type: Some(Transport::Tls), addr: peer.into() };
    let token = Some(core.stop.child_token());
    match TlsConnection::from_server_stream(stream, local, remote, token).await {
        Ok(connection) => core.endpoint.transport_layer.add_connection(SipConnection::Tls(connection)),
        Err(error) => tracing::debug!(error = describe(&error), "SIP connection lost at once"),
    }
}

/// The next connection of a trunk.
async fn next_welcome(core: &Core, listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "SIP port cannot accept");
                // Out of descriptors, most likely: without a pause the loop would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let full = core.endpoint.transport_layer.connections_count() >= MAX_CONNECTIONS;
        if core.sources.allows(peer.ip()) && !full {
            flow::tune(&stream);
            return (stream, peer);
        }
        tracing::debug!(source = %peer.ip(), full, "SIP connection dropped");
    }
}
