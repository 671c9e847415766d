//! Drives a [`Transfer`]: asks for leave, dials the second leg, follows it, and bridges the media of the
//! two. Runs beside the conversation for as long as the call lives.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::E164;
use crate::call::conversing::renegotiate;
use crate::call::directory::{Parts, Place};
use crate::call::event::CallChange;
use crate::call::leg::{Audio, Leg};
use crate::call::record::{CallPlan, TransferStatus};
use crate::call::transfer::{Happening, Step, Transfer};
use crate::media::{MediaError, MediaEvent, MediaHandle, Ringback};
use crate::sip::{Dial, Reoffer, Signal, SipCall, SipEnd};
use crate::voice::Event;

/// Wishes of the conversation that may wait; digits beyond that are lost.
pub(super) const WISHES: usize = 16;
/// After the call: how long the second leg may take to say that it has ended. It is hung up in any case.
const FAREWELL: Duration = Duration::from_secs(3);

/// What the conversation wants of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Transfer,
    Digit(char),
}

pub(super) struct Bridge<'a> {
    pub(super) parts: &'a Parts,
    pub(super) plan: &'a CallPlan,
    pub(super) place: &'a Place,
    /// The first leg's media.
    pub(super) caller: MediaHandle,
    pub(super) conversation: mpsc::Sender<Event>,
}

/// The second leg.
#[derive(Default)]
struct Target {
    line: Option<OwnedSemaphorePermit>,
    call: Option<SipCall>,
    /// Until it is answered.
    leg: Option<Leg>,
    answer: Option<String>,
    /// From then on.
    audio: Option<(Audio, mpsc::Receiver<MediaEvent>)>,
}

impl Bridge<'_> {
    /// Serves the conversation's wishes to the end of the call, `over`; gives what became of the last
    /// transfer, if there was any.
    pub(super) async fn drive(
        self,
        mut wishes: mpsc::Receiver<Wish>,
        over: CancellationToken,
    ) -> Option<TransferStatus> {
        let (mut transfer, mut target) = (Transfer::default(), Target::default());
        let mut status = None;
        // Set when the first leg is over.
        let mut deadline = None;
        while !transfer.is_over() {
            let happening = tokio::select! {
                biased;
                () = over.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + FAREWELL);
                    Happening::CallOver
                }
                () = at(deadline) => Happening::TargetEnded(None),
                Some(wish) = wishes.recv() => wish.into(),
                happening = target.next() => happening,
            };
            let mut steps = VecDeque::from(transfer.handle(happening));
            while let Some(step) = steps.pop_front() {
                if let Step::Record(told) = step {
                    status = Some(told);
                }
                if let Some(happening) = self.perform(step, &mut target).await {
                    steps.extend(transfer.handle(happening));
                }
            }
        }
        status
    }

    async fn perform(&self, step: Step, target: &mut Target) -> Option<Happening> {
        match step {
            Step::AskLeave => return Some(self.ask_leave(target).await),
            Step::Dial => return self.dial(target).await,
            Step::Join => return Some(self.join(target)),
            Step::RingBack => steered(self.caller.ring_back(tone_of(self.plan.transfer_to.as_ref()))),
            Step::Quiet => steered(self.caller.play_again()),
            Step::HangUp => target.hang_up(),
            Step::PressToCaller(digit) => press(&self.caller, digit),
            Step::PressToTarget(digit) => {
                target.audio.iter().for_each(|(audio, _)| press(&audio.handle, digit))
            }
            Step::Record(status) => {
                tracing::info!(%status, "transfer");
                self.place.teller.tell(CallChange::Transfer { status }).await;
            }
            // The conversation may have ended meanwhile.
            Step::Tell(event) => drop(self.conversation.send(event).await),
        }
        None
    }

    async fn ask_leave(&self, target: &mut Target) -> Happening {
        let Some(line) = self.place.another_line() else { return Happening::NoLine };
        if !(self.parts.transfers)(self.place.call, self.plan.clone()).await {
            return Happening::Refused;
        }
        target.line = Some(line);
        Happening::Allowed
    }

    /// Dials; the ways in which that cannot even begin are ends of the second leg.
    async fn dial(&self, target: &mut Target) -> Option<Happening> {
        let Some(to) = self.plan.transfer_to.clone() else { return Some(target.end(None)) };
        let leg = match Leg::reserve(&self.parts.media, (self.parts.advertise)()) {
            Ok(leg) => leg,
            Err(error) => {
                tracing::error!(%error, "no port for the audio of a transfer");
                return Some(target.end(None));
            }
        };
        let request = Dial {
            trunk: None,
            to,
            from: self.plan.from.clone(),
            offer: leg.offer(),
            ring_timeout: Some(self.parts.config.transfer_ring()),
        };
        match self.parts.sip.dial(request).await {
            Ok(call) => {
                (target.call, target.leg) = (Some(call), Some(leg));
                None
            }
            Err(error) => {
                tracing::warn!(%error, "a transfer could not be dialled");
                Some(target.end(None))
            }
        }
    }

    fn join(&self, target: &mut Target) -> Happening {
        let (Some(leg), Some(sdp)) = (target.leg.take(), target.answer.take()) else {
            return Happening::Unusable;
        };
        let started = leg.accept(&sdp).map_err(|error| error.to_string()).and_then(|agreed| {
            let started = leg.start(&agreed).map_err(|error| error.to_string())?;
            self.caller.bridge(&started.0.handle).map_err(|error| error.to_string())?;
            Ok(started)
        });
        match started {
            Ok(audio) => {
                target.audio = Some(audio);
                Happening::Joined
            }
            Err(error) => {
                tracing::warn!(%error, "the answer to a transfer cannot be used");
                Happening::Unusable
            }
        }
    }
}

