//! One live leg on a media thread: its session, its socket, its queues.

use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, atomic::Ordering},
    task::Waker,
    time::Instant,
};

use super::{
    Seat,
    crossing::Crossing,
    events::EventSink,
    handle::{COMMANDS, Command, Commands, Reply, Source},
    legs::AHEAD,
    load::Presence,
    refused,
    shared::Port,
    worker::Line,
};
use crate::media::{
    demux::{Call, Claim},
    playout::narrow,
    prefetch::{prefetch, prefetch_mut_at},
    recording::Recorder,
    ringback::Ringing,
    session::{Feed, MediaEvent, MediaStats, Output, Session, SessionConfig},
    tap::Tap,
};

/// Datagrams read in one tick. A flood beyond this stays in the kernel, which drops it.
const READS_PER_TICK: usize = 32;
/// Of RTCP, at once: a far end sends one in seconds.
const REPORTS_AT_ONCE: usize = 4;
/// Longer than any RTP packet that makes sense.
pub const MAX_DATAGRAM: usize = 2_048;

/// A leg that is about to begin.
pub struct Start {
    pub seat: Seat,
    pub config: SessionConfig,
    pub commands: Commands,
    pub events: EventSink,
    pub presence: Presence,
}

/// What the legs of a thread work with, one after another.
pub struct Workbench {
    pub recorder: Arc<Recorder>,
    pub line: Line,
    pub buffer: Box<[u8; MAX_DATAGRAM]>,
    outputs: VecDeque<Output>,
    /// Of the listeners that were told something.
    told: Vec<Waker>,
}

impl Workbench {
    pub fn new(recorder: Arc<Recorder>, line: Line) -> Self {
        let (buffer, outputs, told) = (Box::new([0; MAX_DATAGRAM]), VecDeque::new(), Vec::new());
        Workbench { recorder, line, buffer, outputs, told }
    }

    /// Wakes the listeners, whose tasks were last touched by other cores.
    pub fn wake(&mut self) {
        let mut told = self.told.drain(..);
        while let Some(waker) = told.next() {
            told.as_slice().get(AHEAD).into_iter().for_each(|waker| prefetch_mut_at(waker.data()));
            waker.wake();
        }
    }
}

impl Drop for Workbench {
    /// Of a thread that fails, too.
    fn drop(&mut self) {
        self.wake();
    }
}

pub struct LiveLeg {
    seat: Seat,
    // In its place, and not elsewhere: memory that is asked for early is known by one address.
    session: Session,
    commands: Commands,
    events: EventSink,
    recording: Option<Box<(Tap, Reply)>>,
    /// To the leg that this one is bridged with.
    crossing: Option<Box<Crossing>>,
    reading: Reading,
    send_errors: u64,
    /// What the session claims may have changed.
    moved: bool,
    _presence: Presence,
}

impl LiveLeg {
    /// Begins the session, whose first tick is due at `at`: that fixes the leg's phase.
    pub fn begin(start: Start, at: Instant) -> Self {
        let Start { seat, config, commands, events, mut presence } = start;
        presence.begin();
        LiveLeg {
            seat,
            session: Session::new(config, at),
            commands,
            events,
            recording: None,
            crossing: None,
            reading: Reading::default(),
            send_errors: 0,
            moved: false,
            _presence: presence,
        }
    }

    /// Brings nearer what a tick reads, beside the leg itself.
    pub fn prefetch(&self) {
        prefetch(&*self.commands.shared);
        self.events.prefetch();
        self.session.prefetch();
        if let Seat::Own(..) = self.seat {
            self.prefetch_inbound();
        }
    }

    /// Brings nearer what a datagram is taken with, beside the leg itself.
    pub fn prefetch_inbound(&self) {
        self.session.prefetch_inbound();
    }

