//! A media thread: ticks its legs, phase by phase.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::{
    leg::{LiveLeg, Start, Workbench},
    legs::Legs,
    load::Timesheet,
    readiness::Readiness,
    shared::SharedPort,
};
use crate::{
    base::audio::FRAME,
    media::{demux::Call, recording::Recorder},
};

/// Parts of the 20 ms in which legs are ticked: a leg always in the same one.
pub const PHASES: usize = 4;
const STEP: Duration = Duration::from_millis(20 / PHASES as u64);
/// In this order they are filled: those in use lie as far apart as they can.
const FILLED: [usize; PHASES] = [0, 2, 1, 3];
/// Legs of a phase before another is used. To wake a thread, and those whom it wakes, costs as much as the ticks of
/// dozens of legs; but each packet waits for those before it, and leaves the less evenly the more they are.
pub const LEGS_A_PHASE: usize = 250;

/// Nice value of a media thread: models that take every core leave it its 20 ms.
const NICE: i32 = -10;

pub enum ToWorker {
    Adopt(Box<Start>),
    Shutdown,
}

/// The sockets of a thread's legs.
pub enum Line {
    /// Each has its own; this tells which have RTCP to read.
    PerCall(Readiness),
    Shared(Box<SharedPort>),
}

pub struct Worker {
    inbox: Receiver<ToWorker>,
    timesheet: Timesheet,
    bench: Workbench,
    legs: Legs,
    phases: [Vec<Call>; PHASES],
    /// Legs that a phase takes before another is used.
    room: usize,
    /// The phase that is due next, and when.
    next: (usize, Instant),
}

impl Worker {
    pub fn new(inbox: Receiver<ToWorker>, recorder: Arc<Recorder>, line: Line, timesheet: Timesheet) -> Self {
        let room = match &line {
            Line::PerCall(_) => LEGS_A_PHASE,
            // Until a phase comes the port holds what its legs are sent, and what comes early or late, and a network
            // driver counts more for a packet than loopback does.
            Line::Shared(port) => LEGS_A_PHASE.min(port.sockets.holds() / 4),
        };
        Worker {
            inbox,
            timesheet,
            bench: Workbench::new(recorder, line),
            legs: Legs::default(),
            phases: Default::default(),
            room,
            next: (0, Instant::now()),
        }
    }

