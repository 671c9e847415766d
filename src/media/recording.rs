//! Stereo recordings, WAV or Opus, written by one background thread.
//!
//! Left is the far end, right is us, at the rate that the line has when the recording begins; if the line
//! changes its rate, what follows is brought to the first. The file grows as `NAME.wav.part` or
//! `NAME.ogg.part`; every second or so it is made whole, hence it can be opened even when the process was
//! killed in the middle of a call. When the recording ends the file gets its name in one step.
//!
//! The media threads never wait for a recording: they push blocks into a [`Queue`] that refuses them when
//! it is full. One thread writes and encodes, at a lower priority than theirs, so all recordings of a node
//! have a core at most. Behind by an eighth of the queue, it spends less work on Opus; where that is not enough either,
//! blocks are refused, counted, and silent in the file.

mod file;
mod ogg_opus;
mod wav;

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use self::file::{Effort, File};
use super::{resample::stretched, tap::Tap};
use crate::base::audio::{NARROWBAND_HZ, duration_of};

/// Of the recorder's thread; that of the others is 0, and higher values give way to lower ones.
const NICENESS: i32 = 5;

/// What became of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingSummary {
    pub path: PathBuf,
    pub duration: Duration,
    /// Samples of 8 kHz, of each channel, that were dropped because disk or encoder were slower than the calls. They
    /// are silence in the file.
    pub dropped_samples: u64,
}

impl RecordingSummary {
    /// What was dropped, as a time.
    pub fn dropped(&self) -> Duration {
        duration_of(self.dropped_samples, NARROWBAND_HZ)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("no recording is under way")]
    NotRecording,
    #[error("recording {path} failed: {source}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("recording {path} could not be given its name: {source}", path = path.display())]
    Rename { path: PathBuf, source: io::Error },
    #[error("the media plane has shut down")]
    Closed,
}

/// Names a recording inside one [`Recorder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordingId(u64);

/// Stereo samples and where they belong.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// In samples of 8 kHz from the beginning of the recording.
    pub start: u64,
    /// Of the samples, in Hz.
    pub rate: u32,
    pub stereo: Vec<[i16; 2]>,
}

impl Block {
    /// Where it ends, counted as `start` is.
    pub fn end(&self) -> u64 {
        let rate = u64::from(self.rate.max(1));
        self.start + self.stereo.len() as u64 * u64::from(NARROWBAND_HZ) / rate
    }

    /// The samples at `rate`.
    fn at(&self, rate: u32) -> Cow<'_, [[i16; 2]]> {
        if self.rate == rate {
            return Cow::Borrowed(&self.stereo);
        }
        let side = |n: usize| {
            let pcm: Vec<i16> = self.stereo.iter().map(|both| both[n]).collect();
            stretched(&pcm, self.rate, rate)
        };
        side(0).into_iter().zip(side(1)).map(|(left, right)| [left, right]).collect()
    }
}

type Reply = oneshot::Sender<Result<RecordingSummary, RecordingError>>;

enum Message {
    /// With the rate of its file.
    Start(RecordingId, PathBuf, u32),
    Block(RecordingId, Block),
    Finish(RecordingId, Option<Reply>),
    Shutdown,
}

/// What the media threads hand to the recorder. Blocks are refused when it is full; the messages that
/// begin and end a recording always get in, of which a call has few.
pub struct Queue {
    messages: Mutex<VecDeque<Message>>,
    wake: Condvar,
    capacity: usize,
    dropped: Mutex<HashMap<RecordingId, u64>>,
}

impl Queue {
    fn new(capacity: usize) -> Self {
        Queue { messages: Mutex::default(), wake: Condvar::new(), capacity, dropped: Mutex::default() }
    }

    /// Never waits for the disk.
    pub fn push_block(&self, id: RecordingId, block: Block) {
        let mut messages = self.messages.lock();
        if messages.len() >= self.capacity {
            drop(messages);
            *self.dropped.lock().entry(id).or_default() += block.end() - block.start;
            return;
        }
        messages.push_back(Message::Block(id, block));
        self.wake.notify_one();
    }

