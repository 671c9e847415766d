//! A call that comes in: answered by a persona.

use std::time::Duration;

use crate::base::E164;
use crate::call::before_answer::{self, Described, Prelude, stopped, unanswered};
use crate::call::bridge::tone_of;
use crate::call::conversing;
use crate::call::directory::{OwnNumbers, Parts, Place, Stop};
use crate::call::ending::Circumstances;
use crate::call::event::CallChange;
use crate::call::leg::Leg;
use crate::call::persona::Persona;
use crate::call::record::{CallDirection, CallStatus};
use crate::sip::{IncomingCall, Party, SipCall, SipEnd};

/// Refuses: nobody is there to answer (404), or all lines are in use (486).
pub(super) async fn refuse(incoming: IncomingCall, nobody: bool) {
    let status = if nobody { 404 } else { 486 };
    if let Err(error) = incoming.reject(status).await {
        tracing::debug!(%error, "the caller gave up before the refusal");
    }
}

/// Runs the call from its first event to its last.
pub(super) async fn run(parts: &Parts, incoming: IncomingCall, persona: &Persona, place: &Place) {
    let teller = &place.teller;
    let plan = persona.plan(
        called(&parts.numbers, &incoming.called, incoming.to.as_ref()).await,
        number(incoming.from.as_ref()),
    );
    let voice = (parts.voices)(&plan.voice, &plan.language);
    let direction = CallDirection::Inbound;
    teller.tell(CallChange::Created { direction, plan: Box::new(plan.clone()) }).await;
    let (redirected_from, verification) = (incoming.redirected_from.clone(), incoming.verification);
    teller.tell(CallChange::Line { trunk: incoming.trunk.clone(), redirected_from, verification }).await;
    teller.status(CallStatus::Ringing).await;
    teller.tell(CallChange::Voice { name: voice.name.clone() }).await;
    let prepared = parts.talk(&plan, &voice, direction);
    let prelude = persona.plays_before_answer().then(|| Prelude {
        tone: tone_of(plan.to.as_ref().or(plan.from.as_ref())),
        rings: Duration::from_secs(persona.ring_secs),
        announcement: persona.announcement.clone(),
        tts: prepared.tts.clone(),
        voice,
    });
    match answer(parts, incoming, prelude, &place.stop).await {
        Ok((call, Described { leg, agreed, .. })) => {
            let session = conversing::Session { call, leg, agreed, prepared, direction };
            conversing::run(parts, &plan, place, session).await;
        }
        Err(known) => teller.ended(known).await,
    }
    teller.tell(CallChange::Closed).await;
}

/// Rings, or plays, then answers. A caller without an offer gets ours and its answer follows later; until then
/// nothing is sent to it.
async fn answer(
    parts: &Parts,
    mut incoming: IncomingCall,
    prelude: Option<Prelude>,
    stop: &Stop,
) -> Result<(SipCall, Described), Circumstances> {
    let mut leg = Leg::reserve(&parts.media, (parts.advertise)()).map_err(|error| {
        tracing::error!(%error, "no port for the audio of a call");
        unanswered(None)
    })?;
    leg.secure(incoming.srtp());
    let (sdp, agreed) = match &incoming.offer {
        Some(offer) => match leg.answer(offer) {
            Ok(answered) => answered,
            Err(error) => {
                tracing::warn!(%error, "the caller's offer cannot be used");
                let refused = incoming.reject(488).await;
                return Err(unanswered(refused.err().map(|_| SipEnd::Cancelled)));
            }
        },
        None => (leg.offer(), leg.unanswered()),
    };
    let described = Described { leg, sdp, agreed };
    let described = match prelude {
        Some(prelude) => before_answer::play(prelude, &mut incoming, described, stop).await?,
        None if incoming.ring().await.is_err() => return Err(unanswered(incoming.ended().await)),
        None => described,
    };
    // The caller may have yet to acknowledge what was played. A call that is dropped meanwhile is refused.
    tokio::select! {
        biased;
        () = stop.asked() => Err(stopped(stop)),
        answered = incoming.answer(described.sdp.clone()) => {
            answered.map(|call| (call, described)).map_err(unanswered)
        }
    }
}

/// The caller hears nothing while the called number is looked up.
const LOOKUP: Duration = Duration::from_millis(500);

/// Our number among those that the caller's INVITE names, else the likeliest of them, and that, too, where the
/// store takes its time.
async fn called(ours: &OwnNumbers, named: &[E164], likeliest: Option<&Party>) -> Option<E164> {
    let looked_up = async {
        for number in named {
            if ours(number.clone()).await {
                return Some(number.clone());
            }
        }
        None
    };
    let found = tokio::time::timeout(LOOKUP, looked_up).await.unwrap_or_else(|_| {
        tracing::warn!("the store did not say in time whose a called number is");
        None
    });
    found.or_else(|| number(likeliest))
}

fn number(party: Option<&Party>) -> Option<E164> {
    match party {
        Some(Party::Number(number)) => Some(number.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn first_of_the_named_numbers_that_is_ours_was_called() {
        let number = |text: &str| text.parse::<E164>().unwrap();
        let [target, to, asked] = ["+14155550101", "+14155550102", "+14155550103"].map(number);
        let likeliest = Party::Number(asked.clone());
        let called = async |ours: Vec<&E164>| {
            let ours: Vec<E164> = ours.into_iter().cloned().collect();
            let owns: OwnNumbers = Arc::new(move |number| {
                let is_ours = ours.contains(&number);
                Box::pin(async move { is_ours })
            });
            called(&owns, &[target.clone(), to.clone(), asked.clone()], Some(&likeliest)).await
        };
        assert_eq!(called(vec![&to, &asked]).await.as_ref(), Some(&to));
        assert_eq!(called(vec![&to, &target]).await.as_ref(), Some(&target));
        assert_eq!(called(vec![]).await.as_ref(), Some(&asked), "nobody knows better");
        let silent: OwnNumbers = Arc::new(|_| Box::pin(std::future::pending()));
        assert_eq!(super::called(&silent, &[target], Some(&likeliest)).await.as_ref(), Some(&asked));
    }
}
