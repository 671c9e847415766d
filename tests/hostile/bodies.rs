//! The bodies of the fuzz targets: what must hold whatever comes in. `make fuzz` runs them guided by
//! coverage, `tests/hostile/inputs.rs` over seeded inputs.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use callbox::{
    base::{
        audio::{Codec, FRAME},
        terms::Agreed,
    },
    media::{
        MediaEvent, SessionConfig,
        dtmf::{DtmfReceiver, Event},
        inband::ToneReceiver,
        jitter::{Config, FrameKind, JitterBuffer},
        rtcp::Reports,
        rtp::{Packet, Timestamp},
        session::{Output, Session},
        tone::BeepDetector,
    },
    sip::{
        Srtp,
        fuzzing::{self, mapped_address, screen, transaction},
        sdp::{self, Local, Negotiated},
    },
};

/// What passes the screen is read by the stack, and passes again unchanged; what is answered is answered
/// with a response.
pub fn sip(data: &[u8]) {
    match screen(data) {
        Ok(plain) => {
            if !plain.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
                assert!(transaction(&plain).is_some(), "unreadable: {}", String::from_utf8_lossy(&plain));
            }
            assert_eq!(screen(&plain).as_deref(), Ok(&plain[..]), "{}", String::from_utf8_lossy(&plain));
        }
        Err(Some(answer)) => assert!(answer.starts_with(b"SIP/2.0 ") && answer.ends_with(b"\r\n\r\n")),
        Err(None) => {}
    }
}

/// An answer has the streams of its offer in their order, one of them open, with payload types that were
/// offered.
pub fn sdp(data: &[u8]) {
    let offer = String::from_utf8_lossy(data);
    let address = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let local = Local { codecs: Codec::ALL.to_vec(), ..Local::new(address, 1) };
    let _ = sdp::accept(&local, &offer);
    let Ok((answer, agreed)) = sdp::answer(&local, &offer) else { return };
    let streams = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("m="));
        lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let (offered, answered) = (streams(&offer), streams(&answer));
    assert_eq!(offered.len(), answered.len(), "{offer}\n--\n{answer}");
    assert_eq!(answered.iter().filter(|stream| stream[1] != "0").count(), 1, "{answer}");
    for (offered, answered) in offered.iter().zip(&answered) {
        assert_eq!(offered[0], answered[0], "{offer}\n--\n{answer}");
        for format in &answered[3..] {
            assert!(offered[3..].contains(format), "{offer}\n--\n{answer}");
        }
    }
    assert!(!agreed.direction.sends() || !agreed.remote.ip().is_unspecified());
    assert!(local.codecs.contains(&agreed.codec) && agreed.payload_type < 128);
}

/// A line of keys says what it said once it is read and written, and with many of them in an offer or an
/// answer a stream is encrypted with a key of theirs, or not at all where nobody wants it.
pub fn crypto(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.lines() {
        let Some(read) = fuzzing::crypto(line) else { continue };
        assert!(read.0 <= 999_999_999);
        assert_eq!(fuzzing::crypto(&read.3), Some(read));
    }
    let lines: String = text.lines().map(|line| format!("a=crypto:{line}\r\n")).collect();
    for (srtp, profile) in [
        (Srtp::Off, "RTP/AVP"),
        (Srtp::Optional, "RTP/AVP"),
        (Srtp::Optional, "RTP/SAVP"),
        (Srtp::Required, "RTP/AVP"),
        (Srtp::Required, "RTP/SAVP"),
    ] {
        let local = Local { srtp, ..Local::new(SocketAddr::from(([192, 0, 2, 1], 4_000)), 1) };
        let theirs = format!(
            "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
             m=audio 4000 {profile} 0\r\n{lines}"
        );
        if let Ok((answer, agreed)) = sdp::answer(&local, &theirs) {
            let told = answer.lines().find_map(|line| fuzzing::crypto(line.strip_prefix("a=crypto:")?));
            let taken = agreed.terms.srtp.map(|keying| (keying.suite, keying.sends));
            assert_eq!(told.as_ref().map(|(_, suite, key, _)| (*suite, *key)), taken, "{answer}");
            keyed_by_a_line(&local, &text, &agreed, told.map(|(tag, ..)| tag));
        }
        if let Ok(agreed) = sdp::accept(&local, &theirs) {
            let unheard = srtp == Srtp::Off || lines.is_empty();
            assert!(agreed.terms.srtp.is_some() || profile == "RTP/AVP" && unheard);
            keyed_by_a_line(&local, &text, &agreed, None);
        }
    }
}

