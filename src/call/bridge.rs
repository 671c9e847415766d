//! Drives a [`Transfer`]: asks for leave, refers the first leg or dials the second, has its party asked, and
//! bridges the media of the two. Runs beside the conversation for as long as the call lives.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::E164;
use crate::call::TransferManner;
use crate::call::briefing::{brief, notice, words};
use crate::call::directory::{Parts, Place, Wanted};
use crate::call::event::CallChange;
use crate::call::leg::Leg;
use crate::call::record::{CallPlan, TransferStatus, TurnRecord};
use crate::call::target::{Lent, Target, press};
use crate::call::transfer::{Happening, Step, Transfer};
use crate::engine::worker::LlmHandle;
use crate::media::{MediaError, MediaHandle, Ringback};
use crate::sip::{CallHandle, Dial, Refer, Referral, TransferBy};
use crate::voice::announcing::{Line, announce};
use crate::voice::introducing::Introducer;
use crate::voice::{Event, Phrases};

/// Wishes of the conversation that may wait; digits beyond that are lost.
pub(super) const WISHES: usize = 16;
/// News of a REFER that may wait; there are fewer.
pub(super) const REFERRALS: usize = 8;
/// After the call: how long the second leg may take to say that it has ended. It is hung up in any case.
const FAREWELL: Duration = Duration::from_secs(3);
/// What the carrier needs besides the ringing to make a call that it is referred to, and to tell of it.
const DETOUR: Duration = Duration::from_secs(10);

/// What the conversation wants of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Transfer,
    Digit(char),
}

pub(super) struct Bridge<'a> {
    pub(super) parts: &'a Parts,
    pub(super) plan: &'a CallPlan,
    /// Name of the trunk that carries the first leg.
    pub(super) trunk: Option<String>,
    pub(super) place: &'a Place,
    /// The first leg's signalling and media.
    pub(super) signalling: CallHandle,
    pub(super) caller: MediaHandle,
    pub(super) conversation: mpsc::Sender<Event>,
    /// For the introduction: what was said, and who puts it in a sentence.
    pub(super) turns: Arc<Mutex<Vec<TurnRecord>>>,
    pub(super) llm: LlmHandle,
}

/// What a bridge follows.
pub(super) struct Inputs {
    pub(super) wishes: mpsc::Receiver<Wish>,
    pub(super) referrals: mpsc::Receiver<Referral>,
    /// The first leg is over.
    pub(super) over: CancellationToken,
}

/// The second leg, and what comes before it: the question to the rules, and the sentence that is being
/// written for its party.
#[derive(Default)]
struct Second {
    target: Target,
    asking: Option<BoxFuture<'static, bool>>,
    briefing: Option<JoinHandle<Option<String>>>,
}

