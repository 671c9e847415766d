//! How a call steers its leg.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
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
        playout::{CAPACITY, PlayoutFull, UtteranceId},
        recording::{RecordingError, RecordingSummary},
        ringback::Ringback,
        session::{MediaStats, SessionUpdate},
    },
};

/// Commands that may wait for the leg's next tick.
pub(super) const COMMANDS: usize = 64;

pub(super) enum Command {
    Play(UtteranceId, Vec<i16>),
    Finish(UtteranceId),
    StopPlaying,
    SendFrom(Source),
    SendDtmf(String, oneshot::Sender<Result<(), DtmfError>>),
    Update(SessionUpdate),
    Record(PathBuf),
    StopRecording(oneshot::Sender<Result<RecordingSummary, RecordingError>>),
    Stats(oneshot::Sender<MediaStats>),
}

/// What a leg sends.
pub(super) enum Source {
    Playout,
    Ringback(Ringback),
    Bridge(Crossing),
}

/// What handle and leg both see.
#[derive(Default)]
pub(super) struct Shared {
    /// Samples on their way to the wire: in commands and in the playout.
    pub queued: AtomicUsize,
    pub closed: AtomicBool,
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

pub(super) fn channel(local: SocketAddr) -> (MediaHandle, Commands) {
    let (commands, receiver) = mpsc::sync_channel(COMMANDS);
    let shared = Arc::new(Shared::default());
    (MediaHandle { local, commands, shared: shared.clone() }, Commands { receiver, shared })
}

impl MediaHandle {
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Queues 8 kHz audio behind what already waits. Ids grow from one utterance to the next; audio
    /// for one that was stopped is thrown away. [`MediaError::PlayoutFull`] takes none of it.
    pub fn play(&self, utterance: UtteranceId, pcm: Vec<i16>) -> Result<(), MediaError> {
        let samples = pcm.len();
        let before = self.shared.queued.fetch_add(samples, Ordering::Relaxed);
        let result = if before + samples > CAPACITY {
            Err(PlayoutFull { queued: to_duration(before), offered: to_duration(samples) }.into())
        } else {
            self.send(Command::Play(utterance, pcm))
        };
        if result.is_err() {
            self.shared.queued.fetch_sub(samples, Ordering::Relaxed);
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
    /// codecs; keys are not audio and are not passed on. On an error both legs play again.
    pub fn bridge(&self, other: &MediaHandle) -> Result<(), MediaError> {
        let (ours, theirs) = crossing::pair();
        self.send(Command::SendFrom(Source::Bridge(ours)))?;
        other.send(Command::SendFrom(Source::Bridge(theirs))).inspect_err(|_| drop(self.play_again()))
    }

    /// Audio that waits to be sent.
    pub fn queued(&self) -> Duration {
        to_duration(self.shared.queued.load(Ordering::Relaxed))
    }

    /// Sends digits; resolves once they are queued.
    pub async fn send_dtmf(&self, digits: &str) -> Result<(), MediaError> {
        let (reply, result) = oneshot::channel();
        self.send(Command::SendDtmf(digits.to_owned(), reply))?;
        Ok(result.await.map_err(|_| MediaError::Closed)??)
    }

    /// Takes what a re-INVITE agreed on.
    pub fn update(&self, update: SessionUpdate) -> Result<(), MediaError> {
        self.send(Command::Update(update))
    }

    /// Begins to record both sides to a WAV file at `path`, ending a recording under way. What goes
    /// wrong is told by [`MediaHandle::stop_recording`].
    pub fn record(&self, path: PathBuf) -> Result<(), MediaError> {
        self.send(Command::Record(path))
    }

    /// Ends the recording; resolves once the file is complete. A leg that closes ends its recording
    /// too.
    pub async fn stop_recording(&self) -> Result<RecordingSummary, MediaError> {
        let (reply, summary) = oneshot::channel();
        self.send(Command::StopRecording(reply))?;
        Ok(summary.await.map_err(|_| MediaError::Closed)??)
    }

    pub async fn stats(&self) -> Result<MediaStats, MediaError> {
        let (reply, stats) = oneshot::channel();
        self.send(Command::Stats(reply))?;
        stats.await.map_err(|_| MediaError::Closed)
    }

    /// Ends the leg at its next tick, whoever else holds a handle.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Relaxed);
    }

    fn send(&self, command: Command) -> Result<(), MediaError> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => MediaError::Busy,
            TrySendError::Disconnected(_) => MediaError::Closed,
        })
    }
}

fn to_duration(samples: usize) -> Duration {
    duration_of(samples as u64, NARROWBAND_HZ)
}
