//! SRTP against baresip, whose SRTP is other people's (libre), and calls that may not go without it.
//!
//! Media runs in the test itself, a [`Session`] between two sockets: so what is on the wire is seen.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use callbox::base::Fault;
use callbox::base::audio::Codec;
use callbox::call::record::{CallPlan, CallStatus, EndedBy};
use callbox::eval::phone::{Config, Phone, turns};
use callbox::media::codec::Decoder;
use callbox::media::{self, MediaEvent, MediaStats, Output, Session, UtteranceId};
use callbox::sip::sdp::{self, Local, Negotiated};
use callbox::sip::{self, Dial, IncomingCall, Signal, SipCall, SipEnd, SipNode, Srtp, TrunkConfig};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::baresip::{Baresip, level};
use crate::eventually;
use crate::exchange::{Exchange, Manner, Party};
use crate::peers::{Sipp, free_port};
use crate::ports::free_address;
use crate::rig::{Rig, Script, plan};
use crate::tones::tone;

pub const LIMIT: Duration = Duration::from_secs(30);
/// What we play to baresip, which plays 700 Hz.
const HZ: f64 = 440.0;

pub async fn node(trunk: SocketAddr, srtp: Srtp) -> (SipNode, mpsc::Receiver<IncomingCall>) {
    let trunk = TrunkConfig { srtp, ..TrunkConfig::peer("baresip", trunk.into()) };
    let config =
        sip::Config { bind: ([127, 0, 0, 1], 0).into(), trunks: vec![trunk], ..sip::Config::default() };
    SipNode::start(config).await.unwrap()
}

/// Sockets for RTP and RTCP, one port above the other.
pub struct Sockets {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Sockets {
    pub async fn bind() -> Sockets {
        loop {
            let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let above = rtp.local_addr().unwrap().port().saturating_add(1);
            if let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", above)).await {
                return Sockets { rtp, rtcp };
            }
        }
    }

    pub fn local(&self) -> Local {
        Local::new(self.rtp.local_addr().unwrap(), 7)
    }
}

/// What a call was on our side.
pub struct Heard {
    pcm: Vec<i16>,
    /// What a listener on the wire makes of the RTP that came, and of what went.
    came: Vec<i16>,
    went: Vec<i16>,
    /// Datagrams that came on RTCP's port.
    pub reports: u64,
    pub stats: MediaStats,
}

/// Seven seconds of a call, in which [`HZ`] is played.
pub async fn converse(sockets: &Sockets, agreed: &Negotiated) -> Heard {
    let config = agreed.agreed().begin(media::jitter::Config::default(), LIMIT, 5);
    let mut session = Session::new(config, Instant::now());
    session.play(UtteranceId(1), tone(HZ, 6 * 8_000, 8_000), 8_000).unwrap();
    session.finish(UtteranceId(1));
    let (mut pcm, mut came, mut went) = (Vec::new(), Vec::new(), Vec::new());
    let (mut packet, mut report, mut reports) = ([0; 2_048], [0; 2_048], 0);
    while pcm.len() < 7 * 8_000 {
        let due = session.poll_timeout().expect("a session always ticks");
        tokio::select! {
            received = sockets.rtp.recv_from(&mut packet) => {
                let (len, from) = received.unwrap();
                overhear(&packet[..len], &mut came);
                session.handle_datagram(Instant::now(), from, &packet[..len]);
            }
            received = sockets.rtcp.recv_from(&mut report) => {
                let (len, from) = received.unwrap();
                reports += 1;
                session.handle_rtcp(Instant::now(), from, &report[..len]);
            }
            () = tokio::time::sleep_until(due.into()) => session.handle_timeout(Instant::now()),
        }
        while let Some(output) = session.poll_output() {
            match output {
                Output::Transmit { to, datagram } => {
                    overhear(&datagram, &mut went);
                    sockets.rtp.send_to(&datagram, to).await.unwrap();
                }
                Output::Report { to, datagram, .. } => {
                    let _ = sockets.rtcp.send_to(&datagram, to).await;
                }
                Output::Event(MediaEvent::Frame { pcm: frame, .. }) => pcm.extend(frame),
                _ => {}
            }
        }
    }
    Heard { pcm, came, went, reports, stats: session.stats() }
}

/// Decodes the payload of a packet as if it were plain μ-law.
pub fn overhear(packet: &[u8], pcm: &mut Vec<i16>) {
    Decoder::new(Codec::Pcmu).decode(packet.get(12..172).unwrap_or_default(), pcm).unwrap();
}

pub async fn answer_of(call: &mut SipCall) -> Result<String, SipEnd> {
    loop {
        match tokio::time::timeout(LIMIT, call.signals.recv()).await.expect("an answer in time") {
            Some(Signal::Answered { sdp }) => return Ok(sdp),
            Some(Signal::Ended(end)) => return Err(end),
            Some(_) => {}
            None => panic!("the call is gone"),
        }
    }
}

