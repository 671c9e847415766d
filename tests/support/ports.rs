//! Ports of peers: which to give them, and whether they listen.

#![allow(dead_code)] // not every group of tests uses all of it

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Below those that the system hands out: a socket of another test takes none of them before the peer does.
const FIRST: usize = 12_000;
const PAIRS: usize = 10_000;

/// An even port of which nobody makes use, nor of the one above it.
pub fn free_port() -> u16 {
    free_pairs(1)
}

/// The first of so many pairs of ports one after the other.
pub fn free_pairs(pairs: usize) -> u16 {
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    // Tests that run in two processes seldom begin at the same one.
    let begin = std::process::id() as usize * 613;
    let used = used();
    let is_free = |run: &Range<usize>| !used.iter().any(|port| run.contains(&usize::from(*port)));
    let looks = (0..PAIRS).map(|_| (begin + GIVEN.fetch_add(pairs, Ordering::Relaxed)) % PAIRS);
    let whole = looks.filter(|pair| pair + pairs <= PAIRS);
    let mut runs = whole.map(|pair| FIRST + 2 * pair..FIRST + 2 * (pair + pairs));
    runs.find(is_free).expect("ports that are free").start.try_into().unwrap()
}

/// Where somebody may listen who is told so.
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// Whether somebody has a socket there. To bind one in order to see would be in the peer's way.
pub fn is_used(port: u16) -> bool {
    used().contains(&port)
}

/// The ports of all sockets, as the kernel lists them.
fn used() -> Vec<u16> {
    let list = |name| std::fs::read_to_string(format!("/proc/net/{name}"));
    // Those of IPv6 are there where the machine has it.
    let lists = [list("udp").unwrap(), list("tcp").unwrap()].into_iter();
    let lists: String = lists.chain([list("udp6"), list("tcp6")].into_iter().flatten()).collect();
    lists.lines().filter_map(local_port).collect()
}

/// Of a line as `  12: 0100007F:13C4 00000000:0000 07 ...`; none of a heading.
fn local_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok()
}
