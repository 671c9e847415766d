//! From the answer to the end of a call: the conversation over its leg, what signalling says
//! meanwhile, the recording and the summary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::call::bridge::{self, Bridge, Wish};
use crate::call::directory::{Parts, Place, Stop, Wanted};
use crate::call::ending::Circumstances;
use crate::call::event::CallChange;
use crate::call::leg::{Audio, Left, Leg};
use crate::call::record::{
    AnsweredBy, CallDirection, CallPlan, CallStatus, Speaker, TransferStatus, TurnRecord, VoicemailAction,
};
use crate::call::summary::summarise;
use crate::call::teller::Teller;
use crate::call::{quality, recording};
use crate::engine::worker::{LlmHandle, TtsHandle};
use crate::sip::sdp::Negotiated;
use crate::sip::{Referral, Reoffer, Signal, SipCall, SipEnd, SipError};
use crate::voice::conversation::Setup;
use crate::voice::driver::{Notice, Talk};
use crate::voice::mouth::VoiceChoice;
use crate::voice::voicemail::{OnVoicemail, Screening};
use crate::voice::{Closing, Event};

/// Notices that may wait for the call's bookkeeping.
const NOTICES: usize = 64;
/// The far end still plays what its jitter buffer holds; a hang-up by the agent waits for it.
const TAIL: Duration = Duration::from_millis(300);

/// A conversation that is ready before the call is answered.
pub(super) struct Prepared {
    talk: Talk,
    notices: mpsc::Receiver<Notice>,
    llm: LlmHandle,
    /// For what is said before it begins.
    pub(super) tts: TtsHandle,
}

pub(super) fn prepare(
    parts: &Parts,
    plan: &CallPlan,
    voice: &VoiceChoice,
    direction: CallDirection,
) -> Prepared {
    let (sender, notices) = mpsc::channel(NOTICES);
    let setup = Setup {
        task: plan.task.clone(),
        first_sentence: plan.first_sentence.clone(),
        language: plan.language.clone(),
        wait_for_greeting: plan.wait_for_greeting,
        recorded: plan.record,
        max_duration: Duration::from_secs(plan.max_duration_secs),
        transfers: plan.transfer_to.is_some(),
        keys: direction == CallDirection::Outbound,
        screening: (direction == CallDirection::Outbound).then(|| screening(parts, plan)),
    };
    let mut config = parts.voice.clone();
    if let Some(threshold) = plan.interruption_threshold_ms {
        config.activity.sustained_ms = threshold;
    }
    let engines = (parts.engines)(Wanted { model: &plan.model, language: &plan.language });
    let (llm, tts) = (engines.llm.clone(), engines.tts.clone());
    Prepared { talk: Talk::prepare(config, setup, engines, voice.clone(), sender), notices, llm, tts }
}

/// Who answers is found out on every call that goes out; the plan says what follows from it.
fn screening(parts: &Parts, plan: &CallPlan) -> Screening {
    let on_voicemail = match (plan.voicemail_action, &plan.voicemail_message) {
        (VoicemailAction::Ignore, _) => OnVoicemail::Ignore,
        (VoicemailAction::LeaveMessage, Some(message)) => OnVoicemail::LeaveMessage(message.clone()),
        (VoicemailAction::LeaveMessage, None) | (VoicemailAction::Hangup, _) => OnVoicemail::HangUp,
    };
    Screening { config: parts.config.answering.clone(), on_voicemail }
}

/// An answered call.
pub(super) struct Session {
    pub(super) call: SipCall,
    pub(super) leg: Leg,
    pub(super) agreed: Negotiated,
    pub(super) prepared: Prepared,
    pub(super) direction: CallDirection,
}

