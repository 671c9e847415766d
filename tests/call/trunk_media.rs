//! What trunks do with media, and what must come of it: SIPp signals, and plays captures where it can.

use std::iter;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use callbox::base::Fault;
use callbox::call::event::Ending;
use callbox::call::record::{CallPlan, CallStatus, EndedBy};
use callbox::eval::phone::{Answering, CallReport, Config, Line, Phone, Step, turns};
use callbox::media::codec::g711;
use callbox::media::{MediaEvent, MediaPlane, MediaStats};
use callbox::sip::sdp::{self, Local};
use callbox::sip::{IncomingCall, Signal, Srtp};
use futures_util::future::join_all;

use crate::capture::{self, Sent};
use crate::far_end::{Came, FarEnd};
use crate::open_line::open_line;
use crate::peers::{Sipp, free_port, traces};
use crate::rig::{Rig, Script, plan};
use crate::secure::LIMIT;
use crate::tones::{share, tone};

const PACKAGED: &str = "/usr/share/sip-tester/";
const MU_LAW: &str = "rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16";
const A_LAW: &str = "rtpmap:8 PCMA/8000\r\na=ptime:30";

/// What SIPp says in a call to us.
struct Caller<'a> {
    formats: &'a str,
    lines: &'a str,
    capture: PathBuf,
    /// Milliseconds from the answer to its BYE.
    talk: &'a str,
    media_ip: &'a str,
}

impl Caller<'_> {
    /// As SIPp.
    fn calls(&self, to: SocketAddr) -> Sipp {
        let play =
            format!("<nop><action><exec play_pcap_audio=\"{}\"/></action></nop>", self.capture.display());
        let filled = [
            ("@FORMATS@", self.formats),
            ("@LINES@", self.lines),
            ("@PORT@", "[media_port]"),
            ("@PLAY@", &play),
            ("@TALK@", self.talk),
        ];
        Sipp::uac_filled("uac_media", &filled, to, free_port(), &["-mi", self.media_ip])
    }
}

/// SIPp calls a softphone on our signalling and media, which answers and listens.
async fn called_by(caller: Caller<'_>) -> CallReport {
    let mut phone = listening().await;
    let peer = caller.calls(phone.address());
    let report = phone.next_call().await;
    peer.succeeds().await;
    phone.shutdown().await;
    assert_eq!(report.problem, None);
    report
}

async fn listening() -> Phone {
    let config = Config { answer: Answering::After(Duration::ZERO), ..Config::default() };
    Phone::start(config, None).await.unwrap()
}

fn loud(part: &[i16]) -> bool {
    part.iter().any(|sample| sample.unsigned_abs() > 3_000)
}

/// The strongest share of 700 Hz in any tenth of a second.
fn purest(pcm: &[i16]) -> f64 {
    pcm.chunks_exact(800).filter(|part| loud(part)).map(|part| share(part, 700.0, 8_000)).fold(0.0, f64::max)
}

fn captured(packets: &[Sent]) -> PathBuf {
    let to = traces::folder("capture").join("sound.pcap");
    capture::write(&to, packets);
    to
}

/// Two seconds of 700 Hz in A-law under `payload_type`, in packets of `ms`.
fn a_law_tone(payload_type: u8, ms: u32) -> PathBuf {
    let encoded: Vec<u8> = tone(700.0, 16_000, 8_000).into_iter().map(g711::encode_alaw).collect();
    captured(&capture::packets(payload_type, 0, ms, &encoded))
}