    /// Everything that a tick does, but for [`Workbench::wake`]. `false` once the leg is to be closed.
    pub fn tick(&mut self, call: Call, bench: &mut Workbench) -> bool {
        // In this order: what was commanded before it was closed is done.
        let closed = self.commands.shared.closed.load(Ordering::Acquire);
        if !self.take_commands(&bench.recorder) || closed {
            return false;
        }
        if let (true, Line::Shared(port)) = (std::mem::take(&mut self.moved), &mut bench.line) {
            port.claim(call, self);
        }
        let now = Instant::now();
        if let Seat::Own(sockets, _) = &self.seat {
            let mut taken = 0;
            while taken < self.reading.limit() {
                // Errors are of packets sent earlier (ICMP) or mean that nothing is left.
                let Ok((len, from)) = sockets.rtp.recv_from(&mut bench.buffer[..]) else { break };
                self.session.handle_datagram(now, from, &bench.buffer[..len]);
                taken += 1;
            }
            self.reading.took(taken);
        }
        for frame in self.crossing.iter().flat_map(|crossing| crossing.frames()) {
            self.session.relay(frame);
        }
        self.session.handle_timeout_into(now, &mut bench.outputs);
        self.count_playing();
        while let Some(output) = bench.outputs.pop_front() {
            self.deliver(call, output, bench);
        }
        true
    }

    /// Takes a datagram from a port that is shared.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], port: Port) {
        match port {
            Port::Rtp => self.session.handle_datagram(now, from, datagram),
            Port::Rtcp => self.session.handle_rtcp(now, from, datagram),
        }
    }

    /// Takes what came on a port for RTCP of its own.
    pub fn read_reports(&mut self, buffer: &mut [u8; MAX_DATAGRAM]) {
        let Seat::Own(sockets, _) = &self.seat else { return };
        for _ in 0..REPORTS_AT_ONCE {
            let Ok((len, from)) = sockets.rtcp.recv_from(buffer) else { break };
            self.session.handle_rtcp(Instant::now(), from, &buffer[..len]);
        }
    }

    /// What it reads RTCP from, unless that is shared.
    pub fn reports_socket(&self) -> Option<&UdpSocket> {
        if let Seat::Own(sockets, _) = &self.seat { Some(&sockets.rtcp) } else { None }
    }

    /// What tells its datagrams from others on a port that is shared.
    pub fn claim(&self) -> Claim {
        self.session.claim()
    }

    /// What it hears is another call's.
    pub fn forsake(&mut self, now: Instant) {
        self.session.forsake(now);
    }

    /// A datagram of it could not be sent.
    pub fn refused(&mut self) {
        self.send_errors += 1;
    }

    /// Ends the leg in order: the far end's media plane is told, the recording is completed.
    pub fn close(mut self: Box<Self>, call: Call, bench: &mut Workbench) {
        if let Some((tap, reply)) = self.recording.take().map(|recording| *recording) {
            bench.recorder.finish(tap, Some(reply));
        }
        self.session.close(Instant::now());
        refused::count(&self.session.stats());
        self.count_playing();
        while let Some(output) = self.session.poll_output() {
            self.deliver(call, output, bench);
        }
    }

    /// Before events are told, so that whoever learns that audio is gone finds room for more.
    fn count_playing(&self) {
        self.commands.shared.playing.store(self.session.queued(), Ordering::Relaxed);
    }

    fn deliver(&mut self, call: Call, output: Output, bench: &mut Workbench) {
        match output {
            Output::Transmit { to, datagram } => match (&self.seat, &mut bench.line) {
                (Seat::Own(sockets, _), _) => {
                    self.send_errors += u64::from(sockets.rtp.send_to(&datagram, to).is_err());
                }
                (Seat::Shared(_), Line::Shared(port)) => port.outbox.push(call, to, datagram),
                (Seat::Shared(_), Line::PerCall(_)) => self.send_errors += 1,
            },
            Output::Report { to, mux, datagram } => {
                let sockets = self.seat.sockets();
                let socket = if mux { &sockets.rtp } else { &sockets.rtcp };
                // A far end without RTCP refuses every one: that is no error of the call.
                let _ = socket.send_to(&datagram, to);
            }
            Output::Event(event) => {
                if let (Some(crossing), MediaEvent::Frame { pcm, .. }) = (&self.crossing, &event) {
                    crossing.push(pcm.clone());
                }
                bench.told.extend(self.events.send(event));
            }
            Output::Tap(frame) => self.recording.iter_mut().for_each(|recording| recording.0.push(&frame)),
        }
    }

    /// `false` once nobody can command any more.
    fn take_commands(&mut self, recorder: &Recorder) -> bool {
        let shared = &self.commands.shared;
        // The last handle may have left a command behind.
        let forsaken = Arc::strong_count(shared) == 1;
        if !forsaken && !shared.commanding.swap(false, Ordering::Acquire) {
            return true;
        }
        for _ in 0..COMMANDS {
            match self.commands.receiver.try_recv() {
                Ok(command) => self.obey(command, recorder),
                Err(_) => break,
            }
        }
        !forsaken
    }

    fn obey(&mut self, command: Command, recorder: &Recorder) {
        let session = &mut self.session;
        match command {
            Command::Play(utterance, pcm, rate) => {
                let samples = narrow(pcm.len(), rate);
                if let Err(error) = session.play(utterance, pcm, rate) {
                    tracing::warn!(%error, "audio was not queued");
                }
                // In this order it is counted twice for a moment, and never not at all.
                self.commands.shared.playing.store(session.queued(), Ordering::Relaxed);
                self.commands.shared.commanded.fetch_sub(samples, Ordering::Relaxed);
            }
            Command::Finish(utterance) => session.finish(utterance),
            Command::StopPlaying => session.stop_playing(),
            Command::SendFrom(source) => {
                let (feed, crossing) = match source {
                    Source::Playout => (Feed::Playout, None),
                    Source::Ringback(tone) => (Feed::Ringing(Ringing::new(tone).into()), None),
                    Source::Bridge(crossing) => (Feed::Relay(Box::default()), Some(crossing.into())),
                };
                session.send_from(feed);
                self.crossing = crossing;
            }
            // Whoever asked may have gone; nothing to do about it.
            Command::SendDtmf(digits, reply) => drop(reply.send(session.send_dtmf(&digits))),
            Command::Update(update) => {
                session.update(Instant::now(), update);
                self.moved = true;
                self.commands.shared.rate.store(session.rate(), Ordering::Relaxed);
            }
            Command::Record(path, reply) => {
                session.set_tap(true);
                let begun = (recorder.begin(path, session.rate()), reply);
                if let Some(previous) = self.recording.replace(begun.into()) {
                    let (tap, reply) = *previous;
                    recorder.finish(tap, Some(reply));
                }
            }
            Command::Stats(reply) => drop(reply.send(self.stats())),
            #[cfg(test)]
            Command::Panic => panic!("a leg was told to"),
        }
    }

    fn stats(&self) -> MediaStats {
        let (events_lost, send_errors) = (self.events.lost, self.send_errors);
        MediaStats { events_lost, send_errors, ..self.session.stats() }
    }
}

