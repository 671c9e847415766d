//! Can the node listen where it is told to?

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use super::Check;

/// `key` is the configuration's name of the address.
pub fn tcp(name: &str, key: &str, address: SocketAddr) -> Check {
    verdict(name, key, address, TcpListener::bind(address).map(drop))
}

pub fn udp(name: &str, key: &str, address: SocketAddr) -> Check {
    verdict(name, key, address, UdpSocket::bind(address).map(drop))
}

fn verdict(name: &str, key: &str, address: SocketAddr, bound: std::io::Result<()>) -> Check {
    let Err(error) = bound else { return Check::ok(name, format!("{address} is free")) };
    match error.kind() {
        ErrorKind::AddrInUse => Check::warn(
            name,
            format!("{address} is in use"),
            format!("well if this node is running; else stop the other program or change `{key}`"),
        ),
        ErrorKind::AddrNotAvailable => {
            Check::fail(name, format!("{address} is no address of this machine"), format!("change `{key}`"))
        }
        ErrorKind::PermissionDenied => Check::fail(
            name,
            format!("this user may not listen on {address}"),
            format!("use a port from 1024 up in `{key}`"),
        ),
        _ => Check::fail(name, format!("{address}: {error}"), format!("change `{key}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::Outcome;

    #[test]
    fn a_port_in_use_is_told_from_a_free_one() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        assert_eq!(tcp("http", "http.bind", address).outcome, Outcome::Warn);
        assert_eq!(udp("sip", "sip.bind", "127.0.0.1:0".parse().unwrap()).outcome, Outcome::Ok);
    }

    #[test]
    fn an_address_of_another_machine_fails() {
        // TEST-NET-1 (RFC 5737): never an address of a machine.
        let check = udp("sip", "sip.bind", "192.0.2.1:0".parse().unwrap());
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(check.fix.unwrap().contains("sip.bind"));
    }
}
