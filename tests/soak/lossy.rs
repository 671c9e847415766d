//! The media of all far ends: an echo on one socket that loses some packets and sends some after their
//! successor.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const LOST: f64 = 0.05;
const REORDERED: f64 = 0.02;

pub struct Echo {
    port: u16,
    over: Arc<AtomicBool>,
    packets: Arc<AtomicU64>,
    harmed: Arc<AtomicU64>,
}

impl Echo {
    pub fn start() -> Echo {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (over, packets, harmed) = (Arc::<AtomicBool>::default(), Arc::default(), Arc::default());
        let echo = Echo { port, over, packets, harmed };
        let (over, packets, harmed) = (echo.over.clone(), echo.packets.clone(), echo.harmed.clone());
        std::thread::spawn(move || reflect(&socket, &over, &packets, &harmed));
        echo
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    pub fn harmed(&self) -> u64 {
        self.harmed.load(Ordering::Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn reflect(socket: &UdpSocket, over: &AtomicBool, packets: &AtomicU64, harmed: &AtomicU64) {
    let mut random = StdRng::seed_from_u64(4);
    let mut held = HashMap::<SocketAddr, Vec<u8>>::new();
    let mut datagram = [0; 1_500];
    while !over.load(Ordering::Relaxed) {
        // A far end that is gone by now is an error of the next call.
        let Ok((length, from)) = socket.recv_from(&mut datagram) else { continue };
        packets.fetch_add(1, Ordering::Relaxed);
        let chance: f64 = random.random();
        if chance < LOST + REORDERED {
            harmed.fetch_add(1, Ordering::Relaxed);
        }
        if chance < LOST {
            continue;
        }
        if chance < LOST + REORDERED {
            held.insert(from, datagram[..length].to_vec());
            continue;
        }
        let _ = socket.send_to(&datagram[..length], from);
        if let Some(late) = held.remove(&from) {
            let _ = socket.send_to(&late, from);
        }
    }
}