/// How often a socket is read in one tick. Where one packet comes in each, to ask whether there is another
/// costs nearly as much as to take it: then it is asked at every fourth tick only.
#[derive(Default)]
struct Reading {
    /// Ticks in a row with one packet, modulo four.
    even: usize,
}

impl Reading {
    fn limit(&self) -> usize {
        if self.even == 0 { READS_PER_TICK } else { 1 }
    }

    fn took(&mut self, datagrams: usize) {
        self.even = if datagrams == 1 { (self.even + 1) % 4 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads through a stream that brings so many packets a tick; gives how many were left each time, and
    /// how often the socket was asked in vain.
    fn read_through(coming: &[usize]) -> (Vec<usize>, usize) {
        let (mut reading, mut waiting, mut vain) = (Reading::default(), 0, 0);
        let left = coming.iter().map(|packets| {
            waiting += packets;
            let taken = waiting.min(reading.limit());
            vain += usize::from(taken < reading.limit());
            reading.took(taken);
            waiting -= taken;
            waiting
        });
        (left.collect(), vain)
    }

    #[test]
    fn an_even_stream_is_seldom_asked_for_more_and_an_uneven_one_is_read_dry() {
        assert_eq!(read_through(&[1; 100]), (vec![0; 100], 25));
        assert_eq!(read_through(&[2; 100]).0, vec![0; 100], "packets of 10 ms");
        let late = [1, 1, 0, 2, 1, 1, 0, 0, 3, 1];
        assert_eq!(read_through(&late).0, [0; 10]);
        let early = [1, 1, 2, 1, 1, 1, 1, 1, 1];
        assert_eq!(read_through(&early).0, [0, 0, 1, 1, 0, 0, 0, 0, 0], "for three ticks at the most");
    }
}