pub async fn hang_up(mut call: SipCall, node: SipNode) {
    call.handle.hang_up();
    while !matches!(
        tokio::time::timeout(LIMIT, call.signals.recv()).await.expect("an end"),
        Some(Signal::Ended(_)) | None
    ) {}
    node.shutdown().await;
}

/// Both hear each other and read each other's reports; whoever listens on the wire hears if and only if it is
/// plain.
pub async fn check(baresip: &Baresip, heard: &Heard, encrypted: bool, what: &str) {
    hear_each_other(baresip, heard, encrypted, what).await;
    let stats = &heard.stats;
    assert_eq!((stats.unauthenticated, stats.replayed, stats.strangers), (0, 0, 0), "{what}: {stats:?}");
    // Baresip opens a NAT with RTCP that is too short for a tag.
    assert!(stats.malformed <= 1, "{what}: {stats:?}");
    assert!(stats.rtcp > 0 && stats.far.is_some(), "{what}: reports are read both ways: {stats:?}");
}

/// Both sides, and whoever listens on the wire if and only if it is plain.
pub async fn hear_each_other(baresip: &Baresip, heard: &Heard, encrypted: bool, what: &str) {
    let Heard { pcm, came, went, stats, .. } = heard;
    assert!(level(pcm, 8_000, 700.0) > -20.0, "{what}: we hear baresip");
    eventually("baresip hears us", || baresip.heard(HZ) > -20.0).await;
    assert_eq!(stats.encrypted, encrypted, "{what}");
    for (direction, wire, hz) in [("came", came, 700.0), ("went", went, HZ)] {
        let overheard = level(wire, 8_000, hz);
        assert_eq!(overheard > -20.0, !encrypted, "{what}: what {direction} is {overheard:.1} dB at {hz} Hz");
    }
}

/// We call a baresip; `Err` if that came to nothing.
async fn call(ours: Srtp, theirs: Option<&str>, encrypted: bool) -> Result<(), SipEnd> {
    let what = format!("{ours:?} calls {theirs:?}");
    let baresip = Baresip::encrypting(theirs, None).await;
    let (node, _incoming) = node(baresip.address, ours).await;
    let sockets = Sockets::bind().await;
    let to = "+14155550123".parse().unwrap();
    let local = sockets.local();
    let mut call = node.dial(Dial::to(to, local.clone())).await.unwrap();
    let answer = answer_of(&mut call).await?;
    assert_eq!(call.handle.srtp(), ours);
    let agreed = sdp::accept(&Local { srtp: ours, ..local }, &answer).unwrap();
    let heard = converse(&sockets, &agreed).await;
    hang_up(call, node).await;
    check(&baresip, &heard, encrypted, &what).await;
    Ok(())
}