impl Target {
    /// What the second leg tells next; never, while there is none.
    async fn next(&mut self) -> Happening {
        loop {
            let Some(call) = &mut self.call else { return pending().await };
            let events = self.audio.as_mut().map(|(_, events)| events);
            let heard = async {
                match events {
                    Some(events) => events.recv().await,
                    None => pending().await,
                }
            };
            let happening = tokio::select! {
                signal = call.signals.recv() => self.signalled(signal),
                event = heard => self.heard(event),
            };
            if let Some(happening) = happening {
                return happening;
            }
        }
    }

    fn signalled(&mut self, signal: Option<Signal>) -> Option<Happening> {
        match signal {
            Some(Signal::Answered { sdp }) => {
                self.answer = Some(sdp);
                Some(Happening::Answered)
            }
            Some(Signal::Reoffer(reoffer)) => {
                match (&mut self.audio, &mut self.leg, reoffer) {
                    (Some((audio, _)), _, reoffer) => renegotiate(audio, reoffer),
                    (None, Some(leg), Reoffer { sdp: Some(offer), reply }) => {
                        // It may have hung up meanwhile.
                        let _ = reply.send(leg.renegotiate(&offer).map_err(|_| 488));
                    }
                    // Dropped, it is refused.
                    _ => {}
                }
                None
            }
            Some(Signal::LateAnswer { sdp }) => {
                let used = self.audio.as_mut().map(|(audio, _)| audio.accept(&sdp));
                if let Some(Err(error)) = used {
                    tracing::warn!(%error, "the late answer of a transfer cannot be used");
                    self.hang_up();
                }
                None
            }
            Some(Signal::Dtmf { digit, .. }) => Some(Happening::TargetPressed(digit)),
            Some(Signal::Ended(end)) => Some(self.end(Some(end))),
            Some(_) => None,
            None => Some(self.end(None)),
        }
    }

    fn heard(&mut self, event: Option<MediaEvent>) -> Option<Happening> {
        match event {
            Some(MediaEvent::Dtmf { digit, .. }) => Some(Happening::TargetPressed(digit)),
            Some(MediaEvent::RtpTimeout { .. }) => Some(Happening::TargetLost),
            Some(_) => None,
            None => {
                self.audio = None;
                Some(Happening::TargetLost)
            }
        }
    }

    /// The port, the session and the line go back.
    fn end(&mut self, end: Option<SipEnd>) -> Happening {
        self.close();
        *self = Target::default();
        Happening::TargetEnded(end)
    }

    fn hang_up(&self) {
        if let Some(call) = &self.call {
            call.handle.hang_up();
        }
    }

    fn close(&self) {
        if let Some((audio, _)) = &self.audio {
            audio.handle.close();
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.hang_up();
        self.close();
    }
}

fn steered(done: Result<(), MediaError>) {
    if let Err(error) = done {
        tracing::error!(%error, "the caller does not hear how a transfer goes");
    }
}

fn press(leg: &MediaHandle, digit: char) {
    if let Err(error) = leg.press(digit) {
        tracing::debug!(%error, "a key was not passed on");
    }
}

impl From<Wish> for Happening {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Transfer => Happening::Wanted,
            Wish::Digit(digit) => Happening::CallerPressed(digit),
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => pending().await,
    }
}

fn tone_of(number: Option<&E164>) -> Ringback {
    let north_american = number.is_some_and(E164::is_nanp);
    if north_american { Ringback::NorthAmerican } else { Ringback::European }
}
