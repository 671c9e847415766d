//! Handing a call to a second party: what happens with the two legs, as a state machine.
//!
//! In come what the conversation wants and what becomes of the second leg; out come steps, in order. It is
//! a blind transfer that this node carries itself: the first leg stays, a second one is dialled beside it,
//! and once that is answered the media of the two are bridged. Nothing of it depends on the carrier.

use crate::call::record::TransferStatus;
use crate::sip::SipEnd;
use crate::voice::Event;

/// What happens to a transfer. The caller is the first leg's far end, the target the second's.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Happening {
    /// The conversation wants it.
    Wanted,
    /// There is a line for the second leg, and its number may be called now.
    Allowed,
    NoLine,
    /// The rules say no.
    Refused,
    /// The target answered.
    Answered,
    /// The media of both legs are joined.
    Joined,
    /// They cannot be.
    Unusable,
    /// The second leg is over, or never came to be.
    TargetEnded(Option<SipEnd>),
    /// Nothing comes from the target any more.
    TargetLost,
    CallerPressed(char),
    TargetPressed(char),
    /// The first leg is over.
    CallOver,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Take a line and ask the rules.
    AskLeave,
    Dial,
    /// The caller hears that it rings.
    RingBack,
    /// The caller hears the agent again.
    Quiet,
    /// Join the media of both legs.
    Join,
    /// End the second leg: CANCEL or BYE.
    HangUp,
    PressToCaller(char),
    PressToTarget(char),
    Record(TransferStatus),
    Tell(Event),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// The agent has the call.
    #[default]
    Idle,
    Asking,
    Ringing,
    Joining,
    Bridged,
    /// The second leg is being ended, and the first goes on or is over too.
    Leaving,
    Over,
}

#[derive(Debug, Default)]
pub(super) struct Transfer {
    state: State,
    call_over: bool,
}

impl Transfer {
    pub(super) fn handle(&mut self, happening: Happening) -> Vec<Step> {
        use Happening as H;
        match (self.state, happening) {
            (State::Idle, H::Wanted) => self.become_with(State::Asking, [Step::AskLeave]),
            (State::Asking, H::Allowed) => {
                let ring = [Step::Record(TransferStatus::Ringing), Step::RingBack, Step::Dial];
                self.become_with(State::Ringing, ring)
            }
            (State::Asking, H::NoLine) => self.fail(TransferStatus::NoLine),
            (State::Asking, H::Refused) => self.fail(TransferStatus::Refused),
            (State::Ringing, H::Answered) => self.become_with(State::Joining, [Step::Join]),
            (State::Ringing, H::TargetEnded(end)) => self.fail(status_of(end.as_ref())),
            (State::Joining, H::Joined) => {
                let told = [Step::Record(TransferStatus::Answered), Step::Tell(Event::TransferAnswered)];
                self.become_with(State::Bridged, told)
            }
            (State::Joining, H::Unusable | H::TargetEnded(_)) => {
                let mut steps = self.fail(TransferStatus::Failed);
                self.state = State::Leaving;
                steps.insert(0, Step::HangUp);
                steps
            }
            (State::Bridged, H::CallerPressed(digit)) => vec![Step::PressToTarget(digit)],
            (State::Bridged, H::TargetPressed(digit)) => vec![Step::PressToCaller(digit)],
            (State::Bridged, H::TargetEnded(_)) => {
                self.become_with(State::Over, [Step::Tell(Event::TransferOver)])
            }
            (State::Bridged, H::TargetLost) => {
                self.become_with(State::Leaving, [Step::HangUp, Step::Tell(Event::TransferOver)])
            }
            (State::Leaving, H::TargetEnded(_)) => {
                let next = if self.call_over { State::Over } else { State::Idle };
                self.become_with(next, [])
            }
            // The agent came back while the second leg was still being ended.
            (State::Leaving, H::Wanted) => {
                vec![Step::Record(TransferStatus::Failed), Step::Tell(Event::TransferFailed)]
            }
            (_, H::CallOver) => self.call_ended(),
            _ => Vec::new(),
        }
    }

    /// Both legs are over.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    fn call_ended(&mut self) -> Vec<Step> {
        self.call_over = true;
        match self.state {
            State::Idle | State::Asking | State::Over => self.become_with(State::Over, []),
            State::Leaving => Vec::new(),
            State::Bridged => self.become_with(State::Leaving, [Step::HangUp]),
            State::Ringing | State::Joining => {
                let steps = [Step::HangUp, Step::Record(TransferStatus::Cancelled)];
                self.become_with(State::Leaving, steps)
            }
        }
    }

    fn fail(&mut self, status: TransferStatus) -> Vec<Step> {
        let steps = [Step::Quiet, Step::Record(status), Step::Tell(Event::TransferFailed)];
        self.become_with(State::Idle, steps)
    }

    fn become_with<const N: usize>(&mut self, state: State, steps: [Step; N]) -> Vec<Step> {
        self.state = state;
        steps.into()
    }
}

