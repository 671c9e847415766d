//! One live leg on a media thread: its session, its socket, its queues.

use std::{
    collections::VecDeque,
    sync::{atomic::Ordering, mpsc::TryRecvError},
    time::Instant,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    PortLease, Presence,
    crossing::Crossing,
    handle::{COMMANDS, Command, Commands, Source, narrow},
    sockets::Sockets,
};
use crate::media::{
    recording::{Recorder, RecordingError, RecordingSummary},
    relay::Relay,
    ringback::Ringing,
    session::{Feed, MediaEvent, MediaStats, Output, Session, SessionConfig},
    tap::Tap,
};

/// Datagrams read in one tick. A flood beyond this stays in the kernel, which drops it.
const READS_PER_TICK: usize = 32;
/// Of RTCP: a far end sends one in seconds.
const REPORTS_PER_TICK: usize = 4;
/// Longer than any RTP packet that makes sense.
pub const MAX_DATAGRAM: usize = 2_048;

pub struct LiveLeg {
    sockets: Sockets,
    session: State,
    commands: Commands,
    events: EventSink,
    tap: Option<Tap>,
    /// To the leg that this one is bridged with.
    crossing: Option<Crossing>,
    send_errors: u64,
    _presence: (PortLease, Presence),
}

enum State {
    /// Not yet ticked: the first tick fixes the leg's phase.
    Waiting(Box<SessionConfig>),
    Live(Box<Session>),
}

impl LiveLeg {
    pub(super) fn new(
        sockets: Sockets,
        config: SessionConfig,
        commands: Commands,
        events: EventSink,
        presence: (PortLease, Presence),
    ) -> Self {
        LiveLeg {
            sockets,
            session: State::Waiting(Box::new(config)),
            commands,
            events,
            tap: None,
            crossing: None,
            send_errors: 0,
            _presence: presence,
        }
    }

    /// Begins the session, whose first tick is due at `at`.
    pub fn begin(&mut self, at: Instant) {
        if let State::Waiting(config) = &self.session {
            self.session = State::Live(Box::new(Session::new((**config).clone(), at)));
        }
    }

    /// Everything that a tick does. `false` once the leg is to be closed.
    pub fn tick(&mut self, recorder: &Recorder, buffer: &mut [u8; MAX_DATAGRAM]) -> bool {
        if !self.take_commands(recorder) || self.commands.shared.closed.load(Ordering::Relaxed) {
            return false;
        }
        let State::Live(session) = &mut self.session else { return true };
        let now = Instant::now();
        for _ in 0..READS_PER_TICK {
            // Errors are of packets sent earlier (ICMP) or mean that nothing is left.
            let Ok((len, from)) = self.sockets.rtp.recv_from(buffer) else { break };
            session.handle_datagram(now, from, &buffer[..len]);
        }
        for _ in 0..REPORTS_PER_TICK {
            let Ok((len, from)) = self.sockets.rtcp.recv_from(buffer) else { break };
            session.handle_rtcp(now, from, &buffer[..len]);
        }
        for frame in self.crossing.iter().flat_map(Crossing::frames) {
            session.relay(frame);
        }
        session.handle_timeout(now);
        self.deliver();
        true
    }

    /// Ends the leg in order: the far end's media plane is told, the recording is completed.
    pub fn close(mut self, recorder: &Recorder) {
        if let State::Live(session) = &mut self.session {
            session.close(Instant::now());
            self.deliver();
        }
        if let Some(tap) = self.tap.take() {
            recorder.finish(tap, None);
        }
    }

    fn deliver(&mut self) {
        let State::Live(session) = &mut self.session else { return };
        // Before the events, so that whoever learns that audio is gone finds room for more.
        self.commands.shared.playing.store(session.queued(), Ordering::Relaxed);
        while let Some(output) = session.poll_output() {
            match output {
                Output::Transmit { to, datagram } => {
                    self.send_errors += u64::from(self.sockets.rtp.send_to(&datagram, to).is_err());
                }
                Output::Report { to, mux, datagram } => {
                    let socket = if mux { &self.sockets.rtp } else { &self.sockets.rtcp };
                    // A far end without RTCP refuses every one: that is no error of the call.
                    let _ = socket.send_to(&datagram, to);
                }
                Output::Event(event) => {
                    if let (Some(crossing), MediaEvent::Frame { pcm, .. }) = (&self.crossing, &event) {
                        crossing.push(pcm.clone());
                    }
                    self.events.send(event);
                }
                Output::Tap(frame) => self.tap.iter_mut().for_each(|tap| tap.push(&frame)),
            }
        }
        self.events.flush();
    }

