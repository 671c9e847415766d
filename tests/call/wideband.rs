//! Wideband and RTCP against baresip, whose codecs are libraries of other people.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use callbox::base::audio::{Codec, rate_of_frame};
use callbox::media::{self, MediaEvent, MediaPlane, MediaStats, SocketMode, UtteranceId};
use callbox::sip::sdp::{self, Local};
use callbox::sip::{self, Dial, Signal, SipNode, TrunkConfig};

use crate::callee::{Callee, Manner};
use crate::eventually;
use crate::peers::{Group, free_port, spawn, traces};
use crate::rig::{Rig, Script, plan};

const LIMIT: Duration = Duration::from_secs(30);

/// A baresip that answers in one codec, plays 700 Hz and keeps what it hears.
pub struct Baresip {
    _process: Group,
    pub address: SocketAddr,
    dir: PathBuf,
}

impl Baresip {
    pub async fn answering(codec: Codec) -> Baresip {
        let (dir, port) = (traces::folder("baresip"), free_port());
        // Its paths are relative: baresip cuts long ones off.
        let (module, name, rate) = match codec {
            Codec::Pcmu => ("g711", "PCMU/8000/1", 8_000),
            Codec::Pcma => ("g711", "PCMA/8000/1", 8_000),
            Codec::G722 => ("g722", "G722/16000/1", 16_000),
            Codec::Opus => ("opus", "opus/48000/2", 48_000),
        };
        write_tone(&dir.join("mic.wav"), rate);
        let config = format!(
            "net_interface 127.0.0.1\nsip_listen 127.0.0.1:{port}\nmodule_path /usr/lib/baresip/modules\n\
             module {module}.so\nmodule aufile.so\nmodule sndfile.so\nmodule_tmp account.so\n\
             module_app menu.so\naudio_source aufile,./mic.wav\naudio_player aufile,./heard.wav\n\
             ausrc_srate {rate}\nauplay_srate {rate}\nausrc_channels 1\nauplay_channels 1\nsnd_path .\n"
        );
        let account = format!(
            "<sip:+14155550123@127.0.0.1:{port}>;regint=0;answermode=auto;audio_codecs={name};auth_pass=x\n"
        );
        for (file, text) in [("config", config.as_str()), ("accounts", account.as_str()), ("contacts", "")] {
            fs::write(dir.join(file), text).unwrap();
        }
        let log = File::create(dir.join("log")).unwrap();
        let mut command = Command::new("baresip");
        command.args(["-4", "-f", ".", "-s"]).current_dir(&dir);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = spawn("baresip", "baresip", &mut command);
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        eventually("baresip listens", || UdpSocket::bind(address).is_err()).await;
        Baresip { _process: process, address, dir }
    }

    /// Power at `hz` of what it decoded, in dB below full scale.
    fn heard(&self, hz: f64) -> f64 {
        let (pcm, rate) = self.decoded();
        level(&pcm, rate, hz)
    }

    /// What it decoded, complete once it has hung up, and its rate.
    pub fn decoded(&self) -> (Vec<i16>, u32) {
        let mut files = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        let dump = files.find(|path| path.to_string_lossy().ends_with("-dec.wav"));
        let Some(wav) = dump.and_then(|dump| hound::WavReader::open(dump).ok()) else {
            return (vec![], 8_000);
        };
        let (rate, channels) = (wav.spec().sample_rate, usize::from(wav.spec().channels));
        let pcm = wav.into_samples().step_by(channels).map_while(Result::ok).collect();
        (pcm, rate)
    }
}

/// A test that fails shows what baresip saw.
impl Drop for Baresip {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read(self.dir.join("log")).unwrap_or_default();
            eprintln!("--- baresip\n{}", String::from_utf8_lossy(&log));
        }
    }
}

fn tone(hz: f64, rate: u32, seconds: u32) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    (0..rate * seconds).map(|n| ((step * f64::from(n)).sin() * 8_000.0) as i16).collect()
}

fn write_tone(path: &std::path::Path, rate: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    tone(700.0, rate, 30).into_iter().for_each(|sample| wav.write_sample(sample).unwrap());
    wav.finalize().unwrap();
}

/// The level of the strongest half second at `hz`.
fn level(pcm: &[i16], rate: u32, hz: f64) -> f64 {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    let amplitude = |part: &[i16]| {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in part.iter().enumerate() {
            re += f64::from(*sample) * (step * n as f64).cos();
            im += f64::from(*sample) * (step * n as f64).sin();
        }
        2.0 * re.hypot(im) / part.len() as f64 / 32_768.0
    };
    let strongest = pcm.chunks(rate as usize / 2).map(amplitude).fold(1e-9, f64::max);
    20.0 * strongest.log10()
}

