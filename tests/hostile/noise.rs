//! Noise at the ports of live calls: broken, forged and replayed RTP and RTCP, from the far end's own
//! address and from others, while the true stream goes on. What is heard both ways stays the true stream.

use std::{
    collections::VecDeque,
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use callbox::{
    base::{
        audio::Codec,
        srtp::{Keying, Suite},
        terms::{Agreed, Rtcp, Terms},
    },
    media::{
        Config, MediaEvent, MediaEvents, MediaHandle, MediaPlane, SocketMode, UtteranceId,
        codec::g711::{ULAW, encode_ulaw},
        rtcp::{self, NtpTime, Outgoing, ReportBlock, SenderInfo},
        rtp::{Header, Packet, SequenceNumber, Ssrc, Timestamp},
        srtp::{LONGEST_TAG, Srtp},
    },
};
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::net::UdpSocket;

use crate::{eventually, heap::heap, mutate::mutated, peers::traces::forget_wire, within};

/// Datagrams of noise; `CALLBOX_NOISE` makes it another number.
const NOISE: u64 = 100_000;
/// Between two packets of the call: fewer than a leg reads in a tick, so that the true ones get through.
const BURST: usize = 24;
/// Packets of the true stream that are sent again: no more than a receiver tells from a new beginning.
const RECENT: usize = 50;
/// Calls of each kind on each plane.
const CALLS: usize = 2;
/// What may be allocated more at the end of the noise than after its first tenth, in bytes. What the allocator keeps of
/// the tests before is not counted.
const GROWTH: u64 = 8 << 20;
/// What both ends say, as bytes of PCMU: a level, so that every sample tells whose it is.
const THEIRS: u8 = 0xbf;
const OURS: u8 = 0xc7;
const QUIET: u8 = 0xff;
/// Payload types that a call of PCMU with events hears.
const KNOWN: [u8; 5] = [0, 8, 9, 13, 101];

/// Who makes the noise of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hand {
    /// Others, and they know everything of the stream.
    Strangers,
    /// The far end's own address, with all that can be told from its stream.
    Near,
    /// The far end's own address and others, with anything: what continues the stream cannot be told from it.
    Anybody,
    /// Likewise, and the call is encrypted.
    Encrypted(Suite),
}

impl Hand {
    /// Whether nothing but the true stream may be heard, even in the midst of the noise.
    fn is_told_apart(self) -> bool {
        self != Hand::Anybody
    }
}

/// Bytes allocated, and descriptors. The tests before this one may have begun to keep what is on the wire.
fn in_use() -> (u64, usize) {
    forget_wire();
    (heap(), descriptors())
}

/// Panics of media threads: one ends a leg.
static PANICS: AtomicU64 = AtomicU64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn noise_at_the_ports_of_live_calls_is_not_heard_and_moves_nothing() {
    let _alone = crate::ALONE.lock().await;
    count_panics();
    let count = std::env::var("CALLBOX_NOISE").map_or(NOISE, |count| count.parse().unwrap());
    let planes = [SocketMode::PerCall, SocketMode::Shared].map(|sockets| {
        let bind = [127, 0, 0, 1].into();
        MediaPlane::start(Config { bind, sockets, threads: 2, legs_per_thread: 1, ..Config::default() })
            .unwrap()
    });
    let [first, second] = Suite::ALL;
    let hands = [Hand::Strangers, Hand::Near, Hand::Anybody, Hand::Encrypted(first), Hand::Encrypted(second)];
    let mut ends = Vec::new();
    for plane in &planes {
        for hand in hands.repeat(CALLS) {
            ends.push(FarEnd::call(plane, hand, ends.len() as u64).await);
        }
    }
    let share = count / ends.len() as u64;
    join_all(ends.iter_mut().map(FarEnd::speaks_until_heard)).await;
    make_noise(&mut ends, share / 10).await;
    let before = in_use();
    make_noise(&mut ends, share - share / 10).await;
    let after = in_use();
    join_all(ends.iter_mut().map(FarEnd::speaks_until_heard)).await;
    for end in &mut ends {
        end.tells_what_it_met().await;
    }
    println!("{count} datagrams at {} calls; memory and descriptors {before:?}, {after:?}", ends.len());
    assert!(after.0 <= before.0 + GROWTH && after.1 <= before.1, "{before:?}, {after:?}");
    assert!(planes[1].strays() > 0, "a shared port gave what strangers sent to a call");
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    assert_eq!(planes.each_ref().map(MediaPlane::legs), [hands.len() * CALLS; 2]);
    drop(ends);
    eventually("the calls are over", || planes.iter().all(|plane| plane.legs() == 0)).await;
}