/// Runs the call to its end and tells how it ended; then its recording and its summary.
pub(super) async fn run(parts: &Parts, plan: &CallPlan, place: &Place, session: Session) {
    let Place { teller, stop, .. } = place;
    let Session { mut call, leg, agreed, prepared, direction } = session;
    let (mut audio, heard) = match leg.start(&agreed) {
        Ok(started) => started,
        Err(error) => {
            tracing::error!(%error, "the audio of a call cannot start");
            call.handle.hang_up();
            return teller.ended(Circumstances::unanswered(direction, None)).await;
        }
    };
    let answered = Instant::now();
    teller.status(CallStatus::InProgress).await;
    teller.tell(CallChange::Answered { answered_by: AnsweredBy::Unknown }).await;
    if plan.record {
        audio.record(recording::path_of(parts, place.call));
    }
    let Prepared { talk, mut notices, llm, .. } = prepared;
    let over = CancellationToken::new();
    let (wishes, wished) = mpsc::channel(bridge::WISHES);
    let (referrals, referred) = mpsc::channel(bridge::REFERRALS);
    let book = Book { teller, direction, turns: Arc::default(), wishes };
    let told = Told { keys: talk.events(), referrals };
    let (media, signalling) = (audio.handle.clone(), call.handle.clone());
    let bridge = Bridge {
        parts,
        plan,
        trunk: call.way.borrow().as_ref().map(|way| way.trunk.clone()),
        place,
        signalling: signalling.clone(),
        caller: media.clone(),
        conversation: talk.events(),
        turns: book.turns.clone(),
        llm: llm.clone(),
    };
    let inputs = bridge::Inputs { wishes: wished, referrals: referred, over: over.clone() };
    let converse = async {
        let (closing, last_words) = talk.converse(media, heard, over.clone()).await;
        over.cancel();
        let hang_up = async {
            if closing.is_some() {
                tokio::time::sleep(TAIL).await;
                signalling.hang_up();
            }
        };
        // The line is not kept for a transcript.
        tokio::join!(hang_up, last_words.transcribe());
        closing
    };
    let signals = async {
        let end = follow_signals(&mut call, &mut audio, &told, stop, &over).await;
        // What was heard is with the engines already, and a second leg has a line of its own.
        (end, answered.elapsed(), audio.end())
    };
    let (closing, (signalled, talked, left), (), transfer) =
        tokio::join!(converse, signals, book.keep(&mut notices), bridge.drive(inputs));
    let closing = closing.or_else(|| taken_over(transfer, stop));
    let talked_secs = Some(talked.as_secs_f64());
    let known = Circumstances {
        talked_secs,
        closing,
        stopped_by: stop.asked_by(),
        ..Circumstances::unanswered(direction, signalled)
    };
    teller.ended(known).await;
    tell_of(left, teller).await;
    let turns = std::mem::take(&mut *book.turns.lock());
    if parts.config.summary
        && let Some(text) = summarise(&llm, plan.task.expose(), &turns, transfer).await
    {
        teller.tell(CallChange::Summary { text }).await;
    }
}

/// A carrier that takes the call over may hang up before it says that it is done.
fn taken_over(transfer: Option<TransferStatus>, stop: &Stop) -> Option<Closing> {
    let referred = transfer == Some(TransferStatus::Referred) && stop.asked_by().is_none();
    referred.then_some(Closing::Referred)
}

/// Who is told what signalling says.
struct Told {
    keys: mpsc::Sender<Event>,
    referrals: mpsc::Sender<Referral>,
}

/// Follows what signalling says until the call is over, and hangs up when somebody asks this node to.
async fn follow_signals(
    call: &mut SipCall,
    audio: &mut Audio,
    told: &Told,
    stop: &Stop,
    over: &CancellationToken,
) -> Option<SipEnd> {
    let mut asked = false;
    let mut resuming = None;
    let end = loop {
        let signal = tokio::select! {
            signal = call.signals.recv() => signal,
            answer = answered(&mut resuming) => {
                take_up(audio, answer);
                continue;
            }
            () = stop.asked(), if !asked => {
                asked = true;
                over.cancel();
                call.handle.hang_up();
                continue;
            }
        };
        match signal {
            Some(Signal::Reoffer(reoffer)) => renegotiate(audio, reoffer),
            Some(Signal::LateAnswer { sdp }) => {
                if let Err(error) = audio.accept(&sdp) {
                    tracing::warn!(%error, "the caller's late answer cannot be used");
                    call.handle.hang_up();
                }
            }
            // A conversation that is so far behind takes no keys.
            Some(Signal::Dtmf { digit, .. }) => drop(told.keys.try_send(Event::Dtmf { digit })),
            Some(Signal::Referral(referral)) => {
                if is_back(referral) && resuming.is_none() {
                    let handle = call.handle.clone();
                    resuming = audio
                        .resume()
                        .map(|offer| -> Resuming { Box::pin(async move { handle.reinvite(offer).await }) });
                }
                // There are fewer than have room.
                let _ = told.referrals.try_send(referral);
            }
            Some(Signal::Ended(end)) => break Some(end),
            Some(_) => {}
            None => break None,
        }
    };
    over.cancel();
    end
}