    /// `false` once nobody can command any more.
    fn take_commands(&mut self, recorder: &Recorder) -> bool {
        for _ in 0..COMMANDS {
            match self.commands.receiver.try_recv() {
                Ok(command) => self.obey(command, recorder),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn obey(&mut self, command: Command, recorder: &Recorder) {
        let State::Live(session) = &mut self.session else { return };
        match command {
            Command::Play(utterance, pcm, rate) => {
                if let Err(error) = session.play(utterance, &pcm, rate) {
                    tracing::warn!(%error, "audio was not queued");
                }
                // In this order it is counted twice for a moment, and never not at all.
                self.commands.shared.playing.store(session.queued(), Ordering::Relaxed);
                self.commands.shared.commanded.fetch_sub(narrow(pcm.len(), rate), Ordering::Relaxed);
            }
            Command::Finish(utterance) => session.finish(utterance),
            Command::StopPlaying => session.stop_playing(),
            Command::SendFrom(source) => {
                let (feed, crossing) = match source {
                    Source::Playout => (Feed::Playout, None),
                    Source::Ringback(tone) => (Feed::Ringing(Ringing::new(tone)), None),
                    Source::Bridge(crossing) => (Feed::Relay(Relay::default()), Some(crossing)),
                };
                session.send_from(feed);
                self.crossing = crossing;
            }
            // Whoever asked may have gone; nothing to do about it.
            Command::SendDtmf(digits, reply) => drop(reply.send(session.send_dtmf(&digits))),
            Command::Update(update) => {
                session.update(Instant::now(), update);
                self.commands.shared.rate.store(session.rate(), Ordering::Relaxed);
            }
            Command::Record(path) => {
                session.set_tap(true);
                if let Some(previous) = self.tap.replace(recorder.begin(path, session.rate())) {
                    recorder.finish(previous, None);
                }
            }
            Command::StopRecording(reply) => self.stop_recording(recorder, reply),
            Command::Stats(reply) => drop(reply.send(self.stats())),
        }
    }

    fn stop_recording(
        &mut self,
        recorder: &Recorder,
        reply: oneshot::Sender<Result<RecordingSummary, RecordingError>>,
    ) {
        if let State::Live(session) = &mut self.session {
            session.set_tap(false);
        }
        match self.tap.take() {
            Some(tap) => recorder.finish(tap, Some(reply)),
            None => drop(reply.send(Err(RecordingError::NotRecording))),
        }
    }

    fn stats(&self) -> MediaStats {
        let session = match &self.session {
            State::Live(session) => session.stats(),
            State::Waiting(_) => MediaStats::default(),
        };
        MediaStats { events_lost: self.events.lost, send_errors: self.send_errors, ..session }
    }
}

/// Events that are not frames and found the channel full wait here.
const PENDING: usize = 64;
/// Places of the channel that frames leave to other events.
const RESERVED: usize = 16;

/// The bounded way to whoever listens. Frames are what a slow listener loses first.
pub struct EventSink {
    sender: mpsc::Sender<MediaEvent>,
    pending: VecDeque<MediaEvent>,
    lost: u64,
}

impl EventSink {
    pub fn new(sender: mpsc::Sender<MediaEvent>) -> Self {
        EventSink { sender, pending: VecDeque::new(), lost: 0 }
    }

    fn send(&mut self, event: MediaEvent) {
        self.flush();
        let frame = matches!(event, MediaEvent::Frame { .. });
        let refused = if frame {
            !self.pending.is_empty() || self.sender.capacity() <= RESERVED
        } else {
            self.pending.len() >= PENDING
        };
        if refused {
            self.lost += 1;
        } else {
            self.pending.push_back(event);
            self.flush();
        }
    }

    fn flush(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.sender.try_send(event) {
                return self.pending.push_front(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::jitter::FrameKind;

    #[test]
    fn a_slow_listener_loses_frames_and_keeps_digits() {
        let (sender, mut receiver) = mpsc::channel(32);
        let mut sink = EventSink::new(sender);
        for n in 0..200u64 {
            sink.send(MediaEvent::Frame { start: n, pcm: vec![], kind: FrameKind::Silence });
            if n % 10 == 0 {
                sink.send(MediaEvent::RtpResumed);
            }
        }
        let (mut frames, mut others) = (0, 0);
        while let Ok(event) = receiver.try_recv() {
            match event {
                MediaEvent::Frame { .. } => frames += 1,
                _ => others += 1,
            }
            sink.flush();
        }
        assert!(frames > 0);
        assert_eq!(frames + sink.lost, 200);
        assert_eq!(others, 20);
    }
}