    /// Runs until it is told to shut down.
    pub fn drive(mut self) {
        rise_above_models();
        wake_on_time();
        loop {
            let message = self.wait();
            let begun = Instant::now();
            match message {
                Ok(ToWorker::Adopt(start)) => self.adopt(*start),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(ToWorker::Shutdown) | Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tick(Instant::now());
            self.timesheet.enter(begun, Instant::now());
        }
        for call in self.legs.calls() {
            self.end(call);
        }
    }

    /// Sleeps until a leg is due or a new one comes.
    fn wait(&mut self) -> Result<ToWorker, RecvTimeoutError> {
        match self.until_due() {
            Some(due) => self.inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => {
                self.timesheet.rest();
                self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            }
        }
    }

    fn until_due(&self) -> Option<Instant> {
        let (phase, at) = self.next;
        let ahead = (0..PHASES).find(|ahead| !self.phases[(phase + ahead) % PHASES].is_empty())?;
        Some(at + STEP * ahead as u32)
    }

    /// Puts a leg into a phase.
    fn adopt(&mut self, start: Start) {
        if self.until_due().is_none() {
            self.next = (FILLED[0], Instant::now());
        }
        let phase = choose(self.phases.each_ref().map(Vec::len), self.room);
        let (next, at) = self.next;
        let ahead = (PHASES + phase - next) % PHASES;
        let call = self.legs.insert(Box::new(LiveLeg::begin(start, at + STEP * ahead as u32)));
        self.phases[phase].push(call);
        let Some(leg) = self.legs.get_mut(call) else { return };
        match &mut self.bench.line {
            Line::Shared(port) => {
                port.claim(call, leg);
                port.mend(&mut self.legs);
            }
            Line::PerCall(readiness) => {
                if let Some(Err(error)) = leg.reports_socket().map(|socket| readiness.watch(socket, call)) {
                    tracing::warn!(%error, "the reports of a call are not read");
                }
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        // After a standstill whole rounds are left out; the sessions know what they missed.
        let rounds = now.saturating_duration_since(self.next.1).as_millis() / FRAME.as_millis();
        self.next.1 += FRAME * u32::try_from(rounds).unwrap_or(0);
        while self.next.1 <= now {
            if !self.phases[self.next.0].is_empty() {
                self.listen();
                self.step(self.next.0);
            }
            self.next = ((self.next.0 + 1) % PHASES, self.next.1 + STEP);
        }
    }

    /// Takes what has come for many legs at once.
    fn listen(&mut self) {
        let broken = match &mut self.bench.line {
            Line::Shared(port) => port.receive(&mut self.legs),
            Line::PerCall(readiness) => {
                let mut broken = Vec::new();
                for call in readiness.poll() {
                    let Some(leg) = self.legs.get_mut(call) else { continue };
                    if !guarded(|| leg.read_reports(&mut self.bench.buffer)) {
                        broken.push(call);
                    }
                }
                broken
            }
        };
        broken.into_iter().for_each(|call| self.end(call));
    }

    /// The tick of the legs of one phase. First all send, then whoever listens is woken.
    fn step(&mut self, phase: usize) {
        let due = std::mem::take(&mut self.phases[phase]);
        let mut ended = Vec::new();
        for (n, &call) in due.iter().enumerate() {
            let next = &due[n + 1..];
            self.legs.prefetch_next(|n| next.get(n).copied(), LiveLeg::prefetch);
            let Some(leg) = self.legs.get_mut(call) else { continue };
            let mut goes_on = false;
            let whole = guarded(|| goes_on = leg.tick(call, &mut self.bench));
            if !(whole && goes_on) {
                ended.push(call);
            }
        }
        if let Line::Shared(port) = &mut self.bench.line {
            port.flush(&mut self.legs);
            port.mend(&mut self.legs);
        }
        self.bench.wake();
        self.phases[phase] = due;
        ended.into_iter().for_each(|call| self.end(call));
    }

    /// Ends a leg in order.
    fn end(&mut self, call: Call) {
        self.phases.iter_mut().for_each(|legs| legs.retain(|other| *other != call));
        let Some(leg) = self.legs.remove(call) else { return };
        guarded(|| leg.close(call, &mut self.bench));
        if let Line::Shared(port) = &mut self.bench.line {
            port.flush(&mut self.legs);
            port.release(call);
        }
        self.bench.wake();
    }
}

/// The phase that takes another leg: the first that has room, or else the emptiest.
fn choose(legs: [usize; PHASES], room: usize) -> usize {
    let too_many = |phase: &usize| (legs[*phase] + 1).saturating_sub(room);
    FILLED.into_iter().min_by_key(too_many).expect("there are PHASES phases")
}

/// Runs what is done for one leg. `false` if it panicked: that is an error of ours which ends the leg, and
/// no other.
pub fn guarded(work: impl FnOnce()) -> bool {
    let done = catch_unwind(AssertUnwindSafe(work)).is_ok();
    if !done {
        tracing::error!("the media of a call panicked; it has ended, the others go on");
    }
    done
}

/// Linux keeps a nice value per thread. Without CAP_SYS_NICE (or a LimitNICE) the thread runs as any
/// other, and pacing is as even as the machine is idle.
fn rise_above_models() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::info!(%error, "media threads run at normal priority; grant CAP_SYS_NICE for steadier pacing");
    }
}

/// Timers of this thread are not put off to save power: usually Linux lets them be 50 µs late.
pub fn wake_on_time() {
    // SAFETY: takes a number of nanoseconds, and no pointer.
    if unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) } != 0 {
        tracing::info!(error = %io::Error::last_os_error(), "timers of media threads keep their slack");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_filled_one_after_another_and_then_alike() {
        assert_eq!(choose([0, 0, 0, 0], 500), 0);
        assert_eq!(choose([499, 0, 0, 0], 500), 0);
        assert_eq!(choose([500, 0, 0, 0], 500), 2, "half a round later");
        assert_eq!(choose([500, 0, 500, 0], 500), 1);
        assert_eq!(choose([500, 500, 499, 20], 500), 2, "holes are filled first");
        assert_eq!(choose([501, 501, 501, 500], 500), 3);
        assert_eq!(choose([501, 501, 501, 501], 500), 0);
    }
}
