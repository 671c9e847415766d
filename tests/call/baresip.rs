//! baresip, a telephone of other people, as a process.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use callbox::base::audio::Codec;

use crate::eventually;
use crate::peers::{Group, free_port, spawn, traces};

/// A baresip that answers in one codec, plays a tone and keeps what it hears.
pub struct Baresip {
    _process: Group,
    pub address: SocketAddr,
    dir: PathBuf,
}

/// What a baresip plays: this many seconds of silence, then of a tone.
#[derive(Clone, Copy)]
pub struct Plays {
    pub silence: u32,
    pub hz: f64,
    pub seconds: u32,
}

impl Baresip {
    /// Plays 700 Hz at once.
    pub async fn answering(codec: Codec) -> Baresip {
        Baresip::start("+14155550123", codec, Plays { silence: 0, hz: 700.0, seconds: 30 }).await
    }

    /// The telephone of `number`.
    pub async fn start(number: &str, codec: Codec, plays: Plays) -> Baresip {
        Baresip::with(number, codec, plays, &[], "").await
    }

    /// Speaks μ-law and plays 700 Hz at once; `encryption` is what its `mediaenc` says, if anything. It calls
    /// `dials`, if anybody.
    pub async fn encrypting(encryption: Option<&str>, dials: Option<SocketAddr>) -> Baresip {
        let account = encryption.map_or(String::new(), |how| format!(";mediaenc={how}"));
        let dial = dials.map(|address| format!("/dial sip:+14155550123@{address}"));
        let command: Vec<_> = dial.iter().flat_map(|dial| ["-e", dial]).collect();
        let plays = Plays { silence: 0, hz: 700.0, seconds: 30 };
        Baresip::with("+14155550123", Codec::Pcmu, plays, &command, &account).await
    }

    async fn with(number: &str, codec: Codec, plays: Plays, extra: &[&str], account: &str) -> Baresip {
        // Its paths are relative: baresip cuts long ones off.
        let (dir, port) = (traces::folder("baresip"), free_port());
        let (module, name, rate) = match codec {
            Codec::Pcmu => ("g711", "PCMU/8000/1", 8_000),
            Codec::Pcma => ("g711", "PCMA/8000/1", 8_000),
            Codec::G722 => ("g722", "G722/16000/1", 16_000),
            Codec::Opus => ("opus", "opus/48000/2", 48_000),
        };
        write_tone(&dir.join("mic.wav"), rate, plays);
        let config = format!(
            "net_interface 127.0.0.1\nsip_listen 127.0.0.1:{port}\nmodule_path /usr/lib/baresip/modules\n\
             module {module}.so\nmodule srtp.so\nmodule aufile.so\nmodule sndfile.so\nmodule_tmp account.so\n\
             module_app menu.so\naudio_source aufile,./mic.wav\naudio_player aufile,./heard.wav\n\
             ausrc_srate {rate}\nauplay_srate {rate}\nausrc_channels 1\nauplay_channels 1\nsnd_path .\n"
        );
        let account = format!(
            "<sip:{number}@127.0.0.1:{port}>;regint=0;answermode=auto;audio_codecs={name};auth_pass=x{account}\n"
        );
        for (file, text) in [("config", config.as_str()), ("accounts", account.as_str()), ("contacts", "")] {
            fs::write(dir.join(file), text).unwrap();
        }
        let log = File::create(dir.join("log")).unwrap();
        let mut command = Command::new("baresip");
        command.args(["-4", "-f", ".", "-s"]).args(extra).current_dir(&dir);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = spawn("baresip", "baresip", &mut command);
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        eventually("baresip listens", || UdpSocket::bind(address).is_err()).await;
        Baresip { _process: process, address, dir }
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
        let files = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        let dumps = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
        dumps.filter_map(|dump| level_of(&dump, hz)).fold(-180.0, f64::max)
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

/// A dump's length is written into it when its call is over: what stands there before is read all the same.
fn level_of(dump: &Path, hz: f64) -> Option<f64> {
    const HEADER: usize = 44;
    let bytes = fs::read(dump).ok().filter(|bytes| bytes.len() > HEADER)?;
    let channels = usize::from(u16::from_le_bytes([bytes[22], bytes[23]]));
    let rate = u32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]);
    let samples = bytes[HEADER..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    let pcm: Vec<i16> = samples.step_by(channels).collect();
    Some(level(&pcm, rate, hz))
}

pub fn tone(hz: f64, rate: u32, seconds: u32) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    (0..rate * seconds).map(|n| ((step * f64::from(n)).sin() * 8_000.0) as i16).collect()
}

fn write_tone(path: &Path, rate: u32, plays: Plays) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    let silence = vec![0; (rate * plays.silence) as usize];
    let pcm = silence.into_iter().chain(tone(plays.hz, rate, plays.seconds));
    pcm.for_each(|sample| wav.write_sample(sample).unwrap());
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