/// What is heard is of a key in `lines`, under `tag` where one was told; what is sent is of ours alone.
fn keyed_by_a_line(local: &Local, lines: &str, agreed: &Negotiated, tag: Option<u32>) {
    let Some(keying) = agreed.terms.srtp else { return assert_ne!(local.srtp, Srtp::Required) };
    assert_ne!(local.srtp, Srtp::Off);
    assert_eq!(keying.sends, local.keys.of(keying.suite));
    // A line of a description ends before its white space.
    let cryptos = lines.lines().filter_map(|line| fuzzing::crypto(line.trim_end()));
    assert!({ cryptos }.any(|(theirs, suite, key, _)| {
        (suite, key) == (keying.suite, keying.receives) && tag.is_none_or(|tag| tag == theirs)
    }));
}

/// What is read is written as it was, but for padding.
pub fn rtp(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else { return };
    assert!(packet.payload.len() + 12 <= data.len());
    let mut written = Vec::new();
    packet.write(0, &mut written);
    let again = Packet::parse(&written).unwrap();
    assert_eq!((again.header, again.csrc, again.payload), (packet.header, packet.csrc, packet.payload));
    assert_eq!(again.extension.map(|e| (e.profile, e.words)), packet.extension.map(|e| (e.profile, e.words)));
}

/// A datagram says no more than it has room for.
pub fn rtcp(data: &[u8]) {
    let Ok(reports) = Reports::parse(data) else { return };
    assert!(24 * reports.blocks.len() + 4 * reports.goodbyes.len() <= data.len());
}

/// Only an answer to our own request is believed, and none in part.
pub fn stun(data: &[u8]) {
    let id = data.get(8..20).and_then(|id| id.try_into().ok()).unwrap_or([0; 12]);
    if mapped_address(data, id).is_some() {
        assert!(data.len() >= 28 && data.starts_with(&[1, 1]));
        let mut other = id;
        other[0] ^= 1;
        assert_eq!(mapped_address(data, other), None);
        let told = usize::from(u16::from_be_bytes([data[2], data[3]]));
        assert_eq!(mapped_address(&data[..20 + told - 1], id), None);
    }
}

/// Events give digits, no more of them than events, and none longer than its segments can say.
pub fn dtmf(data: &[u8]) {
    let (mut receiver, mut now) = (DtmfReceiver::default(), Instant::now());
    let (mut events, mut digits) = (0u64, 0);
    for packet in data.chunks_exact(10) {
        now += Duration::from_millis(packet[0].into());
        digits += u64::from(receiver.handle_timeout(now).is_some());
        let start = u32::from_be_bytes([packet[1], packet[2], packet[3], packet[4]]);
        let event = Event::parse(&packet[5..9]).unwrap();
        let flags = (u8::from(event.end) << 7) | event.volume;
        assert_eq!(event.to_bytes(), [packet[5], flags, packet[7], packet[8]]);
        let clock_rate = if packet[9] & 1 == 0 { 8_000 } else { 48_000 };
        events += 1;
        if let Some(digit) = receiver.handle(now, Timestamp(start), event, clock_rate) {
            digits += 1;
            assert!("0123456789*#ABCD".contains(digit.digit));
            assert!(digit.duration <= Duration::from_secs(10) * u32::try_from(events).unwrap());
        }
    }
    digits += u64::from(receiver.reset().is_some());
    assert!(digits <= events, "{digits} digits of {events} events");
}

/// No sound makes the detectors hear more than was played.
pub fn tones(data: &[u8]) {
    let samples: Vec<i16> = data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let (mut digits, mut beeps) = (ToneReceiver::default(), BeepDetector::default());
    let mut heard = Duration::ZERO;
    for frame in samples.chunks_exact(160) {
        heard += FRAME;
        if let Some(digit) = digits.hear(frame) {
            assert!("0123456789*#ABCD".contains(digit.digit) && digit.duration <= heard);
        }
        if let Some(beep) = beeps.hear(frame) {
            assert!(beep.length <= heard && (0.0..=4_000.0).contains(&beep.hz));
        }
    }
}

/// Packets of one input, at the most: so many have values that no fade is slow enough to stay at.
const PACKETS: usize = 320;
/// Samples alike that are taken for a packet's: a fade passes a value within fewer.
const STAY: usize = 3;

/// A packet that was sent, told by the value of its samples.
#[derive(Clone, Copy)]
struct Sent {
    timestamp: u32,
    value: i16,
    length: usize,
    resyncs: u64,
}