/// `share` datagrams at each.
async fn make_noise(ends: &mut [FarEnd], share: u64) {
    let noisy = AtomicUsize::new(ends.len());
    join_all(ends.iter_mut().map(|end| end.makes_noise(share, &noisy))).await;
}

fn count_panics() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let media = thread::current().name().is_some_and(|name| name.starts_with("media-"));
        PANICS.fetch_add(u64::from(media), Ordering::Relaxed);
        told(panic);
    }));
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The far end of a call, and all who send to the call's ports.
struct FarEnd {
    hand: Hand,
    random: StdRng,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    strangers: [UdpSocket; 2],
    /// The call's port, and the one of its RTCP.
    ports: [SocketAddr; 2],
    srtp: Option<Srtp>,
    next: Header,
    /// What was sent last, as it was sent: of the stream, and of its reports.
    recent: VecDeque<Vec<u8>>,
    reports: VecDeque<Vec<u8>>,
    handle: MediaHandle,
    events: MediaEvents,
    /// The newest packet of the call.
    heard: Option<Header>,
    packets: u64,
    latched: bool,
    frames: u64,
    /// Frames of the true stream and nothing else: all, and in a row until now.
    true_frames: u64,
    in_a_row: u64,
}

impl FarEnd {
    async fn call(plane: &MediaPlane, hand: Hand, number: u64) -> Self {
        let at = |host| async move { UdpSocket::bind(SocketAddr::from((host, 0))).await.unwrap() };
        let here = [127, 0, 0, 1];
        let (rtp, rtcp) = (at(here).await, at(here).await);
        let mut random = StdRng::seed_from_u64(900 + number);
        let mut key = || -> [u8; 30] { std::array::from_fn(|_| random.random()) };
        let srtp = match hand {
            Hand::Encrypted(suite) => Some(Keying { suite, sends: key().into(), receives: key().into() }),
            _ => None,
        };
        let usual = Agreed::usual(Codec::Pcmu, rtp.local_addr().unwrap());
        let terms = Terms { rtcp: Rtcp::At(rtcp.local_addr().unwrap()), srtp, ..usual.terms };
        let agreed = Agreed { terms, ..usual };
        let config = agreed.begin(Default::default(), Duration::from_secs(60), 1 + number);
        let leg = plane.reserve().unwrap();
        let port = leg.local_addr();
        let (handle, events) = leg.start(config).unwrap();
        let mirrored = |own: Keying| Keying { sends: own.receives, receives: own.sends, ..own };
        FarEnd {
            hand,
            rtp,
            rtcp,
            strangers: [at(here).await, at([127, 0, 0, 2]).await],
            ports: [port, SocketAddr::new(port.ip(), port.port() + 1)],
            srtp: srtp.map(|keying| Srtp::new(mirrored(keying))),
            next: Header {
                marker: false,
                payload_type: 0,
                sequence: SequenceNumber(random.random()),
                timestamp: Timestamp(random.random()),
                ssrc: Ssrc(random.random()),
            },
            random,
            recent: VecDeque::new(),
            reports: VecDeque::new(),
            handle,
            events,
            heard: None,
            packets: 0,
            latched: false,
            frames: 0,
            true_frames: 0,
            in_a_row: 0,
        }
    }

