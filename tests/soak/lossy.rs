//! The media of all far ends: an echo on one socket that loses some packets and sends some after their
//! successor.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Shares of all packets.
pub const LOST: f64 = 0.05;
pub const REORDERED: f64 = 0.02;

pub struct Echo {
    port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Echoed>>,
}

/// What it did, in packets.
#[derive(Debug, Default)]
pub struct Echoed {
    pub came: u64,
    pub lost: u64,
    /// Went back after their successor.
    pub reordered: u64,
}

impl Echo {
    pub fn start() -> Echo {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let over = Arc::<AtomicBool>::default();
        let theirs = over.clone();
        let thread = Some(std::thread::spawn(move || reflect(&socket, &theirs)));
        Echo { port, over, thread }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Falls silent.
    pub fn end(mut self) -> Echoed {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("it ends once").join().unwrap()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn reflect(socket: &UdpSocket, over: &AtomicBool) -> Echoed {
    let mut echoed = Echoed::default();
    let mut random = StdRng::seed_from_u64(4);
    let mut held = HashMap::<SocketAddr, Vec<u8>>::new();
    let mut datagram = [0; 1_500];
    while !over.load(Ordering::Relaxed) {
        // A far end that is gone by now is an error of the next call.
        let Ok((length, from)) = socket.recv_from(&mut datagram) else { continue };
        echoed.came += 1;
        let chance: f64 = random.random();
        if chance < LOST {
            echoed.lost += 1;
            continue;
        }
        if chance < LOST + REORDERED && !held.contains_key(&from) {
            held.insert(from, datagram[..length].to_vec());
            continue;
        }
        let _ = socket.send_to(&datagram[..length], from);
        if let Some(late) = held.remove(&from) {
            echoed.reordered += 1;
            let _ = socket.send_to(&late, from);
        }
    }
    echoed
}