    fn push(&self, message: Message) {
        self.messages.lock().push_back(message);
        self.wake.notify_one();
    }

    /// The next message, and how much work it may take.
    fn pop(&self) -> (Message, Effort) {
        let mut messages = self.messages.lock();
        loop {
            match messages.pop_front() {
                Some(message) if messages.len() > self.capacity / 8 => return (message, Effort::Hurried),
                Some(message) => return (message, Effort::Calm),
                None => self.wake.wait(&mut messages),
            }
        }
    }
}

/// The thread that writes all recordings of a node. Dropping it writes what is queued, finishes every
/// file and joins.
pub struct Recorder {
    queue: Arc<Queue>,
    next_id: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// `capacity` blocks of half a second may wait; files are made whole after `flush_every` of audio.
    pub fn start(capacity: usize, flush_every: Duration) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(capacity));
        let theirs = queue.clone();
        let body = move || {
            // `None` is this thread. What cannot be lowered stays: recordings compete, and that is all.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            Files { flush_every, ..Files::default() }.serve(&theirs);
        };
        let thread = thread::Builder::new().name("media-recorder".into()).spawn(body)?;
        Ok(Recorder { queue, next_id: AtomicU64::new(0), thread: Some(thread) })
    }

    /// Begins a recording at `rate` Hz that ends up at `path`: Opus if that ends in `.ogg`, else WAV. Errors
    /// come with its summary.
    pub fn begin(&self, path: PathBuf, rate: u32) -> Tap {
        let id = RecordingId(self.next_id.fetch_add(1, Ordering::Relaxed));
        self.queue.push(Message::Start(id, path, rate));
        Tap::new(id, self.queue.clone())
    }

    /// Ends a recording, and tells `reply` what became of it.
    pub fn finish(&self, mut tap: Tap, reply: Option<Reply>) {
        tap.flush();
        self.queue.push(Message::Finish(tap.id(), reply));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue.push(Message::Shutdown);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the recorder thread panicked; recordings may end early");
        }
    }
}

/// The open files, on the recorder's thread.
#[derive(Default)]
struct Files {
    flush_every: Duration,
    open: HashMap<RecordingId, Result<File, RecordingError>>,
}

impl Files {
    fn serve(&mut self, queue: &Queue) {
        loop {
            let (message, effort) = queue.pop();
            match message {
                Message::Start(id, path, rate) => drop(self.open.insert(id, File::create(path, rate))),
                Message::Block(id, block) => self.write(id, &block, effort),
                Message::Finish(id, reply) => self.finish(queue, id, reply),
                Message::Shutdown => break,
            }
        }
        let ids: Vec<RecordingId> = self.open.keys().copied().collect();
        ids.into_iter().for_each(|id| self.finish(queue, id, None));
    }

    fn write(&mut self, id: RecordingId, block: &Block, effort: Effort) {
        let Some(entry) = self.open.get_mut(&id) else { return };
        if let Ok(file) = entry
            && let Err(source) = file.write(block, effort, self.flush_every)
        {
            *entry = Err(RecordingError::Write { path: file.path.clone(), source });
        }
    }