impl Bridge<'_> {
    /// Serves the conversation's wishes to the end of the call; gives what became of the last transfer, if
    /// there was any.
    pub(super) async fn drive(self, inputs: Inputs) -> Option<TransferStatus> {
        let Inputs { mut wishes, mut referrals, over } = inputs;
        let mut second = Second::default();
        let mut transfer = Transfer::new(self.by().await, self.speaks_first());
        let mut status = None;
        // Set when the first leg is over.
        let mut deadline = None;
        while !transfer.is_over() {
            let happening = tokio::select! {
                biased;
                // Before the end of the call, which it may explain.
                Some(referral) = referrals.recv() => Happening::Referral(referral),
                () = over.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + FAREWELL);
                    Happening::CallOver
                }
                () = at(deadline) => Happening::TargetEnded(None),
                allowed = allowed(&mut second.asking) => {
                    if allowed { Happening::Allowed } else { Happening::Refused }
                }
                Some(wish) = wishes.recv() => wish.into(),
                happening = second.target.next() => happening,
            };
            let mut steps = VecDeque::from(transfer.handle(happening));
            while let Some(step) = steps.pop_front() {
                if let Step::Record(told) = step {
                    status = Some(told);
                }
                if let Some(happening) = self.perform(step, &mut second).await {
                    steps.extend(transfer.handle(happening));
                }
            }
        }
        status
    }

    fn is_warm(&self) -> bool {
        self.parts.config.transfer == TransferManner::Warm
    }

    /// Whether the second party is told or asked something before it is joined.
    fn speaks_first(&self) -> bool {
        self.is_warm() || notice(self.phrases(), self.plan.record).is_some()
    }

    fn phrases(&self) -> &Phrases {
        self.parts.voice.phrases_for(&self.plan.language)
    }

    /// Whoever is to be asked first is dialled by this node.
    async fn by(&self) -> TransferBy {
        if self.is_warm() { TransferBy::Bridge } else { self.signalling.transfer_by().await }
    }

    async fn perform(&self, step: Step, second: &mut Second) -> Option<Happening> {
        let target = &mut second.target;
        match step {
            // Waited for beside everything else: whoever hangs up meanwhile needs no answer.
            Step::AskLeave => {
                second.asking = Some((self.parts.transfers)(self.place.call, self.plan.clone()));
            }
            Step::TakeLine => return Some(self.take_line(target)),
            Step::Refer => return self.refer().await,
            Step::Dial => {
                second.briefing = self.is_warm().then(|| self.brief());
                return self.dial(target).await;
            }
            Step::Introduce => return self.introduce(second),
            Step::Join => return Some(self.join(target)),
            Step::RingBack => steered(self.caller.ring_back(tone_of(self.plan.transfer_to.as_ref()))),
            Step::Quiet => steered(self.caller.play_again()),
            Step::HangUp => target.hang_up(),
            Step::PressToCaller(digit) => press(&self.caller, digit),
            Step::PressToTarget(digit) => target.press(digit),
            Step::Record(status) => {
                tracing::info!(%status, "transfer");
                self.place.teller.tell(CallChange::Transfer { status }).await;
            }
            // The conversation may have ended meanwhile.
            Step::Tell(event) => drop(self.conversation.send(event).await),
        }
        None
    }

    fn take_line(&self, target: &mut Target) -> Happening {
        let line: Option<OwnedSemaphorePermit> = self.place.another_line();
        let happening = if line.is_some() { Happening::LineTaken } else { Happening::NoLine };
        target.line = line;
        happening
    }

    /// Only the plan's number, which the rules were asked about, is ever referred to.
    async fn refer(&self) -> Option<Happening> {
        let Some(to) = self.plan.transfer_to.clone() else { return Some(Happening::Unreferred) };
        let patience = self.parts.config.transfer_ring() + DETOUR;
        let refer = Refer { to, by: self.plan.from.clone(), patience };
        let error = self.signalling.refer(refer).await.err()?;
        tracing::warn!(%error, "a transfer could not be asked for");
        Some(Happening::Unreferred)
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
        let (from, home) = self.shown();
        let request = Dial {
            diverted: from.clone(),
            from,
            home,
            ring_timeout: Some(self.parts.config.transfer_ring()),
            ..Dial::to(to, leg.dialled())
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

    /// The number that the call shows, and the trunk that it came from: the second leg shows it, too, and it is
    /// the number that sends the call on.
    fn shown(&self) -> (Option<E164>, Option<String>) {
        match &self.plan.from {
            Some(from) => (Some(from.clone()), self.plan.home.clone()),
            None => {
                (self.trunk.as_deref().and_then(|trunk| self.parts.sip.caller_id(trunk)), self.trunk.clone())
            }
        }
    }

    /// Written while the second party's telephone rings.
    fn brief(&self) -> JoinHandle<Option<String>> {
        let turns = self.turns.lock().clone();
        tokio::spawn(brief(self.llm.clone(), self.plan.language.clone(), turns))
    }

    /// In a blind transfer the second party hears no more than that it is recorded. Where that cannot be said
    /// it is not joined.
    fn introduce(&self, second: &mut Second) -> Option<Happening> {
        let media = match second.target.start() {
            Ok(media) => media,
            Err(error) => return Some(unusable(&error)),
        };
        let briefing = second.briefing.take();
        let introducer = self.introducer();
        let (phrases, recorded) = (self.phrases().clone(), self.plan.record);
        let notice = notice(&phrases, recorded).filter(|_| !self.is_warm()).map(str::to_owned);
        second.target.introduce(|Lent { mut heard, mut pressed }| async move {
            if let Some(notice) = notice {
                let Introducer { engines, voice, .. } = introducer;
                let line = Line { media, heard: &mut heard, answered: true };
                return (announce(notice, engines.tts, voice, line).await, heard);
            }
            let briefed = match briefing {
                Some(briefing) => briefing.await.ok().flatten(),
                None => None,
            };
            let words = words(&phrases, recorded, briefed);
            let verdict = introducer.introduce(words, media, &mut heard, &mut pressed).await;
            (verdict, heard)
        });
        None
    }

    fn introducer(&self) -> Introducer {
        let CallPlan { model, language, voice, .. } = self.plan;
        Introducer {
            config: self.parts.voice.clone(),
            screening: self.parts.config.answering.clone(),
            engines: (self.parts.engines)(Wanted { model, language }),
            voice: (self.parts.voices)(voice, language),
        }
    }

    fn join(&self, target: &mut Target) -> Happening {
        let joined =
            target.start().and_then(|media| self.caller.bridge(&media).map_err(|error| error.to_string()));
        match joined {
            Ok(()) => Happening::Joined,
            Err(error) => unusable(&error),
        }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        if let Some(briefing) = &self.briefing {
            briefing.abort();
        }
    }
}

fn unusable(error: &str) -> Happening {
    tracing::warn!(error, "the answer to a transfer cannot be used");
    Happening::Unusable
}

fn steered(done: Result<(), MediaError>) {
    match done {
        // Nobody is there to hear it.
        Ok(()) | Err(MediaError::Closed) => {}
        Err(error) => tracing::error!(%error, "the caller does not hear how a transfer goes"),
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

/// What the rules say, once; never, if they are not asked.
async fn allowed(asking: &mut Option<BoxFuture<'static, bool>>) -> bool {
    let allowed = match asking {
        Some(asking) => asking.await,
        None => pending().await,
    };
    *asking = None;
    allowed
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => pending().await,
    }
}

/// Of the telephone network of that number.
pub(super) fn tone_of(number: Option<&E164>) -> Ringback {
    let north_american = number.is_some_and(E164::is_nanp);
    if north_american { Ringback::NorthAmerican } else { Ringback::European }
}
