//! baresip, a telephone of other people, as a process.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use callbox::base::audio::Codec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::eventually;
use crate::peers::{Group, free_port, spawn, traces};
use crate::ports::is_used;
use crate::tones::tone;

/// A baresip that answers in one codec, plays a tone and keeps what it hears.
pub struct Baresip {
    _process: Group,
    pub address: SocketAddr,
    control: SocketAddr,
    rate: u32,
    dir: PathBuf,
}

/// What a baresip plays: this many seconds of silence, then of a tone.
#[derive(Clone, Copy)]
pub struct Plays {
    pub silence: u32,
    pub hz: f64,
    pub seconds: u32,
}

impl Plays {
    pub const NOTHING: Plays = Plays { silence: 60, hz: 0.0, seconds: 0 };
}

/// What a baresip is made of.
pub struct Setup<'a> {
    pub number: &'a str,
    pub codec: Codec,
    pub plays: Plays,
    /// Whether it picks up by itself, or rings.
    pub picks_up: bool,
    /// Parameters of its account, each behind a semicolon.
    pub account: String,
    /// More lines of its configuration.
    pub config: String,
    /// Whom it calls.
    pub dials: Option<String>,
}

impl<'a> Setup<'a> {
    pub fn new(number: &'a str, codec: Codec, plays: Plays) -> Self {
        let (account, config) = (String::new(), String::new());
        Setup { number, codec, plays, picks_up: true, account, config, dials: None }
    }

    /// Speaks μ-law and plays 700 Hz at once; `encryption` is what its `mediaenc` says, if anything.
    pub fn encrypting(encryption: Option<&str>) -> Self {
        let plays = Plays { silence: 0, hz: 700.0, seconds: 30 };
        let account = encryption.map_or(String::new(), |how| format!(";mediaenc={how}"));
        Setup { account, ..Setup::new("+14155550123", Codec::Pcmu, plays) }
    }
}

impl Baresip {
    /// Plays 700 Hz at once.
    pub async fn answering(codec: Codec) -> Baresip {
        Baresip::start("+14155550123", codec, Plays { silence: 0, hz: 700.0, seconds: 30 }).await
    }

    /// The telephone of `number`.
    pub async fn start(number: &str, codec: Codec, plays: Plays) -> Baresip {
        Baresip::of(Setup::new(number, codec, plays)).await
    }

    /// As [`Setup::encrypting`] says. It calls `dials`, if anybody.
    pub async fn encrypting(encryption: Option<&str>, dials: Option<SocketAddr>) -> Baresip {
        let dials = dials.map(|address| format!("sip:+14155550123@{address}"));
        Baresip::of(Setup { dials, ..Setup::encrypting(encryption) }).await
    }

    pub async fn of(setup: Setup<'_>) -> Baresip {
        // The port above SIP's is its own for TLS. Its paths are relative: baresip cuts long ones off.
        let (dir, port, control) = (traces::folder("baresip"), free_port(), free_port());
        let (module, name, rate) = match setup.codec {
            Codec::Pcmu => ("g711", "PCMU/8000/1", 8_000),
            Codec::Pcma => ("g711", "PCMA/8000/1", 8_000),
            Codec::G722 => ("g722", "G722/16000/1", 16_000),
            Codec::Opus => ("opus", "opus/48000/2", 48_000),
        };
        let Plays { silence, hz, seconds } = setup.plays;
        let plays = [sound(0.0, rate, silence), sound(hz, rate, seconds)].concat();
        write_wav(&dir.join("mic.wav"), rate, &plays);
        let config = format!(
            "net_interface 127.0.0.1\nsip_listen 127.0.0.1:{port}\nmodule_path /usr/lib/baresip/modules\n\
             module {module}.so\nmodule srtp.so\nmodule aufile.so\nmodule sndfile.so\nmodule_tmp account.so\n\
             module_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{control}\n\
             audio_source aufile,./mic.wav\naudio_player aufile,./heard.wav\n\
             ausrc_srate {rate}\nauplay_srate {rate}\nausrc_channels 1\nauplay_channels 1\nsnd_path .\n{}",
            setup.config
        );
        let (number, params) = (setup.number, setup.account);
        let mode = if setup.picks_up { "auto" } else { "manual" };
        let account = format!(
            "<sip:{number}@127.0.0.1:{port}>;regint=0;answermode={mode};audio_codecs={name};auth_pass=x{params}\n"
        );
        for (file, text) in [("config", config.as_str()), ("accounts", account.as_str()), ("contacts", "")] {
            fs::write(dir.join(file), text).unwrap();
        }
        let log = File::create(dir.join("log")).unwrap();
        let mut command = Command::new("baresip");
        command.args(["-4", "-f", ".", "-s"]).current_dir(&dir);
        if let Some(uri) = setup.dials {
            command.args(["-e", &format!("/dial {uri}")]);
        }
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = spawn("baresip", "baresip", &mut command);
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        eventually("baresip listens", || is_used(port)).await;
        let control = (Ipv4Addr::LOCALHOST, control).into();
        Baresip { _process: process, address, control, rate, dir }
    }

