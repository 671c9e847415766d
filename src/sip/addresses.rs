//! Where peers reach this node: what Via, Contact and SDP say.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::RwLock;
use rsipstack::{
    sip::{
        HostWithPort, Request,
        prelude::{HeadersExt, ToTypedHeader},
    },
    transport::SipAddr,
};

use super::trunk::Transport;

#[derive(Debug)]
pub(super) struct Addresses {
    /// Of the UDP socket, as the world sees it, or as this machine does.
    udp: RwLock<SocketAddr>,
    /// Whether the world was asked, or the operator.
    known: AtomicBool,
    /// Of the UDP socket and the TCP listener on this machine.
    port: u16,
    pub tcp: bool,
    /// Of the TLS listener, if there is one.
    pub tls: Option<u16>,
}

impl Addresses {
    pub fn new(udp: SocketAddr, known: bool, port: u16, tcp: bool, tls: Option<u16>) -> Self {
        Addresses { udp: RwLock::new(udp), known: AtomicBool::new(known), port, tcp, tls }
    }

    /// Our address as the world sees it, where that is known before a peer tells.
    pub fn public(&self) -> Option<IpAddr> {
        self.known.load(Ordering::Relaxed).then(|| self.ip())
    }

    pub fn ip(&self) -> IpAddr {
        self.udp.read().ip()
    }

    /// Address and port that a transport is served at. A NAT is taken to forward the ports of TCP and TLS
    /// unchanged.
    pub fn socket(&self, transport: Transport) -> SocketAddr {
        let udp = *self.udp.read();
        match transport {
            Transport::Udp => udp,
            Transport::Tcp => SocketAddr::new(udp.ip(), self.port),
            Transport::Tls => SocketAddr::new(udp.ip(), self.tls.unwrap_or(self.port)),
        }
    }

    pub fn of(&self, transport: Transport) -> SipAddr {
        SipAddr { r#type: Some(transport.into()), addr: self.socket(transport).into() }
    }

    /// Whether peers can connect by this transport.
    pub fn serves(&self, transport: Transport) -> bool {
        match transport {
            Transport::Udp => true,
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls.is_some(),
        }
    }

    /// Takes what a server says of the UDP socket; the address of before if it was another.
    pub fn learn(&self, udp: SocketAddr) -> Option<SocketAddr> {
        let before = std::mem::replace(&mut *self.udp.write(), udp);
        self.known.store(true, Ordering::Relaxed);
        (before != udp).then_some(before)
    }

    /// Puts the address of now into a request of ours: the stack knows only the one it began with, and
    /// no port of TLS.
    pub fn sign(&self, request: &mut Request) {
        let Ok(via) = request.via_header_mut() else { return };
        let _ = via.update_first_value(|via| {
            let mut via = via.typed()?;
            let transport = match via.transport {
                rsipstack::sip::Transport::Tcp => Transport::Tcp,
                rsipstack::sip::Transport::Tls => Transport::Tls,
                _ => Transport::Udp,
            };
            via.uri.host_with_port = HostWithPort::from(self.socket(transport));
            Ok(via.into())
        });
    }
}
