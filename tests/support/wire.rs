//! The loopback traffic of the last moments, kept in memory: a packet socket for all tests of a process, so
//! that a failure has a capture without a capture for each test. It holds what other tests sent meanwhile,
//! too. Without the right to open such a socket there is none.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufWriter, Read, Write},
    net::Ipv4Addr,
    path::Path,
    sync::{Mutex, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Packets that are kept, in bytes: about a minute of twenty calls.
const KEPT: usize = 32 << 20;
const ETHERNET_HEADER: usize = 14;
const ETHERTYPE_IPV4: u16 = 0x0800;

type Wire = Mutex<Ring>;

#[derive(Default)]
struct Ring {
    packets: VecDeque<(Duration, Vec<u8>)>,
    bytes: usize,
}

static WIRE: OnceLock<io::Result<Wire>> = OnceLock::new();

/// Begins to listen, once.
pub fn listen() {
    WIRE.get_or_init(|| {
        // Of one EtherType: a socket for all would see each loopback packet twice.
        let protocol = Protocol::from(i32::from(ETHERTYPE_IPV4.to_be()));
        let socket = Socket::new(Domain::from(libc::AF_PACKET), Type::RAW, Some(protocol))?;
        std::thread::Builder::new().name("wire".into()).spawn(move || receive(socket))?;
        Ok(Wire::default())
    });
}

pub fn forget() {
    if let Some(Ok(wire)) = WIRE.get()
        && let Ok(mut ring) = wire.lock()
    {
        *ring = Ring::default();
    }
}

/// Writes what is there as a pcap file, and says how many packets it was.
pub fn write(to: &Path) -> io::Result<usize> {
    let ring = match WIRE.get() {
        Some(Ok(wire)) => wire.lock().map_err(|_| io::Error::other("the listener died"))?,
        Some(Err(error)) => return Err(io::Error::new(error.kind(), error.to_string())),
        None => return Err(io::ErrorKind::NotConnected.into()),
    };
    let mut file = BufWriter::new(File::create(to)?);
    file.write_all(&0xa1b2_c3d4u32.to_le_bytes())?;
    for half in [2u16, 4, 0, 0, 0, 0] {
        file.write_all(&half.to_le_bytes())?;
    }
    for word in [65_535u32, 1] {
        file.write_all(&word.to_le_bytes())?;
    }
    for (at, packet) in &ring.packets {
        for word in [at.as_secs() as u32, at.subsec_micros(), packet.len() as u32, packet.len() as u32] {
            file.write_all(&word.to_le_bytes())?;
        }
        file.write_all(packet)?;
    }
    file.flush()?;
    Ok(ring.packets.len())
}

fn receive(mut socket: Socket) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = socket.read(&mut buffer) {
        let packet = &buffer[..length];
        if let (true, Some(Ok(wire))) = (is_loopback_udp_or_tcp(packet), WIRE.get()) {
            let Ok(mut ring) = wire.lock() else { return };
            ring.push(packet);
        }
    }
}

fn is_loopback_udp_or_tcp(packet: &[u8]) -> bool {
    let Some(ip) = packet.get(ETHERNET_HEADER..ETHERNET_HEADER + 20) else { return false };
    Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]).is_loopback() && matches!(ip[9], 6 | 17)
}

impl Ring {
    fn push(&mut self, packet: &[u8]) {
        self.packets
            .push_back((SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), packet.to_vec()));
        self.bytes += packet.len();
        while self.bytes > KEPT {
            self.bytes -= self.packets.pop_front().map_or(0, |(_, packet)| packet.len());
        }
    }
}
