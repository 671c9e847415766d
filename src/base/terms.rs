//! What offer and answer agree on beside codec, address and direction: SDP finds it out, media does it.

use std::net::SocketAddr;

/// Where RTCP goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rtcp {
    /// To the port above RTP's (RFC 3550 §11).
    #[default]
    NextPort,
    /// To an address of its own (RFC 3605).
    At(SocketAddr),
    /// With RTP, through one port (RFC 5761).
    Mux,
}

/// The finer terms of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    pub rtcp: Rtcp,
}
