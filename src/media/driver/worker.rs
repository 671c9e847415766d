//! A media thread: ticks its legs, phase by phase.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::leg::{LiveLeg, MAX_DATAGRAM};
use crate::{base::audio::FRAME, media::recording::Recorder};

/// Phases that legs are dealt over, so that the packets of hundreds of legs do not leave at once.
const PHASES: usize = 10;
const STEP: Duration = Duration::from_millis(20 / PHASES as u64);

/// Nice value of a media thread: models that take every core leave it its 20 ms.
const NICE: i32 = -10;

pub enum ToWorker {
    Adopt(Box<LiveLeg>),
    Shutdown,
}

pub struct Worker {
    inbox: Receiver<ToWorker>,
    recorder: Arc<Recorder>,
    phases: [Vec<LiveLeg>; PHASES],
    /// The phase that is due next, and when.
    next: (usize, Instant),
}

impl Worker {
    pub fn new(inbox: Receiver<ToWorker>, recorder: Arc<Recorder>) -> Self {
        Worker { inbox, recorder, phases: Default::default(), next: (0, Instant::now()) }
    }

    /// Runs until it is told to shut down.
    pub fn drive(mut self) {
        rise_above_models();
        let mut buffer = [0; MAX_DATAGRAM];
        loop {
            match self.wait() {
                Ok(ToWorker::Adopt(leg)) => self.adopt(*leg),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(ToWorker::Shutdown) | Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tick(Instant::now(), &mut buffer);
        }
        for leg in self.phases.into_iter().flatten() {
            leg.close(&self.recorder);
        }
    }

    /// Sleeps until a leg is due or a new one comes.
    fn wait(&self) -> Result<ToWorker, RecvTimeoutError> {
        match self.until_due() {
            Some(due) => self.inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn until_due(&self) -> Option<Instant> {
        let (phase, at) = self.next;
        let ahead = (0..PHASES).find(|ahead| !self.phases[(phase + ahead) % PHASES].is_empty())?;
        Some(at + STEP * ahead as u32)
    }

    /// Puts a leg into the emptiest phase, the soonest of those.
    fn adopt(&mut self, mut leg: LiveLeg) {
        if self.until_due().is_none() {
            self.next.1 = Instant::now();
        }
        let (phase, at) = self.next;
        let order = (0..PHASES).map(|ahead| (self.phases[(phase + ahead) % PHASES].len(), ahead));
        let (_, ahead) = order.min().expect("there are PHASES phases");
        leg.begin(at + STEP * ahead as u32);
        self.phases[(phase + ahead) % PHASES].push(leg);
    }

    fn tick(&mut self, now: Instant, buffer: &mut [u8; MAX_DATAGRAM]) {
        // After a standstill whole rounds are left out; the sessions know what they missed.
        let rounds = now.saturating_duration_since(self.next.1).as_millis() / FRAME.as_millis();
        self.next.1 += FRAME * u32::try_from(rounds).unwrap_or(0);
        while self.next.1 <= now {
            let legs = &mut self.phases[self.next.0];
            for n in (0..legs.len()).rev() {
                if !legs[n].tick(&self.recorder, buffer) {
                    legs.swap_remove(n).close(&self.recorder);
                }
            }
            self.next = ((self.next.0 + 1) % PHASES, self.next.1 + STEP);
        }
    }
}

/// Linux keeps a nice value per thread. Without CAP_SYS_NICE (or a LimitNICE) the thread runs as any
/// other, and pacing is as even as the machine is idle.
fn rise_above_models() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::info!(%error, "media threads run at normal priority; grant CAP_SYS_NICE for steadier pacing");
    }
}
