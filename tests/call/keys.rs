//! The agent presses keys: through a menu of our own, and as SIPp's media port sees them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callbox::base::audio::Codec;
use callbox::call::record::{CallPlan, CallStatus, EndedBy, Speaker};
use callbox::eval;
use callbox::media::{MediaEvent, MediaHandle, MediaPlane, UtteranceId, codec::Decoder};
use callbox::sip::sdp::{self, Local};
use callbox::sip::{IncomingCall, Signal, SipNode, Srtp};
use parking_lot::Mutex;
use tokio::net::UdpSocket;

use crate::open_line::{open_line, sound};
use crate::peers::Sipp;
use crate::rig::{Rig, Script, plan};
use crate::tones::share;

/// A machine that says something, wants the key, and then says something else.
struct Menu {
    sip: SipNode,
    digits: Arc<Mutex<String>>,
}

impl Menu {
    async fn start(wanted: char) -> Menu {
        let (sip, mut incoming, media) = open_line(Srtp::Off).await;
        let digits = Arc::<Mutex<String>>::default();
        let pressed = digits.clone();
        tokio::spawn(async move {
            while let Some(call) = incoming.recv().await {
                guide(call, &media, wanted, &pressed).await;
            }
        });
        Menu { sip, digits }
    }
}

async fn guide(call: IncomingCall, media: &MediaPlane, wanted: char, pressed: &Mutex<String>) {
    let leg = media.reserve().unwrap();
    let local = Local::new(leg.local_addr(), 7);
    let (answer, agreed) = sdp::answer(&local, call.offer.as_deref().unwrap()).unwrap();
    let (handle, mut events) = leg.start(eval::phone::session_of(&agreed, media.config())).unwrap();
    let mut call = call.answer(answer).await.unwrap();
    let (mut quiet, mut heard, mut offered) = (0, false, false);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(MediaEvent::Frame { pcm, .. }) => {
                    let loud = pcm.iter().any(|sample| sample.unsigned_abs() > 1_500);
                    heard |= loud;
                    quiet = if loud { 0 } else { quiet + 1 };
                    if heard && quiet == 45 && !offered {
                        offered = true;
                        speaks(&handle, 1);
                    }
                }
                Some(MediaEvent::Dtmf { digit, .. }) => {
                    pressed.lock().push(digit);
                    if digit == wanted {
                        speaks(&handle, 2);
                    }
                }
                Some(_) => {}
                None => return,
            },
            signal = call.signals.recv() => if matches!(signal, Some(Signal::Ended(_)) | None) {
                return;
            },
        }
    }
}

fn speaks(handle: &MediaHandle, utterance: u64) {
    handle.play(UtteranceId(utterance), sound(330.0, Duration::from_millis(900))).unwrap();
    handle.finish(UtteranceId(utterance)).unwrap();
}

