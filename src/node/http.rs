//! The HTTP server's life: bind, serve, stop.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;

use super::Shutdown;

/// Binds first, so that a port in use ends the start and not the running node.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; free the port or change `http.bind`"))
}

/// Serves until stopping begins, then gives open requests `grace` to end. Live views never end by
/// themselves, and are cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
    grace: Duration,
) -> anyhow::Result<()> {
    let stop = shutdown.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { stop.begun().await });
    let cut = async {
        shutdown.begun().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        ended = server => ended.context("the HTTP server failed"),
        () = cut => Ok(()),
    }
}