type Resuming = BoxFuture<'static, Result<String, SipError>>;

/// The carrier has not done what it was asked to: a call that it put on hold for it is to go on.
fn is_back(referral: Referral) -> bool {
    matches!(referral, Referral::Refused { .. } | Referral::Failed { .. } | Referral::Lost)
}

/// The answer to an offer that takes the call up again, once; never, if there is none.
async fn answered(resuming: &mut Option<Resuming>) -> Result<String, SipError> {
    let answer = match resuming {
        Some(resuming) => resuming.await,
        None => std::future::pending().await,
    };
    *resuming = None;
    answer
}

fn take_up(audio: &mut Audio, answer: Result<String, SipError>) {
    let taken = answer.map_err(|error| error.to_string());
    let taken = taken.and_then(|sdp| audio.accept(&sdp).map_err(|error| error.to_string()));
    if let Err(error) = taken {
        tracing::warn!(error, "a call on hold could not be taken up again");
    }
}

pub(super) fn renegotiate(audio: &mut Audio, reoffer: Reoffer) {
    let answer = audio.renegotiate(reoffer.sdp.as_deref()).map_err(|error| {
        tracing::warn!(%error, "an offer within the call cannot be used");
        488
    });
    // The far end may have hung up meanwhile.
    let _ = reoffer.reply.send(answer);
}

async fn tell_of(left: Left, teller: &Teller) {
    if let Ok(stats) = left.stats.await {
        teller.tell(CallChange::Quality { quality: quality::of(&stats) }).await;
    }
    if let Some(recorded) = left.recording {
        recording::tell(recorded, teller).await;
    }
}

/// Keeps the call's turns and tells them.
struct Book<'a> {
    teller: &'a Teller,
    direction: CallDirection,
    turns: Arc<Mutex<Vec<TurnRecord>>>,
    wishes: mpsc::Sender<Wish>,
}

impl Book<'_> {
    async fn keep(&self, notices: &mut mpsc::Receiver<Notice>) {
        while let Some(notice) = notices.recv().await {
            match notice {
                Notice::Live { speaker, text } => self.teller.tell(CallChange::Live { speaker, text }).await,
                Notice::Turn(turn) => self.turn(turn).await,
                Notice::Transfer => self.wish(Wish::Transfer),
                Notice::Digit(digit) => self.wish(Wish::Digit(digit)),
                Notice::AnsweredBy(answered_by) => {
                    self.teller.tell(CallChange::Answered { answered_by }).await;
                }
            }
        }
    }

    fn wish(&self, wish: Wish) {
        if self.wishes.try_send(wish).is_err() {
            tracing::warn!("a transfer is behind");
        }
    }

    async fn turn(&self, turn: TurnRecord) {
        // Who calls in is a person until it is heard to be none.
        let first_of_caller = turn.speaker == Speaker::Caller
            && self.turns.lock().iter().all(|turn| turn.speaker != Speaker::Caller);
        if first_of_caller && self.direction == CallDirection::Inbound {
            self.teller.tell(CallChange::Answered { answered_by: AnsweredBy::Human }).await;
        }
        self.turns.lock().push(turn.clone());
        self.teller.tell(CallChange::Turn { turn }).await;
    }
}