/// A baresip calls us; `Err` if that came to nothing.
async fn called(ours: Srtp, theirs: Option<&str>, encrypted: bool) -> Result<(), sdp::SdpError> {
    let what = format!("{theirs:?} calls {ours:?}");
    let nobody = free_address();
    let (node, mut incoming) = node(nobody, ours).await;
    let baresip = Baresip::encrypting(theirs, Some(node.local_address())).await;
    let call = tokio::time::timeout(LIMIT, incoming.recv()).await.expect("a call").unwrap();
    assert_eq!(call.srtp(), ours);
    let sockets = Sockets::bind().await;
    let local = Local { srtp: call.srtp(), ..sockets.local() };
    let (answer, agreed) = match sdp::answer(&local, call.offer.as_deref().expect("an offer")) {
        Ok(answered) => answered,
        Err(error) => {
            call.reject(488).await.unwrap();
            return Err(error);
        }
    };
    let call = call.answer(answer).await.unwrap();
    let heard = converse(&sockets, &agreed).await;
    hang_up(call, node).await;
    check(&baresip, &heard, encrypted, &what).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_called_encrypted() {
    let required = call(Srtp::Required, Some("srtp-mand"), true);
    let best_effort = call(Srtp::Optional, Some("srtp"), true);
    let (a, b) = tokio::join!(required, best_effort);
    assert_eq!((a, b), (Ok(()), Ok(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_calls_encrypted() {
    let required = called(Srtp::Required, Some("srtp-mand"), true);
    let best_effort = called(Srtp::Optional, Some("srtp"), true);
    let feedback = called(Srtp::Required, Some("srtp-mandf"), true);
    let (a, b, c) = tokio::join!(required, best_effort, feedback);
    assert_eq!((a, b, c), (Ok(()), Ok(()), Ok(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_without_srtp_is_heard_plain_where_that_is_allowed() {
    let (a, b) = tokio::join!(call(Srtp::Optional, None, false), called(Srtp::Optional, None, false));
    assert_eq!((a, b), (Ok(()), Ok(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_that_insists_is_refused_where_srtp_is_off() {
    let (a, b) = tokio::join!(
        called(Srtp::Off, Some("srtp-mand"), true),
        called(Srtp::Off, Some("srtp"), false) // its keys are left alone
    );
    assert_eq!((a, b), (Err(sdp::SdpError::Encrypted), Ok(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_held_encrypted_both_ways_and_the_record_says_so() {
    let telephone = Config { srtp: Srtp::Required, ..Config::default() };
    let mut phone = Phone::start(telephone, None).await.unwrap();
    let rig = Rig::start(phone.address(), Script::new().encrypts(Srtp::Required)).await;
    let story = rig.story(rig.place(CallPlan { max_duration_secs: 3, ..plan() })).await;
    assert_eq!(story.ending().ended_by, EndedBy::Limit);
    let quality = story.quality().expect("the line was measured");
    assert!(quality.encrypted && quality.heard.is_some(), "{quality:?}");
    let report = tokio::time::timeout(LIMIT, phone.next_call()).await.unwrap();
    let media = report.media.expect("media flowed");
    assert!(media.encrypted && media.packets_received > 50 && media.unauthenticated == 0, "{media:?}");
    assert!(report.audio.iter().any(|sample| sample.unsigned_abs() > 1_500), "the agent is heard");
    phone.shutdown().await;
    // And the other way.
    let pace = turns::Config { hang_up_at: Some(Duration::from_secs(3)), ..turns::Config::default() };
    let dial = Some(rig.sip.local_address());
    let telephone = Config { pace, dial, srtp: Srtp::Optional, ..Config::default() };
    let mut phone = Phone::start(telephone, None).await.unwrap();
    phone.dial("+14155550123".parse().unwrap());
    let story = rig.next_story().await;
    assert!(story.quality().expect("the line was measured").encrypted);
    let report = tokio::time::timeout(LIMIT, phone.next_call()).await.unwrap();
    assert!(report.media.expect("media flowed").encrypted);
    phone.shutdown().await;
}

/// Each trunk is offered keys of its own; the call's audio goes by those of the one that answers.
#[tokio::test(flavor = "multi_thread")]
async fn conversation_goes_by_the_keys_of_the_trunk_that_answers() {
    let full = Sipp::refusing("503 Service Unavailable").await;
    let telephone = Config { srtp: Srtp::Required, ..Config::default() };
    let mut phone = Phone::start(telephone, None).await.unwrap();
    let script = Script::new().encrypts(Srtp::Required).after(full.address);
    let rig = Rig::start(phone.address(), script).await;
    let story = rig.story(rig.place(CallPlan { max_duration_secs: 3, ..plan() })).await;
    assert_eq!(story.ending().ended_by, EndedBy::Limit);
    let report = tokio::time::timeout(LIMIT, phone.next_call()).await.unwrap();
    let media = report.media.expect("media flowed");
    assert!(media.encrypted && media.packets_received > 50 && media.unauthenticated == 0, "{media:?}");
    assert!(report.audio.iter().any(|sample| sample.unsigned_abs() > 1_500), "the agent is heard");
    full.succeeds().await;
    phone.shutdown().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_answer_where_srtp_is_required_ends_the_call_at_once() {
    let peer = Sipp::uas("uas_answer", 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new().encrypts(Srtp::Required)).await;
    let story = rig.story(rig.place(plan())).await;
    let ending = story.ending();
    assert_eq!((ending.status, ending.fault), (CallStatus::Failed, Some(Fault::Carrier)));
    assert!(ending.reason.contains("`srtp` is `required`"), "{}", ending.reason);
    assert!(story.turns().is_empty() && ending.length_secs.is_none(), "nothing was said");
    // It was acknowledged, and got its BYE.
    peer.succeeds().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offer_that_does_not_fit_the_trunk_is_refused() {
    for (srtp, profile) in
        [(Srtp::Required, "RTP/AVP"), (Srtp::Off, "RTP/SAVP"), (Srtp::Optional, "RTP/SAVP")]
    {
        let port = free_port();
        let rig = Rig::start(([127, 0, 0, 1], port).into(), Script::new().encrypts(srtp)).await;
        let peer = Sipp::refused(rig.sip.local_address(), port, "488", profile);
        let story = rig.next_story().await;
        assert!(story.turns().is_empty());
        peer.succeeds().await;
        rig.is_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_legs_of_a_transfer_are_encrypted() {
    let (caller, office) = (Party::new(Manner::Talks(1)), Party::new(Manner::Rings));
    let exchange = Exchange::start([("+14155550123", &caller), ("+14155550142", &office)]).await;
    let script = Script::new().hears(["Can I speak to a real person?"]).encrypts(Srtp::Required);
    let rig = Rig::start(exchange.trunk(), script).await;
    let call = rig.place(CallPlan { transfer_to: "+14155550142".parse().ok(), ..plan() });
    office.rings().await;
    office.picks_up().await;
    caller.sings(700.0).await;
    office.sings(1_100.0).await;
    office.hears(700.0).await;
    caller.hears(1_100.0).await;
    assert!(caller.is_encrypted() && office.is_encrypted());
    office.hangs_up().await;
    assert!(rig.story(call).await.quality().expect("the line was measured").encrypted);
    rig.is_clean().await;
}