/// Calls a baresip in `codec`, plays `hz` for six seconds; gives what was heard and counted.
async fn call(baresip: &Baresip, codec: Codec, hz: f64, sockets: SocketMode) -> (Vec<i16>, MediaStats) {
    let config = sip::Config {
        bind: ([127, 0, 0, 1], 0).into(),
        trunks: vec![TrunkConfig::peer("baresip", baresip.address.into())],
        ..sip::Config::default()
    };
    let (node, _incoming) = SipNode::start(config).await.unwrap();
    let bind = media::Config { bind: [127, 0, 0, 1].into(), sockets, ..media::Config::default() };
    let plane = MediaPlane::start(bind).unwrap();
    let leg = plane.reserve().unwrap();
    let local = Local { codecs: vec![codec], ..Local::new(leg.local_addr(), 7) };
    let to = "+14155550123".parse().unwrap();
    let dial = Dial { trunk: None, to, from: None, offer: sdp::offer(&local), ring_timeout: None };
    let mut call = node.dial(dial).await.unwrap();
    let answer = loop {
        match tokio::time::timeout(LIMIT, call.signals.recv()).await.expect("an answer in time") {
            Some(Signal::Answered { sdp }) => break sdp,
            Some(Signal::Ended(end)) => panic!("{codec:?}: {end:?}"),
            Some(_) => {}
            None => panic!("the call is gone"),
        }
    };
    let agreed = sdp::accept(&local, &answer).unwrap();
    assert_eq!(agreed.codec, codec);
    let session = agreed.agreed().begin(media::jitter::Config::default(), LIMIT, 5);
    let (handle, mut events) = leg.start(session).unwrap();
    let rate = handle.rate();
    handle.play_at(UtteranceId(1), tone(hz, rate, 6), rate).unwrap();
    handle.finish(UtteranceId(1)).unwrap();
    let mut heard = Vec::new();
    while heard.len() < rate as usize * 7 {
        let event = tokio::time::timeout(LIMIT, events.recv()).await.expect("frames come");
        if let MediaEvent::Frame { pcm, .. } = event.expect("the leg lives") {
            assert_eq!(rate_of_frame(pcm.len()), rate);
            heard.extend(pcm);
        }
    }
    let stats = handle.stats().await.unwrap();
    call.handle.hang_up();
    while !matches!(
        tokio::time::timeout(LIMIT, call.signals.recv()).await.expect("an end"),
        Some(Signal::Ended(_)) | None
    ) {}
    node.shutdown().await;
    (heard, stats)
}

pub async fn both_hear(codec: Codec, hz: f64, sockets: SocketMode) {
    let baresip = Baresip::answering(codec).await;
    let (heard, stats) = call(&baresip, codec, hz, sockets).await;
    let ours = level(&heard, codec.sample_rate(), 700.0);
    assert!(ours > -20.0, "{codec:?}: we hear {ours:.1} dB at 700 Hz");
    // The header of its dump is written when the call is over.
    eventually("baresip completes its dump", || baresip.heard(hz) > -150.0).await;
    let theirs = baresip.heard(hz);
    assert!(theirs > -20.0, "{codec:?}: baresip hears {theirs:.1} dB at {hz} Hz");
    assert_eq!((stats.unknown_payload, stats.malformed, stats.strangers), (0, 0, 0), "{stats:?}");
    assert!(stats.rtcp > 0, "baresip reports every few seconds: {stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_g711_and_reports() {
    both_hear(Codec::Pcmu, 440.0, SocketMode::PerCall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_and_reports_to_a_port_that_calls_share() {
    both_hear(Codec::Pcmu, 440.0, SocketMode::Shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_g722() {
    both_hear(Codec::G722, 5_500.0, SocketMode::PerCall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_opus() {
    both_hear(Codec::Opus, 5_500.0, SocketMode::PerCall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_held_on_a_wideband_line() {
    let callee = Callee::start(Manner::answering().speaks_after_silence(1).in_codec(Codec::G722)).await;
    let script = Script::new().hears(["From nine to five."]).hangs_up_with("Thank you, goodbye.");
    let rig = Rig::start(callee.trunk(), script).await;
    let story = rig.story(rig.place(plan())).await;
    assert_eq!(story.said(callbox::call::record::Speaker::Caller), ["From nine to five."]);
    let recording = rig.recording(&story);
    assert!(recording.channels == 2 && recording.rate == 16_000, "{}", recording.rate);
    let length = story.ending().length_secs.expect("the call was answered");
    assert!((recording.seconds - length).abs() < 1.5, "{} s of {length} s", recording.seconds);
    assert!(recording.loud_share(0) > 0.02 && recording.loud_share(1) > 0.02, "both are recorded");
    assert!(callee.heard_seconds() > 1.0, "{}", callee.heard_seconds());
    rig.is_clean().await;
}