    fn finish(&mut self, queue: &Queue, id: RecordingId, reply: Option<Reply>) {
        let dropped = queue.dropped.lock().remove(&id).unwrap_or(0);
        let file = self.open.remove(&id).unwrap_or(Err(RecordingError::NotRecording));
        let result = file.and_then(|file| file.finish(dropped));
        if let Err(error) = &result {
            tracing::error!(%error, "a recording is lost or incomplete");
        }
        if let Some(reply) = reply {
            // Whoever asked may have gone; the file is complete all the same.
            let _ = reply.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{file::part_path, *};
    use crate::media::{jitter::FRAME_SAMPLES, tap::TapFrame};

    fn frame(start: u64, left: i16) -> TapFrame {
        TapFrame { start, rate: NARROWBAND_HZ, stereo: vec![[left, -left]; FRAME_SAMPLES] }
    }

    fn finish(recorder: &Recorder, tap: Tap) -> Result<RecordingSummary, RecordingError> {
        let (reply, summary) = oneshot::channel();
        recorder.finish(tap, Some(reply));
        summary.blocking_recv().unwrap()
    }

    #[test]
    fn a_recording_has_both_channels_and_shows_gaps_as_silence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/call.wav");
        let recorder = Recorder::start(16, Duration::from_secs(1)).unwrap();
        let mut tap = recorder.begin(path.clone(), NARROWBAND_HZ);
        tap.push(&frame(800, 1));
        tap.push(&frame(960, 2));
        tap.push(&frame(1_280, 3));
        let summary = finish(&recorder, tap).unwrap();
        let expected =
            RecordingSummary { path: path.clone(), duration: Duration::from_millis(80), dropped_samples: 0 };
        assert_eq!(summary, expected);
        let samples: Vec<i16> =
            hound::WavReader::open(&path).unwrap().into_samples().map(Result::unwrap).collect();
        let at = |i: usize| (samples[2 * i * FRAME_SAMPLES], samples[2 * i * FRAME_SAMPLES + 1]);
        assert_eq!([at(0), at(1), at(2), at(3)], [(1, -1), (2, -2), (0, 0), (3, -3)]);
        assert!(!part_path(&path).exists());
    }

    #[test]
    fn a_recording_keeps_its_rate_when_the_line_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let recorder = Recorder::start(16, Duration::from_secs(1)).unwrap();
        let mut tap = recorder.begin(path.clone(), 16_000);
        let wide = |start| TapFrame { start, rate: 16_000, stereo: vec![[5, 6]; 320] };
        tap.push(&wide(0));
        tap.push(&frame(160, 7));
        tap.push(&wide(320));
        assert_eq!(finish(&recorder, tap).unwrap().duration, Duration::from_millis(60));
        let wav = hound::WavReader::open(&path).unwrap();
        assert_eq!(wav.spec().sample_rate, 16_000);
        let samples: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
        assert_eq!(
            [samples[0], samples[640], samples[641], samples[1_200], samples[1_280]],
            [5, 7, -7, 7, 5]
        );
    }

    #[test]
    fn a_file_of_a_killed_process_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let mut file = File::create(path.clone(), NARROWBAND_HZ).unwrap();
        let block = Block { start: 0, rate: NARROWBAND_HZ, stereo: vec![[7, 8]; 4_000] };
        file.write(&block, Effort::Calm, Duration::from_millis(100)).unwrap();
        std::mem::forget(file);
        let reader = hound::WavReader::open(part_path(&path)).unwrap();
        assert_eq!((reader.duration(), path.exists()), (4_000, false));
    }

    #[test]
    fn a_full_queue_drops_blocks_and_counts_them() {
        let queue = Arc::new(Queue::new(2));
        let mut tap = Tap::new(RecordingId(0), queue.clone());
        for n in 0..100 {
            tap.push(&frame(n * 160, 1));
        }
        assert_eq!(queue.messages.lock().len(), 2);
        assert_eq!(queue.dropped.lock()[&RecordingId(0)], 2 * 4_000);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_at_the_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let recorder = Recorder::start(16, Duration::from_secs(1)).unwrap();
        let mut tap = recorder.begin(file.path().join("call.wav"), NARROWBAND_HZ);
        tap.push(&frame(0, 1));
        assert!(matches!(finish(&recorder, tap), Err(RecordingError::Write { .. })));
    }

    #[test]
    fn dropping_the_recorder_finishes_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let recorder = Recorder::start(16, Duration::from_secs(1)).unwrap();
        let mut tap = recorder.begin(path.clone(), NARROWBAND_HZ);
        (0..30).for_each(|n| tap.push(&frame(n * 160, 1)));
        drop(recorder);
        assert_eq!(hound::WavReader::open(&path).unwrap().duration(), 25 * 160);
    }
}
