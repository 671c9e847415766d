//! A call that this node places: from the dial to the answer, or to the reason why there was none.

use crate::call::conversing::{self, Prepared};
use crate::call::directory::{Parts, Place};
use crate::call::ending::Circumstances;
use crate::call::event::CallChange;
use crate::call::leg::Leg;
use crate::call::record::{CallDirection, CallPlan, CallStatus, EndedBy};
use crate::call::recording;
use crate::call::teller::Teller;
use crate::media::Recorded;
use crate::sip::{Dial, Signal, SipCall, SipEnd, Way};

/// Runs the call from its first event to its last.
pub(super) async fn run(parts: &Parts, plan: CallPlan, place: &Place) {
    let teller = &place.teller;
    let voice = (parts.voices)(&plan.voice, &plan.language);
    let created = CallChange::Created { direction: CallDirection::Outbound, plan: Box::new(plan.clone()) };
    teller.tell(created).await;
    teller.status(CallStatus::Queued).await;
    teller.tell(CallChange::Voice { name: voice.name.clone() }).await;
    let prepared = parts.talk(&plan, &voice, CallDirection::Outbound);
    match dial(parts, &plan, place).await {
        Dialled::Answered { call, leg, sdp } => {
            talk(parts, &plan, place, Answered { call: *call, leg: *leg, sdp, prepared }).await;
        }
        Dialled::Ended { end, stopped_by, rang, early } => {
            let known =
                Circumstances { stopped_by, rang, ..Circumstances::unanswered(CallDirection::Outbound, end) };
            unanswered(teller, known, early).await;
        }
    }
    teller.tell(CallChange::Closed).await;
}

enum Dialled {
    Answered {
        call: Box<SipCall>,
        leg: Box<Leg>,
        sdp: String,
    },
    Ended {
        end: Option<SipEnd>,
        stopped_by: Option<EndedBy>,
        rang: bool,
        /// Of what was played before.
        early: Option<Recorded>,
    },
}

/// Who listens to the recording hears why there was no answer: "the number is not in service".
async fn unanswered(teller: &Teller, known: Circumstances, early: Option<Recorded>) {
    teller.ended(known).await;
    if let Some(recorded) = early {
        recording::tell(recorded, teller).await;
    }
}

/// Dials and waits for the answer.
async fn dial(parts: &Parts, plan: &CallPlan, place: &Place) -> Dialled {
    let Place { teller, stop, .. } = place;
    let failed = |end| Dialled::Ended { end, stopped_by: None, rang: false, early: None };
    let Some(to) = plan.to.clone() else { return failed(None) };
    let mut leg = match Leg::reserve(&parts.media, (parts.advertise)()) {
        Ok(leg) => leg,
        Err(error) => {
            tracing::error!(%error, "no port for the audio of a call");
            return failed(None);
        }
    };
    let request = Dial {
        from: plan.from.clone(),
        home: plan.home.clone(),
        ring_timeout: Some(parts.config.ring_timeout()),
        ..Dial::to(to, leg.dialled())
    };
    let mut call = match parts.sip.dial(request).await {
        Ok(call) => call,
        Err(error) => {
            tracing::warn!(%error, "the call could not be dialled");
            return failed(Some(SipEnd::Unreachable { detail: error.to_string() }));
        }
    };
    let (mut stopped_by, mut went, mut rang) = (None, None, false);
    loop {
        let signal = tokio::select! {
            biased;
            // Until a trunk has taken it, it is queued: for its turn, or for the next trunk.
            Ok(()) = call.way.changed() => {
                goes_by(&mut call, &mut went, teller).await;
                continue;
            }
            signal = call.signals.recv() => signal,
            () = stop.asked(), if stopped_by.is_none() => {
                stopped_by = stop.asked_by();
                call.handle.hang_up();
                continue;
            }
        };
        leg.fit(&call.handle);
        match signal {
            Some(Signal::Ringing) => {
                rang = true;
                teller.status(CallStatus::Ringing).await;
            }
            Some(Signal::EarlyMedia { sdp }) => {
                rang = true;
                teller.status(CallStatus::Ringing).await;
                let record_to = plan.record.then(|| recording::path_of(parts, place.call));
                leg = match leg.hear_early(&sdp, record_to) {
                    Ok(leg) => leg,
                    Err(error) => {
                        tracing::error!(%error, "the audio of a call cannot start");
                        call.handle.hang_up();
                        return failed(None);
                    }
                };
            }
            Some(Signal::Reoffer(reoffer)) => leg.reply(reoffer),
            Some(Signal::Answered { sdp }) => {
                return Dialled::Answered { call: Box::new(call), leg: Box::new(leg), sdp };
            }
            Some(Signal::Ended(end)) => {
                return Dialled::Ended { end: Some(end), stopped_by, rang, early: leg.end() };
            }
            Some(_) => {}
            None => return Dialled::Ended { end: None, stopped_by, rang, early: leg.end() },
        }
    }
}

/// Tells by which trunk the call has left, and when that has taken it. `went` is what was told before: of two
/// attempts in quick succession the first may never be seen.
async fn goes_by(call: &mut SipCall, went: &mut Option<Way>, teller: &Teller) {
    let Some(way) = call.way.borrow_and_update().clone() else { return };
    let trunk = way.trunk.clone();
    let is_known = way.taken && *went == Some(Way { trunk: trunk.clone(), taken: false });
    if !is_known {
        teller.tell(CallChange::Line { trunk, redirected_from: None, verification: None }).await;
        if went.as_ref().is_some_and(|before| before.taken) {
            teller.status(CallStatus::Queued).await;
        }
    }
    if way.taken {
        teller.status(CallStatus::Started).await;
    }
    *went = Some(way);
}

struct Answered {
    call: SipCall,
    leg: Leg,
    sdp: String,
    prepared: Prepared,
}

async fn talk(parts: &Parts, plan: &CallPlan, place: &Place, answered: Answered) {
    let Answered { call, leg, sdp, prepared } = answered;
    match leg.accept(&sdp) {
        Ok(agreed) => {
            let direction = CallDirection::Outbound;
            let session = conversing::Session { call, leg, agreed, prepared, direction };
            conversing::run(parts, plan, place, session).await;
        }
        Err(error) => {
            tracing::warn!(%error, "the callee's answer cannot be used");
            call.handle.hang_up();
            let end = SipEnd::ProtocolError { detail: error.to_string() };
            let known = Circumstances::unanswered(CallDirection::Outbound, Some(end));
            unanswered(&place.teller, known, leg.end()).await;
        }
    }
}