/// Digits as sound, each for a tenth of a second and a tenth apart.
fn dialled(digits: &[[f64; 2]]) -> PathBuf {
    let silence = || iter::repeat_n(0, 800);
    let sound = |[row, column]: &[f64; 2]| {
        let both = tone(*row, 800, 8_000).into_iter().zip(tone(*column, 800, 8_000));
        both.map(|(low, high)| low + high)
    };
    let pcm = digits.iter().flat_map(|digit| silence().chain(sound(digit))).chain(silence());
    let encoded: Vec<u8> = pcm.map(g711::encode_ulaw).collect();
    captured(&capture::packets(0, 0, 20, &encoded))
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_of_30_ms_are_heard_whole() {
    let capture = PathBuf::from(PACKAGED).join("g711a.pcap");
    let report =
        called_by(Caller { formats: "8", lines: A_LAW, capture, talk: "8500", media_ip: "127.0.0.1" }).await;
    let stats = report.media.unwrap();
    assert!(stats.packets_received > 230, "{stats:?}");
    assert_eq!(
        (stats.lost, stats.unknown_payload, stats.malformed, stats.strangers),
        (0, 0, 0, 0),
        "{stats:?}"
    );
    assert!(report.audio.iter().any(|sample| sample.unsigned_abs() > 3_000), "speech is heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_of_any_length_are_heard_whole() {
    let calls = [10, 20, 40, 60].map(|ms| async move {
        let lines = format!("rtpmap:8 PCMA/8000\r\na=ptime:{ms}");
        let capture = a_law_tone(8, ms);
        let caller = Caller { formats: "8", lines: &lines, capture, talk: "2800", media_ip: "127.0.0.1" };
        (ms, called_by(caller).await)
    });
    for (ms, report) in join_all(calls).await {
        let stats = report.media.unwrap();
        assert_eq!(stats.packets_received, u64::from(2_000 / ms), "{ms} ms: {stats:?}");
        let ill = (stats.lost, stats.unknown_payload, stats.malformed, stats.strangers, stats.resyncs);
        assert_eq!(ill, (0, 0, 0, 0, 0), "{ms} ms: {stats:?}");
        // Of 16,000: where the tone ends some are invented, and where the machine is busy.
        assert!(stats.concealed_samples < 4_000, "{ms} ms: {stats:?}");
        let is_tone = |part: &&[i16]| loud(part) && share(part, 700.0, 8_000) > 0.9;
        let tenths = report.audio.chunks_exact(800).filter(is_tone).count();
        assert!((17..=22).contains(&tenths), "{ms} ms: {tenths} tenths of a second of 20");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_type_means_what_its_rtpmap_says() {
    let capture = a_law_tone(0, 20);
    let lines = "rtpmap:0 PCMA/8000";
    let report =
        called_by(Caller { formats: "0", lines, capture, talk: "2500", media_ip: "127.0.0.1" }).await;
    let purest = purest(&report.audio);
    assert!(purest > 0.95, "{purest} of what is heard is the tone: A-law was read as μ-law");
}

#[tokio::test(flavor = "multi_thread")]
async fn media_may_come_from_another_address_than_signalling() {
    let capture = a_law_tone(8, 20);
    let report =
        called_by(Caller { formats: "8", lines: A_LAW, capture, talk: "2500", media_ip: "127.0.0.2" }).await;
    let stats = report.media.unwrap();
    assert!(purest(&report.audio) > 0.95 && stats.strangers == 0, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_count_without_their_marker_bit() {
    let capture = traces::folder("capture").join("digit.pcap");
    capture::rewrite(&format!("{PACKAGED}dtmf_2833_5.pcap"), &capture, |rtp| rtp[1] &= 0x7f);
    let report =
        called_by(Caller { formats: "0 101", lines: MU_LAW, capture, talk: "1500", media_ip: "127.0.0.1" })
            .await;
    assert_eq!(report.dtmf, "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_are_heard_as_tones_where_no_events_were_agreed_on() {
    let capture = dialled(&[[770.0, 1_336.0], [697.0, 1_209.0], [941.0, 1_477.0]]);
    for (formats, lines, heard) in [("0", "rtpmap:0 PCMU/8000", "51#"), ("0 101", MU_LAW, "")] {
        let capture = capture.clone();
        let report = called_by(Caller { formats, lines, capture, talk: "1500", media_ip: "127.0.0.1" }).await;
        assert_eq!(report.dtmf, heard, "{formats}");
    }
}

/// What one heard who was called, to the end.
#[derive(Default)]
struct Listened {
    pcm: Vec<i16>,
    timeouts: usize,
    stats: Option<MediaStats>,
}

/// Answers a call, and calls it silent after `patience`.
async fn listen(call: IncomingCall, media: &MediaPlane, patience: Duration) -> Listened {
    let leg = media.reserve().unwrap();
    let local = Local::new(leg.local_addr(), sdp::session_id());
    let (answer, agreed) = sdp::answer(&local, call.offer.as_deref().expect("an offer")).unwrap();
    let mut call = call.answer(answer).await.unwrap();
    let (handle, mut events) = leg.start(agreed.agreed().begin(media.config().jitter, patience, 7)).unwrap();
    let mut listened = Listened::default();
    loop {
        let event = tokio::select! {
            signal = call.signals.recv() => match signal {
                None | Some(Signal::Ended(_)) => break,
                Some(_) => continue,
            },
            event = tokio::time::timeout(LIMIT, events.recv()) => event.expect("frames come"),
        };
        match event.expect("the leg lives") {
            MediaEvent::Frame { pcm, .. } => listened.pcm.extend(pcm),
            MediaEvent::RtpTimeout { .. } => listened.timeouts += 1,
            _ => {}
        }
    }
    listened.stats = handle.stats().await.ok();
    listened
}

/// Of frames of 20 ms: the level that half of them exceed, in dB below full scale.
fn usual_level(frames: &[&[i16]]) -> f64 {
    let energy = |frame: &&[i16]| frame.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>();
    let mut levels: Vec<f64> = frames.iter().map(|frame| energy(frame) / frame.len() as f64).collect();
    levels.sort_by(f64::total_cmp);
    10.0 * (levels[levels.len() / 2] / f64::from(i16::MAX).powi(2)).log10()
}

/// A far end that speaks for a second, tells for five how loud its room is, twice, and speaks again.
#[tokio::test(flavor = "multi_thread")]
async fn far_end_that_tells_of_its_silence_is_heard_as_noise_and_not_missed() {
    let encoded: Vec<u8> = tone(700.0, 8_000, 8_000).into_iter().map(g711::encode_ulaw).collect();
    let noise = |at, level| Sent { at, payload_type: 13, payload: vec![level] };
    let speech = |at| capture::packets(0, at, 20, &encoded);
    let packets = speech(0).into_iter().chain([noise(1_000, 40), noise(3_500, 55)]).chain(speech(6_000));
    let capture = captured(&packets.collect::<Vec<_>>());
    let (sip, mut incoming, media) = open_line(Srtp::Off).await;
    let lines = "rtpmap:0 PCMU/8000\r\na=rtpmap:13 CN/8000";
    let caller = Caller { formats: "0 13", lines, capture, talk: "8000", media_ip: "127.0.0.1" };
    let peer = caller.calls(sip.local_address());
    let call = tokio::time::timeout(LIMIT, incoming.recv()).await.expect("a call").unwrap();
    // Longer than each silence, and shorter than both.
    let Listened { pcm, timeouts, stats } = listen(call, &media, Duration::from_secs(4)).await;
    peer.succeeds().await;
    sip.shutdown().await;

    let stats = stats.unwrap();
    assert_eq!((stats.packets_received, timeouts), (102, 0), "{stats:?}");
    let ill = (stats.lost, stats.unknown_payload, stats.malformed);
    assert_eq!(ill, (0, 0, 0), "silence is no loss: {stats:?}");
    let frames: Vec<&[i16]> = pcm.chunks_exact(160).collect();
    let ends = [frames.iter().position(|frame| loud(frame)), frames.iter().rposition(|frame| loud(frame))];
    let [Some(first), Some(last)] = ends else { panic!("speech is heard: {stats:?}") };
    let quiet: Vec<&[i16]> = frames[first..last].iter().copied().filter(|frame| !loud(frame)).collect();
    assert!(quiet.len() > 200, "{} frames between speech and speech", quiet.len());
    let (before, after) = quiet.split_at(quiet.len() / 2);
    for (frames, told) in [(before, -40.0), (after, -55.0)] {
        let level = usual_level(frames);
        assert!((level - told).abs() < 3.0, "{level:.1} dBov is heard of a room of {told}");
    }
    assert!(purest(&pcm[pcm.len() / 2..]) > 0.95, "and speech after it");
}

/// How a call ends whose far end sends no audio, and after three seconds without a report is given up.
async fn ending_of_a_silent_call(reports: bool) -> Ending {
    let far = FarEnd::new().await;
    let peer = Sipp::uas_filled("uas_port", &[("@PORT@", &far.port())], 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new().gives_up_after(Duration::from_secs(3))).await;
    let call = rig.place(CallPlan { max_duration_secs: 10, ..plan() });
    let ours = far.hears(1).await;
    if reports {
        far.reports(ours);
    }
    let story = rig.story(call).await;
    peer.succeeds().await;
    rig.is_clean().await;
    story.ending()
}

#[tokio::test(flavor = "multi_thread")]
async fn call_lives_while_a_far_end_without_a_word_reports() {
    let ending = ending_of_a_silent_call(true).await;
    assert_eq!((ending.status, ending.ended_by, ending.fault), (CallStatus::Completed, EndedBy::Limit, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn call_ends_when_neither_audio_nor_reports_come() {
    let ending = ending_of_a_silent_call(false).await;
    let carrier = (CallStatus::Failed, EndedBy::Carrier, Some(Fault::Carrier));
    assert_eq!((ending.status, ending.ended_by, ending.fault), carrier);
    assert_eq!(ending.reason, "no audio came from the other side");
    assert!(ending.length_secs.is_some_and(|length| length >= 3.0), "{ending:?}");
}

fn payload_types(came: &[Came]) -> Vec<u8> {
    let mut types: Vec<u8> = came.iter().map(|came| came.header.payload_type).collect();
    types.dedup();
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn early_media_binds_neither_port_nor_codec_of_the_answer() {
    let (early, answered) = (FarEnd::new().await, FarEnd::new().await);
    let filled = [("@EARLY@", early.port()), ("@PORT@", answered.port())];
    let filled = filled.each_ref().map(|(name, port)| (*name, port.as_str()));
    let peer = Sipp::uas_filled("uas_early_moves", &filled, 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new()).await;
    let call = rig.place(CallPlan { max_duration_secs: 3, ..plan() });
    let ours = early.hears(1).await.from;
    early.speaks(ours);
    answered.hears(5).await;
    early.is_silent();
    answered.speaks(ours);
    let story = rig.story(call).await;
    peer.succeeds().await;
    assert_eq!(story.ending().status, CallStatus::Completed);
    assert_eq!((payload_types(&early.came()), payload_types(&answered.came())), (vec![0], vec![8]));
    let last = |end: &FarEnd| end.came().last().map(|came| came.at);
    assert!(last(&answered) > last(&early), "what we say goes where the answer wants it");
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_reinvite_moves_latched_media() {
    let [named, real, stranger, next] =
        [FarEnd::new().await, FarEnd::new().await, FarEnd::new().await, FarEnd::new().await];
    let mut phone = listening().await;
    let filled = [("@PORT@", named.port()), ("@NEXT@", next.port())];
    let filled = filled.each_ref().map(|(name, port)| (*name, port.as_str()));
    let peer = Sipp::uac_filled("uac_moves", &filled, phone.address(), free_port(), &[]);
    // Behind a NAT: what the SDP names is not where media comes from.
    let ours = named.hears(3).await.from;
    real.speaks(ours);
    real.hears(20).await;
    // Somebody else at the same address.
    stranger.speaks(ours);
    real.hears(20).await;
    stranger.is_silent();
    next.hears(5).await;
    real.is_silent();
    next.speaks(ours);
    let report = phone.next_call().await;
    peer.succeeds().await;
    assert_eq!(stranger.came().len(), 0, "nobody takes a call over by sending");
    let at = |came: Option<&Came>| came.map(|came| came.at);
    assert!(at(named.came().last()) < at(real.came().get(3)), "the latch moved it away from the SDP's port");
    assert!(at(real.came().last()) < at(next.came().get(3)), "the re-INVITE moved it on");
    assert!(report.media.unwrap().strangers > 0);
    phone.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_leave_every_20_ms_though_nobody_speaks() {
    let far = FarEnd::new().await;
    let mut phone = listening().await;
    let filled = [
        ("@FORMATS@", "0 101"),
        ("@LINES@", MU_LAW),
        ("@PORT@", &far.port()),
        ("@PLAY@", ""),
        ("@TALK@", "3000"),
    ];
    let peer = Sipp::uac_filled("uac_media", &filled, phone.address(), free_port(), &[]);
    let report = phone.next_call().await;
    peer.succeeds().await;
    let came = far.came();
    assert!(came.len() > 100, "{} packets in three seconds", came.len());
    for pair in came.windows(2) {
        let [before, after] = [pair[0].header, pair[1].header];
        assert_eq!(after.sequence.since(before.sequence), 1);
        // A node that stood still for a frame says so, and goes on in time.
        let frames = after.timestamp.since(before.timestamp) / 160;
        assert!(frames == 1 || report.media.unwrap().skipped_ticks >= frames as u64 - 1, "{frames} frames");
    }
    let took = came.last().unwrap().at - came[0].at;
    let each = took.as_secs_f64() / (came.len() - 1) as f64 * 1_000.0;
    let stood_still = report.media.unwrap().skipped_ticks;
    assert!(stood_still > 0 || (each - 20.0).abs() < 1.0, "a packet every {each:.2} ms");
    phone.shutdown().await;
}

/// A far end that holds a call in one way.
struct Hold {
    says: &'static str,
    /// Its address meanwhile.
    at: &'static str,
    /// What it is answered.
    answered: &'static str,
    /// Whether it wants to hear us meanwhile.
    listens: bool,
}

const HOLDS: [Hold; 4] = [
    Hold { says: "inactive", at: "127.0.0.1", answered: "inactive", listens: false },
    Hold { says: "recvonly", at: "127.0.0.1", answered: "sendonly", listens: true },
    Hold { says: "sendonly", at: "127.0.0.1", answered: "recvonly", listens: false },
    // As before RFC 3264.
    Hold { says: "sendrecv", at: "0.0.0.0", answered: "recvonly", listens: false },
];

#[tokio::test(flavor = "multi_thread")]
async fn held_call_is_silent_and_lives_on_when_resumed() {
    join_all(HOLDS.iter().map(is_held_and_resumed)).await;
}

async fn is_held_and_resumed(hold: &Hold) {
    let far = FarEnd::new().await;
    let what = format!("{} at {}", hold.says, hold.at);
    let port = far.port();
    let filled = [("@PORT@", &*port), ("@HOLD@", hold.says), ("@WHERE@", hold.at), ("@HELD@", hold.answered)];
    let peer = Sipp::uas_filled("uas_hold_media", &filled, 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new()).await;
    let call = rig.place(plan());
    far.speaks(far.hears(1).await.from);
    let story = rig.story(call).await;
    peer.succeeds().await;
    assert_eq!(story.ending().status, CallStatus::Completed);
    let came = far.came();
    let pauses = came.windows(2).map(|pair| pair[1].at - pair[0].at);
    let longest = pauses.max().unwrap();
    assert_eq!(longest <= Duration::from_secs(1), hold.listens, "{what}: {longest:?} without a packet");
    let recording = rig.recording(&story);
    let heard = recording.channel(0);
    // The last second but the very end, of which a loaded machine may miss a part.
    let last = &heard[heard.len() - 10_000..heard.len() - 2_000];
    let clearest = last.chunks_exact(800).map(|part| share(part, 700.0, 8_000)).fold(0.0, f64::max);
    assert!(clearest > 0.9, "{what}: {clearest} of what is heard after the hold is the tone");
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_many_has_audio_both_ways() {
    const CALLS: u32 = 20;
    let script = vec![Step::Say(Line::new("a tone", &tone(700.0, 80_000, 8_000)))];
    let pace = turns::Config { greet: true, ..turns::Config::default() };
    let mut phone = Phone::start(Config { script, pace, ..Config::default() }, None).await.unwrap();
    let peer = Sipp::uac("uac_echo", phone.address(), free_port(), CALLS, &["-rtp_echo", "-r", "10"]);
    for _ in 0..CALLS {
        let report = phone.next_call().await;
        let stats = report.media.unwrap();
        assert!(stats.packets_sent > 20 && stats.packets_received > 20, "{stats:?}");
        let heard = report.audio.chunks_exact(800).filter(|part| purest(part) > 0.9).count();
        assert!(heard >= 5, "{heard} tenths of a second of its own tone come back: {stats:?}");
    }
    peer.succeeds().await;
    phone.shutdown().await;
}
