//! What the network might send: sound messages of many kinds, and what a seeded hand makes of them.

use std::{fs, net::SocketAddr, path::Path};

use rand::{RngExt, rngs::StdRng};

/// Every message of RFC 4475.
pub fn torture() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sip/torture");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "dat"));
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

pub const DESCRIPTION: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 96 0 8 9 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1;maxaveragebitrate=24000\r\n\
    a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-16\r\na=ptime:30\r\na=rtcp:40001 IN IP4 127.0.0.1\r\na=rtcp-mux\r\na=sendrecv\r\n\
    m=video 50000 RTP/AVP 31\r\n";

/// A method, what it asks beside the usual, and what it carries.
const REQUESTS: [(&str, &str, &str); 14] = [
    ("INVITE", "Content-Type: application/sdp\r\nSupported: 100rel, timer\r\n", DESCRIPTION),
    ("INVITE", "Require: 100rel\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n", ""),
    ("ACK", "", ""),
    ("BYE", "Reason: Q.850;cause=16;text=\"normal\"\r\n", ""),
    ("CANCEL", "", ""),
    ("PRACK", "RAck: 1 1 INVITE\r\n", ""),
    ("UPDATE", "Content-Type: application/sdp\r\nSession-Expires: 90\r\n", DESCRIPTION),
    ("REFER", "Refer-To: <sip:+14155550111@127.0.0.1?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n", ""),
    ("NOTIFY", "Event: refer\r\nSubscription-State: active;expires=60\r\n", "SIP/2.0 200 OK\r\n"),
    ("INFO", "Content-Type: application/dtmf-relay\r\n", "Signal=5\r\nDuration=160\r\n"),
    ("OPTIONS", "Accept: application/sdp\r\n", ""),
    ("REGISTER", "Expires: 300\r\n", ""),
    ("MESSAGE", "Content-Type: text/plain\r\n", "hello"),
    ("SUBSCRIBE", "Event: presence\r\nExpires: 60\r\n", ""),
];
const STATUSES: [&str; 9] = [
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "200 OK",
    "302 Moved Temporarily",
    "401 Unauthorized",
    "407 Proxy Authentication Required",
    "422 Session Interval Too Small",
    "503 Service Unavailable",
];
const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\", algorithm=SHA-256, qop=\"auth,auth-int\"\r\n";

/// The traffic of a call, as `own` would send it to `to`. `@` stands for what tells calls apart.
pub fn traffic(own: SocketAddr, to: SocketAddr) -> Vec<Vec<u8>> {
    let message = |start: &str, method: &str, fields: &str, body: &str| {
        format!(
            "{start}\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK@;rport\r\nFrom: \"J\\\"D\" <sip:+14155550100@{own}>;tag=1\r\n\
             To: <sip:+14155550123@{to}>\r\nCall-ID: @call\r\nCSeq: 1 {method}\r\nContact: <sip:a@{own}>\r\n\
             Max-Forwards: 70\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let requests = REQUESTS.map(|(method, fields, body)| {
        message(&format!("{method} sip:+14155550123@{to} SIP/2.0"), method, fields, body)
    });
    let responses = STATUSES.map(|status| {
        let with_body = status.starts_with("200") || status.starts_with("183");
        let fields = "Content-Type: application/sdp\r\nRequire: 100rel\r\nRSeq: 7\r\n".to_owned() + CHALLENGE;
        message(&format!("SIP/2.0 {status}"), "INVITE", &fields, if with_body { DESCRIPTION } else { "" })
    });
    requests.into_iter().chain(responses).map(String::into_bytes).collect()
}

/// Puts a number of its own wherever the message has an `@` of [`traffic`] for it.
pub fn numbered(message: &[u8], number: u64) -> Vec<u8> {
    let mut numbered = Vec::with_capacity(message.len() + 40);
    let mut rest = message;
    while let Some(at) = rest.iter().position(|byte| *byte == b'@') {
        numbered.extend(&rest[..at]);
        // A call's own mark stands before no address.
        let is_mark = rest[..at].ends_with(b"z9hG4bK") || rest[at..].starts_with(b"@call");
        match is_mark {
            true => numbered.extend(number.to_string().into_bytes()),
            false => numbered.push(b'@'),
        }
        rest = &rest[at + 1..];
    }
    numbered.extend(rest);
    numbered
}

/// What parsers trip over.
const SPICE: [&[u8]; 20] = [
    b"\r\n",
    b"\r\n ",
    b":",
    b";",
    b"<",
    b">",
    b"\"",
    b"\\",
    b"%",
    b"%00",
    b"@",
    b",",
    b"\0",
    b"=",
    b"?",
    b"\xc3\x28",
    b"\xff\xfe",
    "\u{202e}\u{10ffff}".as_bytes(),
    b"[::1",
    b"a=rtpmap:",
];
const NUMBERS: [&str; 8] =
    ["-1", "0", "65536", "2147483648", "4294967296", "18446744073709551615", "99999999999999999999", "1e9"];

/// `message` with one to four changes.
pub fn mutated(message: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = message.to_vec();
    let changes = [1, 1, 1, 2, 2, 4][random.random_range(0..6)];
    for _ in 0..changes {
        change(&mut bytes, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, random: &mut StdRng) {
    if bytes.is_empty() {
        return bytes.extend(SPICE[random.random_range(0..SPICE.len())]);
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..16) {
        0..3 => bytes[at] ^= 1 << random.random_range(0..8),
        3 => bytes[at] = random.random(),
        4..7 => drop(bytes.splice(at..at, SPICE[random.random_range(0..SPICE.len())].iter().copied())),
        7 => swap_delimiters(bytes, at, random),
        8..10 => enlarge_number(bytes, at, random),
        10 => bytes.truncate(at),
        11..13 => repeat_line(bytes, at, random),
        13 => drop(bytes.drain(line_at(bytes, at))),
        14 => {
            let piece = bytes[at..(at + random.random_range(1..60)).min(bytes.len())].to_vec();
            let times = random.random_range(1..20);
            drop(bytes.splice(at..at, piece.repeat(times)));
        }
        _ => drop(bytes.drain(at..(at + random.random_range(1..40)).min(bytes.len()))),
    }
}

/// Swaps the next delimiter behind `at` with the one after it.
fn swap_delimiters(bytes: &mut [u8], at: usize, random: &mut StdRng) {
    let delimiters = |from: usize, bytes: &[u8]| {
        bytes[from..].iter().position(|byte| b"<>;:,=\"@/ ".contains(byte)).map(|next| from + next)
    };
    let Some(first) = delimiters(at, bytes) else { return };
    match delimiters(first + 1, bytes) {
        Some(second) => bytes.swap(first, second),
        None => bytes[first] = b"<>;:,=\"@"[random.random_range(0..8)],
    }
}

/// Replaces the next run of digits behind `at`.
fn enlarge_number(bytes: &mut Vec<u8>, at: usize, random: &mut StdRng) {
    let Some(from) = bytes[at..].iter().position(u8::is_ascii_digit).map(|next| at + next) else { return };
    let digits = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    drop(bytes.splice(from..from + digits, NUMBERS[random.random_range(0..NUMBERS.len())].bytes()));
}

fn line_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let from = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    let end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end + 1);
    from..end
}

/// Puts a line once more somewhere else.
fn repeat_line(bytes: &mut Vec<u8>, at: usize, random: &mut StdRng) {
    let line = bytes[line_at(bytes, at)].to_vec();
    let elsewhere = line_at(bytes, random.random_range(0..bytes.len())).start;
    drop(bytes.splice(elsewhere..elsewhere, line));
}
