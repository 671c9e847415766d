//! When a call is charged: once the far end rings, once it is over in a way that was the callee's doing, or once
//! a carrier has had it for a while and has not refused it. A call that waits for its turn at a trunk, that was
//! refused, or that every trunk left without a word is not.
//!
//! In come what a watcher of the call gets, and the time; out comes the verdict. Nothing is judged by the time
//! since the request: the call may wait for its turn, and a hunt begins anew with each trunk.

use std::time::{Duration, Instant};

use crate::{
    base::Fault,
    call::{event::CallChange, record::CallStatus},
    service::Update,
};

/// A carrier that took the call this long ago and has not refused it may have it ring: some never say so.
const SILENCE: Duration = Duration::from_secs(12);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Charged,
    /// It was no call, for this reason.
    Refused(String),
}

/// Of one call.
#[derive(Debug, Default)]
pub struct Charging {
    /// When the trunk that has the call has had it for long enough.
    deadline: Option<Instant>,
}

impl Charging {
    /// When to call [`Charging::handle_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Option<Verdict> {
        self.deadline.is_some_and(|deadline| deadline <= now).then_some(Verdict::Charged)
    }

    pub fn handle(&mut self, now: Instant, update: &Update) -> Option<Verdict> {
        match update {
            Update::State(record) if record.status.is_final() => {
                let reason = record.end_reason.clone().unwrap_or_default();
                Some(judge(record.status, record.fault, reason))
            }
            Update::State(record) => self.handle_status(now, record.status),
            Update::Change(recorded) => match &recorded.event.change {
                // Another trunk, or another address of one, that has not said anything yet.
                CallChange::Line { .. } => {
                    self.deadline = None;
                    None
                }
                CallChange::Status { status } => self.handle_status(now, *status),
                CallChange::Answered { .. } => Some(Verdict::Charged),
                CallChange::Ended(ending) => Some(judge(ending.status, ending.fault, ending.reason.clone())),
                _ => None,
            },
        }
    }

    fn handle_status(&mut self, now: Instant, status: CallStatus) -> Option<Verdict> {
        self.deadline = match status {
            CallStatus::Queued => None,
            CallStatus::Started => self.deadline.or(Some(now + SILENCE)),
            _ => return Some(Verdict::Charged),
        };
        None
    }
}

/// Busy and unanswered calls are calls; one that could not be made is none.
fn judge(status: CallStatus, fault: Option<Fault>, reason: String) -> Verdict {
    match status {
        CallStatus::Failed if fault != Some(Fault::Callee) => Verdict::Refused(reason),
        _ => Verdict::Charged,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::Utc;

    use super::*;
    use crate::{
        base::CallId,
        call::{
            event::{CallEvent, Ending},
            record::EndedBy,
        },
        store::Recorded,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn change(change: CallChange) -> Update {
        let event = CallEvent { call: CallId::generate(), at: Utc::now(), change };
        Update::Change(Arc::new(Recorded { event, revision: Some(1) }))
    }

    fn status(status: CallStatus) -> Update {
        change(CallChange::Status { status })
    }

    fn line(trunk: &str) -> Update {
        let line = CallChange::Line { trunk: trunk.into(), redirected_from: None, verification: None };
        change(line)
    }

    fn ended(status: CallStatus, fault: Fault) -> Update {
        let (ended_by, reason) = (EndedBy::Carrier, "it ended".to_owned());
        change(CallChange::Ended(Box::new(Ending {
            status,
            ended_by,
            fault: Some(fault),
            reason,
            length_secs: None,
        })))
    }

    /// A call that is told `updates`, each a second after the one before; and the time of the last.
    fn told(updates: &[Update]) -> (Charging, Instant) {
        let (mut charging, mut now) = (Charging::default(), Instant::now());
        for update in updates {
            now += SECOND;
            assert_eq!(charging.handle(now, update), None, "{update:?}");
        }
        (charging, now)
    }

    fn refused() -> Option<Verdict> {
        Some(Verdict::Refused("it ended".into()))
    }

    #[test]
    fn call_that_waits_for_its_turn_is_not_charged_however_long_that_takes() {
        let (mut charging, now) = told(&[status(CallStatus::Queued)]);
        assert_eq!((charging.poll_timeout(), charging.handle_timeout(now + 3_600 * SECOND)), (None, None));
        let gave_up = ended(CallStatus::Failed, Fault::Us);
        assert_eq!(charging.handle(now + 3_600 * SECOND, &gave_up), refused());
    }

    #[test]
    fn call_that_has_left_is_charged_when_it_rings_and_not_before() {
        let (mut charging, now) = told(&[status(CallStatus::Queued), line("a")]);
        assert_eq!(charging.poll_timeout(), None, "the trunk has not said a word");
        assert_eq!(charging.handle(now, &status(CallStatus::Ringing)), Some(Verdict::Charged));
    }

    #[test]
    fn carrier_that_has_taken_the_call_has_twelve_seconds_to_refuse_it() {
        let (mut charging, now) = told(&[line("a"), status(CallStatus::Started)]);
        assert_eq!(charging.poll_timeout(), Some(now + 12 * SECOND));
        assert_eq!(charging.handle_timeout(now + 11 * SECOND), None);
        assert_eq!(charging.handle_timeout(now + 12 * SECOND), Some(Verdict::Charged));
    }

    #[test]
    fn each_trunk_of_a_hunt_has_its_own_twelve_seconds() {
        let took = [line("a"), status(CallStatus::Started)];
        let (mut charging, now) = told(&took);
        assert_eq!(charging.handle(now + 9 * SECOND, &line("b")), None);
        assert_eq!(charging.poll_timeout(), None, "b has said nothing yet");
        assert_eq!(charging.handle(now + 9 * SECOND, &status(CallStatus::Queued)), None);
        assert_eq!(charging.handle(now + 10 * SECOND, &status(CallStatus::Started)), None);
        assert_eq!(charging.poll_timeout(), Some(now + 22 * SECOND));
    }

    #[test]
    fn hunt_that_finds_nobody_is_not_charged() {
        let hunt = [line("a"), status(CallStatus::Started), line("b"), status(CallStatus::Queued), line("c")];
        let (mut charging, now) = told(&hunt);
        assert_eq!(charging.handle(now, &ended(CallStatus::Failed, Fault::Carrier)), refused());
    }

    #[test]
    fn what_the_callee_did_is_a_call_and_what_it_was_not_asked_is_none() {
        let verdict = |update| told(&[line("a")]).0.handle(Instant::now(), &update);
        for (status, fault) in [(CallStatus::Busy, Fault::Callee), (CallStatus::NoAnswer, Fault::Callee)] {
            assert_eq!(verdict(ended(status, fault)), Some(Verdict::Charged));
        }
        assert_eq!(verdict(ended(CallStatus::Failed, Fault::Callee)), Some(Verdict::Charged), "declined");
        for fault in [Fault::Us, Fault::Carrier, Fault::Caller] {
            assert_eq!(verdict(ended(CallStatus::Failed, fault)), refused());
        }
    }
}