async fn walks(script: Script) {
    let menu = Menu::start('2').await;
    let script = script
        .hears(["Welcome. For sales, press one. For billing, press two.", "Billing, good morning."])
        .hangs_up_with("Thank you, goodbye.");
    let rig = Rig::start(menu.sip.local_address(), script).await;
    let story = rig.story(rig.place(plan())).await;
    assert_eq!(*menu.digits.lock(), "2");
    let said = story.said(Speaker::Agent);
    assert_eq!(said[1..], ["[pressed 2]", "Thank you, goodbye."]);
    let heard = story.said(Speaker::Caller);
    assert_eq!(heard.last().map(String::as_str), Some("Billing, good morning."), "the key opened the door");
    let ending = story.ending();
    assert_eq!((ending.status, ending.ended_by), (CallStatus::Completed, EndedBy::Agent));
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_walks_through_a_menu_by_its_tool() {
    walks(Script::new().presses("2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_tools_walks_through_a_menu() {
    walks(Script::new().answers("I'll press two.")).await;
}

/// SIPp, whose media port is ours.
struct Carrier {
    sipp: Sipp,
    rtp: UdpSocket,
}

impl Carrier {
    async fn answering(formats: &str, attributes: &str) -> Carrier {
        let rtp = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let port = rtp.local_addr().unwrap().port().to_string();
        let names = [("@PORT@", port.as_str()), ("@FORMATS@", formats), ("@EVENTS@", attributes)];
        Carrier { sipp: Sipp::uas_filled("uas_keys", &names, 1, &[]).await, rtp }
    }

    /// Presses `keys` at the beginning of a call, and gives the packets until there were enough.
    async fn gets(self, keys: &str, mut enough: impl FnMut(&[Packet]) -> bool) -> Vec<Packet> {
        let rig = Rig::start(self.sipp.address, Script::new().presses(keys)).await;
        let call = rig.place(CallPlan { first_sentence: None, ..plan() });
        let mut packets = Vec::new();
        let receive = async {
            let mut bytes = [0; 2_048];
            while !enough(&packets) {
                let (length, _): (usize, SocketAddr) = self.rtp.recv_from(&mut bytes).await.unwrap();
                packets.push(Packet::of(&bytes[..length]));
            }
        };
        tokio::time::timeout(Duration::from_secs(30), receive).await.expect("the keys come");
        assert!(rig.directory.hang_up(call, EndedBy::Client));
        let story = rig.story(call).await;
        let last = story.said(Speaker::Agent).pop();
        assert_eq!(last, Some(format!("[pressed {keys}]")));
        self.sipp.succeeds().await;
        rig.is_clean().await;
        packets
    }
}

/// An RTP packet, read by hand (RFC 3550 section 5.1).
#[derive(Debug)]
struct Packet {
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

impl Packet {
    fn of(bytes: &[u8]) -> Packet {
        assert_eq!(bytes[0], 0x80, "version 2, and neither padding, extension nor sources");
        Packet {
            marker: bytes[1] & 0x80 != 0,
            payload_type: bytes[1] & 0x7f,
            sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
            timestamp: u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
            payload: bytes[12..].to_vec(),
        }
    }

    fn ends_an_event(&self) -> bool {
        self.payload_type == 96 && self.payload[1] & 0x80 != 0
    }

    fn duration(&self) -> u16 {
        u16::from_be_bytes([self.payload[2], self.payload[3]])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_events_of_the_payload_type_that_was_agreed_on() {
    let events = "a=rtpmap:0 PCMU/8000\na=rtpmap:96 telephone-event/8000\na=fmtp:96 0-15\n";
    let carrier = Carrier::answering("0 96", events).await;
    let all = |packets: &[Packet]| packets.iter().filter(|packet| packet.ends_an_event()).count() == 6;
    let packets = carrier.gets("5w#", all).await;
    assert!(packets.windows(2).all(|two| two[1].sequence == two[0].sequence.wrapping_add(1)));
    let keys: Vec<&Packet> = packets.iter().filter(|packet| packet.payload_type == 96).collect();
    let (five, hash) = keys.split_at(keys.len() / 2);
    for (key, code) in [(five, 5), (hash, 11)] {
        assert!(key.iter().all(|packet| packet.payload[0] == code && packet.payload.len() == 4), "{key:?}");
        assert!(key[0].marker && key[1..].iter().all(|packet| !packet.marker), "the first has the marker");
        assert!(key.iter().all(|packet| packet.timestamp == key[0].timestamp), "one event is one timestamp");
        assert!(key.windows(2).all(|two| two[0].duration() <= two[1].duration()), "and grows");
        let ends: Vec<u16> = key.iter().filter(|p| p.ends_an_event()).map(|p| p.duration()).collect();
        assert_eq!(ends, [800; 3], "three ends of 100 ms");
    }
    let apart = hash[0].timestamp.wrapping_sub(five[0].timestamp);
    assert_eq!(apart, (200 + 500) * 8, "a key, its gap, and half a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_tones_where_no_events_were_agreed_on() {
    let carrier = Carrier::answering("0", "a=rtpmap:0 PCMU/8000\n").await;
    // The row of 456 and the column of 258.
    let five = |pcm: &[i16]| [770.0, 1_336.0].map(|hz| share(pcm, hz, 8_000)).iter().sum::<f64>() > 0.9;
    let sounds = |packets: &[Packet]| {
        let mut decoder = Decoder::new(Codec::Pcmu);
        let mut frame = |packet: &Packet| {
            let mut pcm = Vec::new();
            decoder.decode(&packet.payload, &mut pcm).unwrap();
            pcm
        };
        packets.iter().filter(|packet| five(&frame(packet))).count()
    };
    let mut counted = 0;
    let mut found = 0;
    let packets = carrier
        .gets("5", |packets| {
            found += sounds(&packets[counted..]);
            counted = packets.len();
            found >= 4
        })
        .await;
    assert!(packets.iter().all(|packet| packet.payload_type == 0 && packet.payload.len() == 160));
}