    /// Speaks until half a second of it in a row was heard, and a report read.
    async fn speaks_until_heard(&mut self) {
        self.in_a_row = 0;
        let speech = async {
            loop {
                self.answer_a_packet().await;
                if self.packets.is_multiple_of(10) {
                    self.report().await;
                }
                if self.in_a_row >= 25 && self.handle.stats().await.unwrap().rtcp > 0 {
                    return;
                }
            }
        };
        tokio::time::timeout(crate::PATIENCE, speech).await.expect("the far end is heard");
    }

    /// Speaks on, and has `count` datagrams of noise sent meanwhile; then speaks on as long as another of the
    /// `noisy` ones makes noise, since a forged goodbye ends the patience with silence.
    async fn makes_noise(&mut self, count: u64, noisy: &AtomicUsize) {
        let mut sent = 0;
        while sent < count {
            self.answer_a_packet().await;
            for _ in 0..BURST {
                self.disturb().await;
            }
            sent += BURST as u64;
        }
        noisy.fetch_sub(1, Ordering::Relaxed);
        while noisy.load(Ordering::Relaxed) > 0 {
            self.answer_a_packet().await;
        }
    }

    /// The clock of a call is the call: for each of its packets it gets one.
    async fn answer_a_packet(&mut self) {
        let mut buffer = [0; 2_048];
        let (length, from) = within("a packet", self.rtp.recv_from(&mut buffer)).await.unwrap();
        self.hear(from, &mut buffer[..length]);
        self.speak().await;
        while let Ok((length, from)) = self.rtp.try_recv_from(&mut buffer) {
            self.hear(from, &mut buffer[..length]);
            self.speak().await;
        }
        while self.rtcp.try_recv(&mut buffer).is_ok() {}
        self.read_events();
        if self.handle.queued() < Duration::from_secs(1) {
            self.handle.play(UtteranceId(1), vec![ULAW[usize::from(OURS)]; 8_000]).unwrap();
        }
    }

    /// What the call sends is its own stream, in order, whatever it hears.
    fn hear(&mut self, from: SocketAddr, datagram: &mut [u8]) {
        assert_eq!(from, self.ports[0]);
        let length = match &mut self.srtp {
            Some(srtp) => srtp.open(datagram).unwrap(),
            None => datagram.len(),
        };
        let packet = Packet::parse(&datagram[..length]).unwrap();
        let header = packet.header;
        if let Some(last) = self.heard.replace(header) {
            assert_eq!((header.ssrc, header.sequence), (last.ssrc, last.sequence.next()));
        }
        assert_eq!(header.payload_type, 0);
        assert!(packet.payload.iter().all(|byte| [OURS, QUIET].contains(byte)), "{:?}", packet.payload);
        self.packets += 1;
    }

    fn read_events(&mut self) {
        let level = ULAW[usize::from(THEIRS)];
        while let Some(event) = self.events.try_recv() {
            match event {
                MediaEvent::Frame { pcm, kind, .. } => {
                    // Twice the level where a hole begins as the stream does.
                    let theirs = pcm.iter().all(|sample| (0..=2 * level).contains(sample));
                    assert!(theirs || !self.hand.is_told_apart(), "{:?} heard {kind:?} {pcm:?}", self.hand);
                    let whole = pcm.iter().all(|sample| *sample == level);
                    self.frames += 1;
                    self.true_frames += u64::from(whole);
                    self.in_a_row = if whole { self.in_a_row + 1 } else { 0 };
                }
                MediaEvent::Latched { from } => {
                    assert_eq!(from, self.rtp.local_addr().unwrap());
                    assert!(!std::mem::replace(&mut self.latched, true));
                }
                MediaEvent::Dtmf { .. } => assert!(!self.hand.is_told_apart(), "{:?}", self.hand),
                MediaEvent::RtpTimeout { .. } => panic!("the true stream goes on"),
                _ => {}
            }
        }
    }

