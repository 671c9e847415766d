//! How a call steers its leg.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    MediaError,
    crossing::{self, Crossing},
};
use crate::{
    base::audio::{NARROWBAND_HZ, duration_of},
    media::{
        dtmf::DtmfError,
        playout::{CAPACITY, PlayoutFull, UtteranceId, narrow},
        recording::{RecordingError, RecordingSummary},
        ringback::Ringback,
        session::{MediaStats, SessionUpdate},
    },
};

/// Commands that may wait for the leg's next tick.
pub(super) const COMMANDS: usize = 64;

pub(super) enum Command {
    /// With the rate of its samples.
    Play(UtteranceId, Vec<i16>, u32),
    Finish(UtteranceId),
    StopPlaying,
    SendFrom(Source),
    SendDtmf(String, oneshot::Sender<Result<(), DtmfError>>),
    Update(SessionUpdate),
    Record(PathBuf, Reply),
    Stats(oneshot::Sender<MediaStats>),
    /// An error of ours.
    #[cfg(test)]
    Panic,
}

/// Told what became of a recording.
pub(super) type Reply = oneshot::Sender<Result<RecordingSummary, RecordingError>>;

/// What a leg sends.
pub(super) enum Source {
    Playout,
    Ringback(Ringback),
    Bridge(Crossing),
}

/// What handle and leg both see.
pub(super) struct Shared {
    /// Samples of 8 kHz on their way to the wire: in commands, and in the playout.
    pub commanded: AtomicUsize,
    pub playing: AtomicUsize,
    /// Samples a second of the line's audio.
    pub rate: AtomicU32,
    pub closed: AtomicBool,
    /// Commands wait: a leg looks here at every tick, and into the queue only then.
    pub commanding: AtomicBool,
}

/// Steers one leg. Commands take effect at the leg's next tick, at most 20 ms later, in order.
#[derive(Clone)]
pub struct MediaHandle {
    local: SocketAddr,
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
}

/// The leg's end of a handle. Disconnected once every handle is gone.
pub(super) struct Commands {
    pub receiver: Receiver<Command>,
    pub shared: Arc<Shared>,
}

pub(super) fn channel(local: SocketAddr, rate: u32) -> (MediaHandle, Commands) {
    let (commands, receiver) = mpsc::sync_channel(COMMANDS);
    let shared = Arc::new(Shared {
        commanded: AtomicUsize::new(0),
        playing: AtomicUsize::new(0),
        rate: AtomicU32::new(rate),
        closed: AtomicBool::new(false),
        commanding: AtomicBool::new(false),
    });
    (MediaHandle { local, commands, shared: shared.clone() }, Commands { receiver, shared })
}

impl MediaHandle {
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Samples a second of the line's audio: 8 kHz, or 16 kHz while the codec is wideband.
    pub fn rate(&self) -> u32 {
        self.shared.rate.load(Ordering::Relaxed)
    }

    /// Queues 8 kHz audio, as [`MediaHandle::play_at`] does.
    pub fn play(&self, utterance: UtteranceId, pcm: Vec<i16>) -> Result<(), MediaError> {
        self.play_at(utterance, pcm, NARROWBAND_HZ)
    }

    /// Queues audio at `rate` Hz behind what already waits; at [`MediaHandle::rate`] it is taken as it
    /// is. Ids grow from one utterance to the next; audio for one that was stopped is thrown away.
    /// [`MediaError::PlayoutFull`] takes none of it.
    pub fn play_at(&self, utterance: UtteranceId, pcm: Vec<i16>, rate: u32) -> Result<(), MediaError> {
        let samples = narrow(pcm.len(), rate);
        let commanded = self.shared.commanded.fetch_add(samples, Ordering::Relaxed);
        let before = commanded + self.shared.playing.load(Ordering::Relaxed);
        let result = if before + samples > CAPACITY {
            Err(PlayoutFull { queued: to_duration(before), offered: to_duration(samples) }.into())
        } else {
            self.send(Command::Play(utterance, pcm, rate))
        };
        if result.is_err() {
            self.shared.commanded.fetch_sub(samples, Ordering::Relaxed);
        }
        result
    }