    /// Where it speaks TLS, if it has a certificate.
    pub fn by_tls(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.address.port() + 1)
    }

    /// A tone from now on, instead of what it played.
    pub async fn sings(&self, hz: f64) {
        self.plays(&sound(hz, self.rate, 60)).await;
    }

    /// A second of a tone, and then silence.
    pub async fn says(&self, hz: f64) {
        self.plays(&[sound(hz, self.rate, 1), sound(0.0, self.rate, 60)].concat()).await;
    }

    pub async fn is_silent(&self) {
        self.plays(&sound(0.0, self.rate, 60)).await;
    }

    async fn plays(&self, pcm: &[i16]) {
        let file = "switched.wav";
        write_wav(&self.dir.join(file), self.rate, pcm);
        self.does("ausrc", &format!("aufile,./{file}")).await;
    }

    pub async fn presses(&self, digit: char) {
        self.does("sndcode", &digit.to_string()).await;
    }

    /// Of a call that rings: refuses it.
    pub async fn hangs_up(&self) {
        self.does("hangup", "").await;
    }

    /// A command of its menu, by netstrings of JSON.
    async fn does(&self, command: &str, parameter: &str) {
        let order = format!(r#"{{"command":"{command}","params":"{parameter}"}}"#);
        let mut control = TcpStream::connect(self.control).await.unwrap();
        control.write_all(format!("{}:{order},", order.len()).as_bytes()).await.unwrap();
        let mut said = Vec::new();
        // Events come in between.
        let answer = |said: &[u8]| {
            let said = String::from_utf8_lossy(said);
            Some(said.split_once(r#""response":true,"ok":"#)?.1.chars().next()? == 't')
        };
        while answer(&said).is_none() {
            let read = tokio::time::timeout(Duration::from_secs(20), control.read_buf(&mut said)).await;
            assert!(read.expect("an answer to a command").unwrap() > 0, "baresip lives");
        }
        assert_eq!(answer(&said), Some(true), "{command}: {}", String::from_utf8_lossy(&said));
    }

    /// Waits for something in its log, which has every SIP message.
    pub async fn notes(&self, text: &str) {
        eventually(&format!("baresip notes {text}"), || self.log().contains(text)).await;
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until the other side has spoken for so many seconds and then been silent for one.
    pub async fn hears_out(&self, seconds: usize) {
        let (second, frame) = (self.rate as usize, self.rate as usize / 50);
        let spoken = || {
            let pcm = self.dumps().flat_map(|(pcm, _)| pcm).collect::<Vec<_>>();
            let is_loud = |frame: &&[i16]| frame.iter().any(|sample| sample.unsigned_abs() > 1_500);
            let loud = pcm.chunks(frame).filter(is_loud).count() * frame;
            let silent = pcm.rchunks(frame).take_while(|frame| !is_loud(frame)).count() * frame;
            loud >= seconds * second && silent > second
        };
        eventually("the other side has spoken", spoken).await;
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

    /// Power at `hz` of what it decoded in any of its calls so far, in dB below full scale.
    pub fn heard(&self, hz: f64) -> f64 {
        self.dumps().map(|(pcm, rate)| level(&pcm, rate, hz)).fold(-180.0, f64::max)
    }

    /// How many seconds of what it decoded so far are a tone of `hz`.
    pub fn seconds_of(&self, hz: f64) -> f64 {
        let is_tone = |part: &&[i16], rate| level(part, rate, hz) > -25.0;
        let tenths = |(pcm, rate): (Vec<i16>, u32)| {
            pcm.chunks_exact(rate as usize / 10).filter(|part| is_tone(part, rate)).count()
        };
        self.dumps().map(tenths).sum::<usize>() as f64 / 10.0
    }

    /// What it decoded so far, by calls, with the rate.
    fn dumps(&self) -> impl Iterator<Item = (Vec<i16>, u32)> {
        let files = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).filter_map(|dump| dumped(&dump))
    }
}

/// A test that fails shows what baresip saw.
impl Drop for Baresip {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- baresip\n{}", self.log());
        }
    }
}

/// A dump's length is written into it when its call is over: what stands there before is read all the same.
fn dumped(dump: &Path) -> Option<(Vec<i16>, u32)> {
    const HEADER: usize = 44;
    let bytes = fs::read(dump).ok().filter(|bytes| bytes.len() > HEADER)?;
    let channels = usize::from(u16::from_le_bytes([bytes[22], bytes[23]]));
    let rate = u32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]);
    let samples = bytes[HEADER..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    Some((samples.step_by(channels).collect(), rate))
}

/// Seconds of a tone; silence at 0 Hz.
fn sound(hz: f64, rate: u32, seconds: u32) -> Vec<i16> {
    tone(hz, (rate * seconds) as usize, rate)
}

fn write_wav(path: &Path, rate: u32, pcm: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    pcm.iter().for_each(|sample| wav.write_sample(*sample).unwrap());
    wav.finalize().unwrap();
}

/// The level of the strongest half second at `hz`.
pub fn level(pcm: &[i16], rate: u32, hz: f64) -> f64 {
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
