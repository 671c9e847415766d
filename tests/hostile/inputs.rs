//! The bodies of the fuzz targets over what the fuzzers kept, and over a hundred thousand seeded inputs each, of
//! sounds a tenth of that: sound ones, and mutations.

use std::{fs, path::Path};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    bodies,
    mutate::{DESCRIPTION, mutated, torture, traffic},
};

type Body = fn(&[u8]);

const INPUTS: usize = 100_000;

/// Where an input is sound to be listened to, which takes its time.
const SOUNDS: usize = 10_000;

/// Runs `body` over `seeds` and over mutations of them, and over some noise.
fn run(body: Body, seeds: impl Fn(&mut StdRng) -> Vec<u8>) {
    run_over(INPUTS, body, seeds);
}

fn run_over(inputs: usize, body: Body, seeds: impl Fn(&mut StdRng) -> Vec<u8>) {
    let _alone = crate::ALONE.blocking_lock();
    let mut random = StdRng::seed_from_u64(4475);
    for n in 0..inputs {
        let input = match n % 20 {
            0 => seeds(&mut random),
            1 => (0..random.random_range(0..200)).map(|_| random.random()).collect(),
            _ => {
                let seed = seeds(&mut random);
                mutated(&seed, &mut random)
            }
        };
        body(&input);
    }
}

fn one_of(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    seeds[random.random_range(0..seeds.len())].clone()
}

/// What found a way of its own through the code, and what found a fault.
#[test]
fn seeds_of_the_fuzz_targets_hold() {
    let bodies: [(&str, Body); 10] = [
        ("crypto", bodies::crypto),
        ("dtmf", bodies::dtmf),
        ("jitter", bodies::jitter),
        ("rtcp", bodies::rtcp),
        ("rtp", bodies::rtp),
        ("sdp", bodies::sdp),
        ("session", bodies::session),
        ("sip", bodies::sip),
        ("stun", bodies::stun),
        ("tones", bodies::tones),
    ];
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let entries = |folder: &str| fs::read_dir(fuzz.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut targets: Vec<_> = entries("fuzz_targets").map(|file| file.with_extension("")).collect();
    targets.sort();
    assert!(targets.iter().map(|target| target.file_name().unwrap()).eq(bodies.map(|(name, _)| name)));
    let _alone = crate::ALONE.blocking_lock();
    for (name, body) in bodies {
        let seeds = entries(&format!("seeds/{name}")).map(|seed| body(&fs::read(seed).unwrap()));
        assert!(seeds.count() > 0, "{name} has no seeds");
    }
}

#[test]
fn screen_holds() {
    let own = ([127, 0, 0, 1], 5060).into();
    let seeds = [traffic(own, own), torture()].concat();
    run(bodies::sip, |random| one_of(&seeds, random));
}

#[test]
fn descriptions_hold() {
    let carrier = "v=0\r\no=a 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\nm=audio 9 RTP/SAVP 0\r\n\
        m=audio 4000 RTP/AVP 18 8 101\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=rtpmap:101 telephone-event/8000\r\n";
    let bodies = torture().into_iter().filter_map(|message| {
        let at = message.windows(4).position(|window| window == b"\r\n\r\n")?;
        message[at..].starts_with(b"\r\n\r\nv=0").then(|| message[at + 4..].to_vec())
    });
    let seeds: Vec<_> = bodies.chain([DESCRIPTION.into(), carrier.into()]).collect();
    run(self::bodies::sdp, |random| one_of(&seeds, random));
}

/// Lines of keys as peers write them: several, with lifetimes, identifiers, and suites that nobody here knows.
#[test]
fn keys_hold() {
    run(bodies::crypto, |random| {
        let pick = |of: &[&'static str], random: &mut StdRng| of[random.random_range(0..of.len())];
        let mut lines = String::new();
        for _ in 0..random.random_range(1..4) {
            let tag = pick(&["1", "2", "999999999"], random);
            let suite =
                pick(&["AES_CM_128_HMAC_SHA1_80", "aes_cm_128_hmac_sha1_32", "AEAD_AES_256_GCM"], random);
            let lifetime = pick(&["", "", "|2^20", "|1048576", "|2^20|1:4", "|1:4"], random);
            let parameter = pick(&["", "", " WSH=128", " -x", " UNENCRYPTED_SRTCP", " KDR=1"], random);
            let key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
            lines += &format!("{tag} {suite} inline:{key}{lifetime}{parameter}\n");
        }
        lines.into_bytes()
    });
}

/// A packet of a stream, perhaps with contributing sources, an extension or padding.
fn packet(random: &mut StdRng, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let (sources, extension) = (random.random_range(0..3u8), random.random_bool(0.2));
    let mut packet = vec![0x80 | u8::from(extension) << 4 | sources, payload_type];
    let (sequence, timestamp): (u16, u32) = (random.random_range(0..50), random.random_range(0..50) * 160);
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend(vec![9; 4 * usize::from(sources)]);
    if extension {
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 7, 0, 0]);
    }
    packet.extend(payload);
    packet
}