    /// No more audio will come for the utterance.
    pub fn finish(&self, utterance: UtteranceId) -> Result<(), MediaError> {
        self.send(Command::Finish(utterance))
    }

    /// Drops what waits; [`MediaEvent::Stopped`](crate::media::MediaEvent::Stopped) tells how much of
    /// each utterance was sent.
    pub fn stop_playing(&self) -> Result<(), MediaError> {
        self.send(Command::StopPlaying)
    }

    /// The far end hears that a phone rings, until [`MediaHandle::play_again`] or [`MediaHandle::bridge`].
    pub fn ring_back(&self, tone: Ringback) -> Result<(), MediaError> {
        self.send(Command::SendFrom(Source::Ringback(tone)))
    }

    /// Back to what is played.
    pub fn play_again(&self) -> Result<(), MediaError> {
        self.send(Command::SendFrom(Source::Playout))
    }

    /// The far ends of both legs hear each other, for as long as both legs live. The two may have different
    /// codecs; keys that come as events are not passed on. On an error both legs play again.
    pub fn bridge(&self, other: &MediaHandle) -> Result<(), MediaError> {
        let (ours, theirs) = crossing::pair();
        self.send(Command::SendFrom(Source::Bridge(ours)))?;
        other.send(Command::SendFrom(Source::Bridge(theirs))).inspect_err(|_| drop(self.play_again()))
    }

    /// Audio that waits to be sent.
    pub fn queued(&self) -> Duration {
        let Shared { commanded, playing, .. } = &*self.shared;
        to_duration(commanded.load(Ordering::Relaxed) + playing.load(Ordering::Relaxed))
    }

    /// Sends digits; resolves once they are queued.
    pub async fn send_dtmf(&self, digits: &str) -> Result<(), MediaError> {
        let (reply, result) = oneshot::channel();
        self.send(Command::SendDtmf(digits.to_owned(), reply))?;
        Ok(result.await.map_err(|_| MediaError::Closed)??)
    }

    /// Sends one digit behind those that wait, whether or not they can be sent.
    pub fn press(&self, digit: char) -> Result<(), MediaError> {
        let (reply, _) = oneshot::channel();
        self.send(Command::SendDtmf(digit.into(), reply))
    }

    /// Takes what a re-INVITE agreed on.
    pub fn update(&self, update: SessionUpdate) -> Result<(), MediaError> {
        self.send(Command::Update(update))
    }

    /// Begins to record both sides to `path`, ending a recording under way: Opus if the name ends in `.ogg`,
    /// else WAV. It ends with the leg, however that ends.
    pub fn record(&self, path: PathBuf) -> Result<Recorded, MediaError> {
        let (reply, summary) = oneshot::channel();
        self.send(Command::Record(path, reply))?;
        Ok(Recorded(summary))
    }

    /// As they are at the leg's next tick, which may be its last.
    pub fn stats(&self) -> impl Future<Output = Result<MediaStats, MediaError>> + Send + use<> {
        let (reply, stats) = oneshot::channel();
        let asked = self.send(Command::Stats(reply));
        async move {
            asked?;
            stats.await.map_err(|_| MediaError::Closed)
        }
    }

    #[cfg(test)]
    pub(super) fn panic(&self) -> Result<(), MediaError> {
        self.send(Command::Panic)
    }

    /// Ends the leg at its next tick, whoever else holds a handle. What was commanded before is done.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
    }

    fn send(&self, command: Command) -> Result<(), MediaError> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => MediaError::Busy,
            TrySendError::Disconnected(_) => MediaError::Closed,
        })?;
        self.shared.commanding.store(true, Ordering::Release);
        Ok(())
    }
}

/// A recording under way.
#[derive(Debug)]
pub struct Recorded(oneshot::Receiver<Result<RecordingSummary, RecordingError>>);

impl Recorded {
    /// Waits until the recording has ended, by the end of its leg or of all legs, and its file is complete.
    pub async fn summary(self) -> Result<RecordingSummary, RecordingError> {
        self.0.await.unwrap_or(Err(RecordingError::Closed))
    }
}

fn to_duration(samples: usize) -> Duration {
    duration_of(samples as u64, NARROWBAND_HZ)
}
