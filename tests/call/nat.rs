//! A NAT around a telephone, signalling and media: inside it has an address that no one else can reach, and
//! the world sees one of the NAT's, by ports that no SDP names.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::eventually;

/// What the telephone calls itself, and in truth is: as long, so that no length in a message changes.
const INSIDE: &str = "10.0.0.42";
const LOOPBACK: &str = "127.0.0.1";
/// What the world sees.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const LONGEST: usize = 9_000;

pub struct Nat {
    /// Where the telephone finds the world.
    pub gateway: SocketAddr,
    life: Arc<Mutex<Life>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Life {
    /// Where the world awaits media.
    media: Option<SocketAddr>,
    /// Whether media leaves yet.
    open: bool,
    /// Media of the telephone that has not left, and that which has.
    held: Vec<Vec<u8>>,
    left: Vec<Vec<u8>>,
    /// Media that has come in.
    came: Vec<Vec<u8>>,
}

impl Nat {
    /// Media stays inside until [`Nat::opens`].
    pub async fn start(world: SocketAddr) -> Nat {
        let (signalling, gateway) = Way::new().await;
        let (media, inner) = Way::new().await;
        let life = Arc::<Mutex<Life>>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(signalling.carry_signalling(world, inner.port(), life.clone()));
        tasks.spawn(media.carry_media(life.clone()));
        Nat { gateway, life, _tasks: tasks }
    }

    /// Where the world awaits media, once it has said so and the telephone sends some.
    pub async fn media(&self) -> SocketAddr {
        eventually("the telephone sends", || {
            let life = self.life.lock();
            life.media.is_some() && life.held.len() > 10
        })
        .await;
        self.life.lock().media.unwrap()
    }

    pub fn opens(&self) {
        self.life.lock().open = true;
    }

    /// Waits until two more seconds of media have gone each way.
    pub async fn passes_more(&self) {
        let passed = || {
            let life = self.life.lock();
            (life.left.len(), life.came.len())
        };
        let (left, came) = passed();
        let more = || passed().0 > left + 100 && passed().1 > came + 100;
        eventually("media goes both ways", more).await;
    }

    pub fn held(&self) -> Vec<Vec<u8>> {
        self.life.lock().held.clone()
    }

    pub fn left(&self) -> Vec<Vec<u8>> {
        self.life.lock().left.clone()
    }

    pub fn came(&self) -> Vec<Vec<u8>> {
        self.life.lock().came.clone()
    }
}

/// A socket of each side.
struct Way {
    inner: UdpSocket,
    outer: UdpSocket,
}

impl Way {
    /// With where its inner side is.
    async fn new() -> (Way, SocketAddr) {
        let inner = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let outer = UdpSocket::bind((OUTSIDE, 0)).await.unwrap();
        let address = inner.local_addr().unwrap();
        (Way { inner, outer }, address)
    }

    /// Media that the world awaits is sent to `port` inside.
    async fn carry_signalling(self, world: SocketAddr, port: u16, life: Arc<Mutex<Life>>) {
        let (mut out, mut back) = ([0; LONGEST], [0; LONGEST]);
        let (mut telephone, gateway) = (None, self.inner.local_addr().unwrap().to_string());
        loop {
            tokio::select! {
                Ok((length, from)) = self.inner.recv_from(&mut out) => {
                    telephone = Some(from);
                    let message = String::from_utf8_lossy(&out[..length]);
                    let own = format!("{INSIDE}:{}", from.port());
                    let message = message.replace(&from.to_string(), &own);
                    let message = message.replace(&format!("IN IP4 {LOOPBACK}"), &format!("IN IP4 {INSIDE}"));
                    let message = message.replace(&gateway, &world.to_string());
                    self.outer.send_to(message.as_bytes(), world).await.unwrap();
                }
                Ok((length, from)) = self.outer.recv_from(&mut back) => {
                    let message = String::from_utf8_lossy(&back[..length]).replace(INSIDE, LOOPBACK);
                    let message = message.replace(&world.to_string(), &gateway);
                    let (message, awaited) = with_media_at(&message, port);
                    if let Some(awaited) = awaited {
                        life.lock().media = Some((Ipv4Addr::LOCALHOST, awaited).into());
                    }
                    if let Some(telephone) = telephone.filter(|_| from == world) {
                        self.inner.send_to(message.as_bytes(), telephone).await.unwrap();
                    }
                }
            }
        }
    }

    /// Nothing comes in but from where something went.
    async fn carry_media(self, life: Arc<Mutex<Life>>) {
        let (mut out, mut back) = ([0; LONGEST], [0; LONGEST]);
        let mut telephone = None;
        loop {
            tokio::select! {
                Ok((length, from)) = self.inner.recv_from(&mut out) => {
                    telephone = Some(from);
                    let to = life.lock().goes(&out[..length]);
                    if let Some(to) = to {
                        self.outer.send_to(&out[..length], to).await.unwrap();
                    }
                }
                Ok((length, from)) = self.outer.recv_from(&mut back) => {
                    let known = life.lock().comes(from, &back[..length]);
                    if let Some(telephone) = telephone.filter(|_| known) {
                        // It may have hung up.
                        let _ = self.inner.send_to(&back[..length], telephone).await;
                    }
                }
            }
        }
    }
}

impl Life {
    fn goes(&mut self, packet: &[u8]) -> Option<SocketAddr> {
        let to = self.media.filter(|_| self.open);
        if to.is_some() { &mut self.left } else { &mut self.held }.push(packet.to_vec());
        to
    }

    fn comes(&mut self, from: SocketAddr, packet: &[u8]) -> bool {
        let known = self.media == Some(from) && !self.left.is_empty();
        if known {
            self.came.push(packet.to_vec());
        }
        known
    }
}

/// The message with another port for its audio, and the port that it names.
pub fn with_media_at(message: &str, port: u16) -> (String, Option<u16>) {
    let named = message.split_once("m=audio ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    let (Some(named), Some((head, body))) = (named, message.split_once("\r\n\r\n")) else {
        return (message.to_owned(), None);
    };
    let told = body.replace(&format!("m=audio {named} "), &format!("m=audio {port} "));
    let [before, now] = [body, &told].map(|body| format!("Content-Length: {}", body.len()));
    assert!(head.contains(&before), "{head}");
    (format!("{}\r\n\r\n{told}", head.replace(&before, &now)), Some(named))
}

/// Sends to where a call's media is awaited, and wants it.
pub struct Thief(UdpSocket);

impl Thief {
    pub async fn at(address: &str) -> Thief {
        Thief(UdpSocket::bind((address, 0)).await.unwrap())
    }

    /// One a millisecond: more at once would not all be read, and the call's own among them.
    pub async fn sends(&self, packets: &[Vec<u8>], to: SocketAddr) {
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for packet in packets {
            ticks.tick().await;
            self.0.send_to(packet, to).await.unwrap();
        }
    }

    /// Whether nothing ever came here.
    pub async fn got_nothing(&self) -> bool {
        tokio::time::timeout(Duration::ZERO, self.0.recv_from(&mut [0; 100])).await.is_err()
    }
}