/// Every tick has a frame, the delay is bounded, and nothing is played twice.
pub fn jitter(data: &[u8]) {
    let begin = Instant::now();
    let mut buffer = JitterBuffer::new(Config::default(), 8_000, begin);
    let (mut now, mut tick) = (begin, begin);
    let (mut sent, mut played) = (Vec::<Sent>::new(), HashMap::<i16, usize>::new());
    let mut timestamp = 0u32;
    for step in data.chunks_exact(3).take(PACKETS) {
        let [operation, a, b] = *step else { continue };
        match operation % 8 {
            0..4 => timestamp = timestamp.wrapping_add(160),
            4 => timestamp = timestamp.wrapping_add(u32::from(a) * 160),
            5 => timestamp = timestamp.wrapping_sub(u32::from(a) * 160),
            6 => timestamp = timestamp.wrapping_add(u32::from_be_bytes([a, b, a, b])),
            _ if a == 255 => buffer.reset(now),
            _ => {}
        }
        let old = (!sent.is_empty()).then(|| sent[usize::from(a) % sent.len()]);
        let packet =
            match old.filter(|old| operation % 8 == 7 && old.resyncs == buffer.stats().resyncs && a != 255) {
                Some(old) => old,
                None => {
                    let length = [160, 160, 80, 240, 480][usize::from(b) % 5];
                    let value = i16::try_from(sent.len() * 997 % 32_000 + 1).unwrap();
                    let packet = Sent { timestamp, value, length, resyncs: buffer.stats().resyncs };
                    sent.push(packet);
                    packet
                }
            };
        buffer.push(
            now,
            Timestamp(packet.timestamp),
            operation & 64 != 0,
            &vec![packet.value; packet.length],
        );
        if buffer.stats().resyncs > packet.resyncs {
            // Half a second late it is taken for another time base, in which nothing of it was played yet.
            played.remove(&packet.value);
        }
        now += Duration::from_millis(u64::from(b) / 6);
        while tick <= now {
            let mut frame = [0; 160];
            if buffer.frame(tick, &mut frame) == FrameKind::Received {
                for run in frame.chunk_by(|a, b| a == b).filter(|run| run.len() >= STAY) {
                    *played.entry(run[0]).or_default() += run.len();
                }
            }
            tick += FRAME;
        }
        assert!(buffer.target() <= Duration::from_millis(100));
    }
    // A splice repeats a pitch period, and counts it. Nothing else comes twice.
    let repeated = usize::try_from(buffer.stats().stretched).unwrap();
    for packet in &sent {
        let times = played.get(&packet.value).copied().unwrap_or_default();
        assert!(times <= packet.length + repeated, "{} samples of {} were played", times, packet.length);
    }
}

/// A session gives one frame a tick and sends at most one packet, whatever arrives at its ports.
pub fn session(data: &[u8]) {
    let peer = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let mut now = Instant::now();
    let codec = Codec::ALL[usize::from(data.first().copied().unwrap_or(0)) % Codec::ALL.len()];
    let mut session = Session::new(config(codec, peer), now);
    let mut rest = data;
    while let [operation, length, after @ ..] = rest {
        let (datagram, next) = after.split_at(usize::from(*length).min(after.len()));
        rest = next;
        let from = if operation & 1 == 0 { peer } else { SocketAddr::from(([192, 0, 2, 9], 4_002)) };
        match operation % 8 {
            0..5 => session.handle_datagram(now, from, datagram),
            5 | 6 => session.handle_rtcp(now, from, datagram),
            _ => now += Duration::from_millis(u64::from(*length)),
        }
        drain(&mut session);
        while let Some(due) = session.poll_timeout().filter(|due| *due <= now) {
            session.handle_timeout(due);
            let (frames, packets) = drain(&mut session);
            assert!(frames <= 1 && packets <= 1, "{frames} frames and {packets} packets in a tick");
        }
        now += Duration::from_millis(u64::from(operation >> 3));
    }
    let stats = session.stats();
    assert!(stats.buffer_target <= Duration::from_millis(100));
}

/// Frames and packets that were waiting.
fn drain(session: &mut Session) -> (usize, usize) {
    let (mut frames, mut packets) = (0, 0);
    while let Some(output) = session.poll_output() {
        match output {
            Output::Event(MediaEvent::Frame { pcm, .. }) => {
                frames += 1;
                assert!(matches!(pcm.len(), 160 | 320));
            }
            Output::Transmit { .. } => packets += 1,
            _ => {}
        }
    }
    (frames, packets)
}

fn config(codec: Codec, remote: SocketAddr) -> SessionConfig {
    Agreed::usual(codec, remote).begin(Config::default(), Duration::from_secs(5), 7)
}