#[test]
fn packets_hold() {
    run(bodies::rtp, |random| packet(random, 0, &[0xd5; 160]));
}

/// A sender report with a block, a description of the source, and a goodbye.
fn report(random: &mut StdRng) -> Vec<u8> {
    let mut report = vec![0x81, 200, 0, 12, 1, 2, 3, 4];
    report.extend((0..44).map(|_| random.random::<u8>()));
    report.extend([0x81, 202, 0, 3, 1, 2, 3, 4, 1, 4, b'a', b'@', b'b', b'c', 0, 0]);
    report.extend([0x81, 203, 0, 1, 1, 2, 3, 4]);
    report
}

#[test]
fn reports_hold() {
    run(bodies::rtcp, report);
}

/// A server's answer (RFC 8489), with a name before the address or after it.
#[test]
fn addresses_hold() {
    run(bodies::stun, |random| {
        let address = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let name = [0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        let plain = [0, 1, 0, 8, 0, 1, 0x13, 0xc4, 192, 0, 2, 9];
        let attributes = [address.as_slice(), &name, &plain];
        let chosen: Vec<u8> = (0..3).flat_map(|_| attributes[random.random_range(0..3)]).copied().collect();
        let length = u8::try_from(chosen.len()).unwrap();
        let header = [1, 1, 0, length, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        [header.as_slice(), &chosen].concat()
    });
}

/// A digit's packets, some lost.
#[test]
fn events_hold() {
    run(bodies::dtmf, |random| {
        let mut packets = Vec::new();
        for digit in 0..random.random_range(1..6u32) {
            for n in 1..random.random_range(2..8u16) {
                let (duration, end) = (n * 160, if n > 4 { 0x80 } else { 0 });
                packets.push(20);
                packets.extend((1_000 + digit * 2_000).to_be_bytes());
                packets.extend([digit as u8, end | 10]);
                packets.extend(duration.to_be_bytes());
                packets.push(0);
            }
        }
        packets
    });
}

/// Four frames of two tones, or of one.
#[test]
fn sounds_hold() {
    run_over(SOUNDS, bodies::tones, |random| {
        let pick = |of: &[f32], random: &mut StdRng| of[random.random_range(0..of.len())];
        let low = pick(&[0.0, 697.0, 770.0, 852.0, 941.0], random);
        let high = pick(&[0.0, 1_209.0, 1_336.0, 1_477.0, 1_000.0], random);
        let sine = |hz: f32, n: usize| (hz * n as f32 * std::f32::consts::TAU / 8_000.0).sin();
        (0..640).flat_map(|n| ((6_000.0 * (sine(low, n) + sine(high, n))) as i16).to_le_bytes()).collect()
    });
}

/// A stream at its pace, with holes, repetitions and leaps.
#[test]
fn jitter_buffer_holds() {
    run(bodies::jitter, |random| {
        let odd = |random: &mut StdRng| [4, 5, 6, 7, 7, 68][random.random_range(0..6)];
        (0..random.random_range(5..16))
            .flat_map(|_| {
                let operation = if random.random_bool(0.8) { 0 } else { odd(random) };
                [operation, random.random_range(0..12), random.random_range(100..=140)]
            })
            .collect()
    });
}

/// What arrives at a call's ports: its packets, digits, reports, strangers.
#[test]
fn sessions_hold() {
    run(bodies::session, |random| {
        let mut input = Vec::new();
        for _ in 0..random.random_range(1..12) {
            let (operation, datagram) = match random.random_range(0..10) {
                0 => (5, report(random)),
                1 => (0, packet(random, 101, &[5, 0x8a, 0, 160])),
                2 => (1, packet(random, 0, &[0; 160])),
                3 => (7, vec![]),
                _ => {
                    let kind = [0, 8, 9, 96, 13][random.random_range(0..5)];
                    (0, packet(random, kind, &[0x55; 160]))
                }
            };
            let length = datagram.len().min(255);
            input.extend([operation | 20 << 3, length as u8]);
            input.extend(&datagram[..length]);
        }
        input
    });
}