    /// Sends the next packet of the true stream.
    async fn speak(&mut self) {
        let packet = self.packet(self.next, &[THEIRS; 160]);
        self.next.sequence = self.next.sequence.next();
        self.next.timestamp = self.next.timestamp.plus(160);
        let _ = self.rtp.send_to(&packet, self.ports[0]).await;
        keep(&mut self.recent, packet);
    }

    /// A packet as it is sent.
    fn packet(&mut self, header: Header, payload: &[u8]) -> Vec<u8> {
        let mut packet = [&header.to_bytes(), payload].concat();
        if let Some(srtp) = &mut self.srtp {
            let length = packet.len();
            packet.resize(length + LONGEST_TAG, 0);
            let protected = srtp.protect(&mut packet, length);
            packet.truncate(protected);
        }
        packet
    }

    async fn report(&mut self) {
        let mut report = self.plain_report(self.next.ssrc, false);
        self.srtp.iter_mut().for_each(|srtp| srtp.protect_rtcp(&mut report));
        let _ = self.rtcp.send_to(&report, self.ports[1]).await;
        keep(&mut self.reports, report);
    }

    /// A report of `ssrc` on itself and on the call's stream.
    fn plain_report(&mut self, ssrc: Ssrc, goodbye: bool) -> Vec<u8> {
        let sender = SenderInfo {
            ntp: NtpTime(self.random.random()),
            rtp: self.next.timestamp,
            packets: self.random.random(),
            octets: self.random.random(),
        };
        let block = self.heard.map(|heard| ReportBlock {
            ssrc: heard.ssrc,
            fraction_lost: self.random.random(),
            cumulative_lost: self.random.random(),
            highest: self.random.random(),
            jitter: self.random.random(),
            last_sender_report: self.random.random(),
            delay: self.random.random(),
        });
        rtcp::write(&Outgoing { ssrc, sender: Some(sender), block, cname: "noise", goodbye })
    }

    /// Sends one datagram of noise.
    async fn disturb(&mut self) {
        let reports = self.random.random_bool(0.2);
        let mut datagram = if reports { self.noisy_report() } else { self.noisy_packet() };
        if self.hand == Hand::Near && self.continues_the_stream(&datagram) {
            datagram[0] ^= 0xc0;
        }
        let own = match self.hand {
            Hand::Strangers => false,
            Hand::Near => true,
            Hand::Anybody | Hand::Encrypted(_) => self.random.random(),
        };
        // Reports come through either port, and so does RTP.
        let port = usize::from(self.random.random_bool(if reports { 0.5 } else { 0.05 }));
        let from = match (own, port) {
            (true, 0) => &self.rtp,
            (true, _) => &self.rtcp,
            (false, _) => &self.strangers[self.random.random_range(0..2)],
        };
        let _ = from.send_to(&datagram, self.ports[port]).await;
    }

    /// Whether nothing but its contents tells a datagram of the far end's address from its stream.
    fn continues_the_stream(&self, datagram: &[u8]) -> bool {
        Packet::parse(datagram).is_ok_and(|packet| {
            packet.header.ssrc == self.next.ssrc
                && KNOWN.contains(&packet.header.payload_type)
                && !self.recent.iter().any(|sent| sent == datagram)
        })
    }