/// What the end of a leg that was not answered means.
fn status_of(end: Option<&SipEnd>) -> TransferStatus {
    match end {
        Some(SipEnd::Rejected { status: 486 | 600, .. }) => TransferStatus::Busy,
        Some(SipEnd::NoAnswer | SipEnd::Rejected { status: 408 | 480 | 487, .. }) => TransferStatus::NoAnswer,
        Some(SipEnd::Rejected { status: 403 | 603 | 607 | 608, .. }) => TransferStatus::Rejected,
        _ => TransferStatus::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(status: u16) -> Happening {
        Happening::TargetEnded(Some(SipEnd::Rejected { status, reason: "No".into() }))
    }

    /// A transfer that has gone through all of these, and what the last one led to.
    fn after<const N: usize>(happenings: [Happening; N]) -> (Transfer, Vec<Step>) {
        let mut transfer = Transfer::default();
        let steps = happenings.into_iter().map(|happening| transfer.handle(happening)).last();
        (transfer, steps.unwrap_or_default())
    }

    const RINGING: [Happening; 2] = [Happening::Wanted, Happening::Allowed];

    fn bridged() -> Transfer {
        let [wanted, allowed] = RINGING;
        let (transfer, steps) = after([wanted, allowed, Happening::Answered, Happening::Joined]);
        let told = [Step::Record(TransferStatus::Answered), Step::Tell(Event::TransferAnswered)];
        assert_eq!(steps, told);
        transfer
    }

    fn came_back(status: TransferStatus) -> Vec<Step> {
        vec![Step::Quiet, Step::Record(status), Step::Tell(Event::TransferFailed)]
    }

    #[test]
    fn nobody_is_dialled_before_the_rules_allow_it() {
        let (mut transfer, steps) = after([Happening::Wanted]);
        assert_eq!(steps, [Step::AskLeave]);
        let steps = transfer.handle(Happening::Allowed);
        assert_eq!(steps, [Step::Record(TransferStatus::Ringing), Step::RingBack, Step::Dial]);
        assert_eq!(transfer.handle(Happening::Answered), [Step::Join]);
    }

    #[test]
    fn whoever_is_not_reached_gives_the_call_back_to_the_agent() {
        for (happening, status) in [
            (rejected(486), TransferStatus::Busy),
            (rejected(480), TransferStatus::NoAnswer),
            (rejected(603), TransferStatus::Rejected),
            (rejected(404), TransferStatus::Failed),
            (Happening::TargetEnded(Some(SipEnd::NoAnswer)), TransferStatus::NoAnswer),
            (Happening::TargetEnded(None), TransferStatus::Failed),
        ] {
            let [wanted, allowed] = RINGING;
            let (mut transfer, steps) = after([wanted, allowed, happening]);
            assert_eq!(steps, came_back(status));
            assert_eq!(transfer.handle(Happening::Wanted), [Step::AskLeave], "it may be tried again");
        }
        assert_eq!(after([Happening::Wanted, Happening::Refused]).1, came_back(TransferStatus::Refused));
        assert_eq!(after([Happening::Wanted, Happening::NoLine]).1, came_back(TransferStatus::NoLine));
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_hung_up() {
        let [wanted, allowed] = RINGING;
        let (mut transfer, steps) = after([wanted, allowed, Happening::Answered, Happening::Unusable]);
        assert_eq!(steps[0], Step::HangUp);
        assert_eq!(steps[1..], came_back(TransferStatus::Failed));
        assert_eq!(transfer.handle(Happening::TargetEnded(Some(SipEnd::LocalHangup))), []);
        assert_eq!(transfer.handle(Happening::Wanted), [Step::AskLeave]);
    }

    #[test]
    fn a_caller_who_hangs_up_takes_the_ringing_leg_along() {
        let [wanted, allowed] = RINGING;
        let (mut transfer, steps) = after([wanted, allowed, Happening::CallOver]);
        assert_eq!(steps, [Step::HangUp, Step::Record(TransferStatus::Cancelled)]);
        assert!(!transfer.is_over(), "the second leg has not ended");
        // A 200 that crosses the CANCEL joins nobody.
        assert_eq!(transfer.handle(Happening::Answered), []);
        transfer.handle(Happening::TargetEnded(Some(SipEnd::Cancelled)));
        assert!(transfer.is_over());
    }

    #[test]
    fn either_end_of_a_bridge_ends_the_other() {
        let mut transfer = bridged();
        let end = Happening::TargetEnded(Some(SipEnd::RemoteHangup));
        assert_eq!(transfer.handle(end.clone()), [Step::Tell(Event::TransferOver)]);
        assert!(transfer.is_over());
        let mut transfer = bridged();
        assert_eq!(transfer.handle(Happening::CallOver), [Step::HangUp]);
        assert_eq!(transfer.handle(end), []);
        assert!(transfer.is_over());
    }

    #[test]
    fn a_target_that_goes_mute_is_hung_up() {
        let mut transfer = bridged();
        let steps = transfer.handle(Happening::TargetLost);
        assert_eq!(steps, [Step::HangUp, Step::Tell(Event::TransferOver)]);
        assert_eq!(transfer.handle(Happening::CallOver), []);
        transfer.handle(Happening::TargetEnded(Some(SipEnd::LocalHangup)));
        assert!(transfer.is_over());
    }

    #[test]
    fn keys_pass_both_ways_once_the_two_are_joined() {
        let [wanted, allowed] = RINGING;
        assert_eq!(after([wanted, allowed, Happening::CallerPressed('1')]).1, []);
        let mut transfer = bridged();
        assert_eq!(transfer.handle(Happening::CallerPressed('1')), [Step::PressToTarget('1')]);
        assert_eq!(transfer.handle(Happening::TargetPressed('#')), [Step::PressToCaller('#')]);
    }

    #[test]
    fn a_call_without_a_transfer_is_over_with_its_first_leg() {
        let (transfer, steps) = after([Happening::CallOver]);
        assert!(transfer.is_over() && steps.is_empty());
    }
}
