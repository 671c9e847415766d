//! What trunks do with media, and what must come of it: SIPp signals, and plays captures where it can.

use std::path::PathBuf;
use std::time::Duration;

use callbox::base::Fault;
use callbox::call::event::Ending;
use callbox::call::record::{CallPlan, CallStatus, EndedBy};
use callbox::eval::phone::{Answering, CallReport, Config, Line, Phone, Step, turns};
use callbox::media::codec::g711;

use crate::capture;
use crate::far_end::{Came, FarEnd};
use crate::peers::{Sipp, free_port, traces};
use crate::rig::{Rig, Script, plan};
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

/// SIPp calls a softphone on our signalling and media, which answers and listens.
async fn called_by(caller: Caller<'_>) -> CallReport {
    let mut phone = listening().await;
    let play =
        format!("<nop><action><exec play_pcap_audio=\"{}\"/></action></nop>", caller.capture.display());
    let filled = [
        ("@FORMATS@", caller.formats),
        ("@LINES@", caller.lines),
        ("@PORT@", "[media_port]"),
        ("@PLAY@", &play),
        ("@TALK@", caller.talk),
    ];
    let port = (free_port() & !1).to_string();
    let media = ["-mi", caller.media_ip, "-mp", &port];
    let peer = Sipp::uac_filled("uac_media", &filled, phone.address(), free_port(), &media);
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

/// The strongest share of 700 Hz in any tenth of a second.
fn purest(pcm: &[i16]) -> f64 {
    let loud = |part: &&[i16]| part.iter().any(|sample| sample.unsigned_abs() > 3_000);
    pcm.chunks_exact(800).filter(loud).map(|part| share(part, 700.0, 8_000)).fold(0.0, f64::max)
}

/// Two seconds of 700 Hz in A-law under `payload_type`, in packets of `ms`.
fn a_law_tone(payload_type: u8, ms: u32) -> PathBuf {
    let to = traces::folder("capture").join("tone.pcap");
    let pcm: Vec<u8> = tone(700.0, 16_000, 8_000).into_iter().map(g711::encode_alaw).collect();
    let payloads: Vec<Vec<u8>> = pcm.chunks_exact(8 * ms as usize).map(<[u8]>::to_vec).collect();
    capture::write(&to, payload_type, ms, &payloads);
    to
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

#[tokio::test(flavor = "multi_thread")]
async fn held_call_is_silent_and_lives_on_when_resumed() {
    for (hold, gap) in [("inactive", true), ("recvonly", false)] {
        let far = FarEnd::new().await;
        let answered = match hold {
            "inactive" => "inactive",
            _ => "sendonly",
        };
        let filled = [("@PORT@", far.port()), ("@HOLD@", hold.to_owned()), ("@HELD@", answered.to_owned())];
        let filled = filled.each_ref().map(|(name, value)| (*name, value.as_str()));
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
        assert_eq!(longest > Duration::from_secs(1), gap, "{hold}: {longest:?} without a packet");
        let recording = rig.recording(&story);
        let heard = recording.channel(0);
        // The last second but the very end, of which a loaded machine may miss a part.
        let last = &heard[heard.len() - 10_000..heard.len() - 2_000];
        let clearest = last.chunks_exact(800).map(|part| share(part, 700.0, 8_000)).fold(0.0, f64::max);
        assert!(clearest > 0.9, "{hold}: {clearest} of what is heard after the hold is the tone");
        rig.is_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_many_has_audio_both_ways() {
    const CALLS: u32 = 20;
    let script = vec![Step::Say(Line::new("a tone", &tone(700.0, 80_000, 8_000)))];
    let pace = turns::Config { greet: true, ..turns::Config::default() };
    let mut phone = Phone::start(Config { script, pace, ..Config::default() }, None).await.unwrap();
    let port = (free_port() & !1).to_string();
    let more = ["-rtp_echo", "-mp", &port, "-r", "10"];
    let peer = Sipp::uac("uac_echo", phone.address(), free_port(), CALLS, &more);
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