    fn noisy_packet(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        let mut packet = self.recent[random.random_range(0..self.recent.len())].clone();
        let loud: Vec<u8> = (0..160).map(|_| random.random()).collect();
        match random.random_range(0..14) {
            0 => return (0..random.random_range(0..300)).map(|_| random.random()).collect(),
            1 => packet.truncate(random.random_range(0..packet.len())),
            2 => packet[0] = packet[0] & 0x3f | [0, 0x40, 0xc0][random.random_range(0..3)],
            // An extension that is longer than the packet, or all of it.
            3 => {
                packet[0] |= 0x10;
                let words = [u16::MAX, 39, 40, random.random()][random.random_range(0..4)];
                packet[14..16].copy_from_slice(&words.to_be_bytes());
            }
            // More contributing sources than there is room for.
            4 => {
                packet[0] |= random.random_range(1..16);
                packet.truncate(random.random_range(12..80));
            }
            // Padding of nothing, of everything, of more.
            5 => {
                packet[0] |= 0x20;
                *packet.last_mut().unwrap() = [0, 255, 172, random.random()][random.random_range(0..4)];
            }
            6 => packet[1] = random.random(),
            // Other streams, in order of their own.
            7 => packet[8..12].copy_from_slice(&random.random::<[u8; 4]>()),
            8 => {}
            // What would come next, with another sound, or with a digit.
            9 => return [&self.next.to_bytes()[..], &loud].concat(),
            10 => {
                let digit = Header { payload_type: 101, marker: true, ..self.next };
                return [&digit.to_bytes()[..], &[5, 0x8a, 3, 0x20]].concat();
            }
            // Nothing, and more than anybody reads.
            11 => packet.resize([0, 2_048, 2_049, 9_000][random.random_range(0..4)], 0xd5),
            12 => {
                packet.splice(12.., loud);
            }
            _ => return mutated(&packet, random),
        }
        packet
    }

    fn noisy_report(&mut self) -> Vec<u8> {
        let (own, other) = (self.next.ssrc, Ssrc(self.random.random()));
        let ssrc = if self.random.random() { own } else { other };
        let goodbye = self.random.random();
        let mut report = self.plain_report(ssrc, goodbye);
        let random = &mut self.random;
        match random.random_range(0..8) {
            0 => report.truncate(random.random_range(0..report.len())),
            // Lengths and counts that lie.
            1 => report[2..4].copy_from_slice(&random.random::<[u8; 2]>()),
            2 => report[0] = 0x80 | random.random_range(0..32),
            3 => report[0] |= 0x20,
            4 => report[1] = random.random_range(192..=223),
            5 => report = self.reports[random.random_range(0..self.reports.len())].clone(),
            6 => return mutated(&report, random),
            _ => {}
        }
        report
    }

    /// The call met its noise, and nobody but the far end heard of it.
    async fn tells_what_it_met(&mut self) {
        let stats = within("statistics", self.handle.stats()).await.unwrap();
        let all_of = |counts: &[u64]| counts.iter().all(|count| *count > 0);
        let met = match self.hand {
            // On a shared port their packets are nobody's, and their reports come to the call.
            Hand::Strangers => all_of(&[stats.strangers]),
            Hand::Near => all_of(&[stats.malformed, stats.unknown_payload, stats.duplicates, stats.rtcp]),
            Hand::Anybody => all_of(&[stats.malformed, stats.unknown_payload, stats.strangers]),
            Hand::Encrypted(_) => all_of(&[stats.unauthenticated, stats.replayed, stats.malformed]),
        };
        assert!(met, "{:?} {stats:?}", self.hand);
        let (whole, all) = (self.true_frames, self.frames);
        assert!(whole * 4 > all || !self.hand.is_told_apart(), "{:?}: {whole} of {all} frames", self.hand);
        for stranger in &self.strangers {
            let heard = stranger.try_recv(&mut [0; 2_048]);
            assert!(heard.is_err(), "{:?}: a stranger got {heard:?}", self.hand);
        }
    }
}

/// Keeps the last [`RECENT`].
fn keep(sent: &mut VecDeque<Vec<u8>>, datagram: Vec<u8>) {
    sent.push_back(datagram);
    if sent.len() > RECENT {
        sent.pop_front();
    }
}

#[test]
fn levels_are_what_they_stand_for() {
    for byte in [THEIRS, OURS, QUIET] {
        assert_eq!(encode_ulaw(ULAW[usize::from(byte)]), byte);
    }
    assert!(ULAW[usize::from(THEIRS)] > 500);
}
