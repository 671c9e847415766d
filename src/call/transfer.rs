//! Handing a call to a second party: what happens with the two legs, as a state machine.
//!
//! In come what the conversation wants and what becomes of the second leg; out come steps, in order. Either
//! this node carries the transfer itself: the first leg stays, a second one is dialled beside it, and once
//! that is answered, its party told what it must be, and in a warm transfer willing, the media of the two are
//! bridged. Or the carrier is asked to (REFER): then there is no second leg here, and once the carrier says
//! that it is done the first one ends. A carrier that refuses leaves it to this node, where the trunk says so.

use crate::call::record::TransferStatus;
use crate::sip::{Referral, SipEnd, TransferBy};
use crate::voice::Event;
use crate::voice::introduction::Verdict;

/// What happens to a transfer. The caller is the first leg's far end, the target the second's.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Happening {
    /// The conversation wants it.
    Wanted,
    /// There is a line for the second leg.
    LineTaken,
    NoLine,
    /// Its number may be called now.
    Allowed,
    /// The rules say no.
    Refused,
    /// What the carrier says of the REFER.
    Referral(Referral),
    /// It cannot be asked.
    Unreferred,
    /// The target answered.
    Answered,
    /// What the target says to that.
    Introduced(Verdict),
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
    TakeLine,
    /// Ask the rules.
    AskLeave,
    /// Ask the carrier to call the target.
    Refer,
    Dial,
    /// Tell the target that the call is recorded, or who is on the line.
    Introduce,
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
    /// A line is taken and the rules are asked, `allowed` once they have answered.
    Asking {
        allowed: bool,
    },
    /// The carrier is asked; it has said that it does it, or not yet.
    Referring {
        accepted: bool,
    },
    /// The carrier has joined the two: the first leg is about to end.
    Referred,
    Ringing,
    Introducing,
    Joining,
    Bridged,
    /// The second leg is being ended, and the first goes on or is over too.
    Leaving,
    Over,
}

#[derive(Debug)]
pub(super) struct Transfer {
    by: TransferBy,
    speaks_first: bool,
    state: State,
    call_over: bool,
}

impl Transfer {
    /// `speaks_first`: the target is told or asked something before the two are joined.
    pub(super) fn new(by: TransferBy, speaks_first: bool) -> Self {
        Transfer { by, speaks_first, state: State::Idle, call_over: false }
    }

    pub(super) fn handle(&mut self, happening: Happening) -> Vec<Step> {
        use Happening as H;
        match (self.state, happening) {
            (State::Idle, H::Wanted) => self.begin(),
            (State::Asking { .. }, happening) if happening != H::CallOver => self.handle_asked(happening),
            (State::Referring { .. }, H::Referral(referral)) => self.handle_referral(referral),
            (State::Referring { .. }, H::Unreferred) => self.unreferred(TransferStatus::Failed),
            (State::Ringing, H::Answered) if self.speaks_first => {
                self.become_with(State::Introducing, [Step::Introduce])
            }
            (State::Ringing, H::Answered) => self.become_with(State::Joining, [Step::Join]),
            (State::Ringing, H::TargetEnded(end)) => self.fail(status_of(end.as_ref())),
            (State::Introducing, happening) if happening != H::CallOver => {
                self.handle_introduction(happening)
            }
            (State::Joining, H::Joined) => {
                let told = [Step::Record(TransferStatus::Answered), Step::Tell(Event::TransferAnswered)];
                self.become_with(State::Bridged, told)
            }
            (State::Joining, H::Unusable | H::TargetEnded(_)) => self.send_away(TransferStatus::Failed),
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

    /// The carrier needs no line of this node.
    fn begin(&mut self) -> Vec<Step> {
        let first = if self.by == TransferBy::Bridge { Step::TakeLine } else { Step::AskLeave };
        self.become_with(State::Asking { allowed: false }, [first])
    }

    fn handle_asked(&mut self, happening: Happening) -> Vec<Step> {
        use Happening as H;
        let ring = [Step::Record(TransferStatus::Ringing), Step::RingBack];
        match (self.state, happening) {
            // The rules were asked before the carrier was, and the caller hears the tone already.
            (State::Asking { allowed: true }, H::LineTaken) => self.become_with(State::Ringing, [Step::Dial]),
            (_, H::LineTaken) => vec![Step::AskLeave],
            (_, H::Allowed) => {
                let [record, ring] = ring;
                match self.by {
                    TransferBy::Bridge => self.become_with(State::Ringing, [record, ring, Step::Dial]),
                    TransferBy::Refer | TransferBy::Auto => {
                        let referring = State::Referring { accepted: false };
                        self.become_with(referring, [record, ring, Step::Refer])
                    }
                }
            }
            (_, H::NoLine) => self.fail(TransferStatus::NoLine),
            (_, H::Refused) => self.fail(TransferStatus::Refused),
            _ => Vec::new(),
        }
    }

    fn handle_referral(&mut self, referral: Referral) -> Vec<Step> {
        match referral {
            Referral::Accepted | Referral::Ringing => {
                self.become_with(State::Referring { accepted: true }, [])
            }
            Referral::Done => {
                let told = [Step::Record(TransferStatus::Referred), Step::Tell(Event::Referred)];
                self.become_with(State::Referred, told)
            }
            // It began, and a refusal that comes after that leaves open how far it got.
            Referral::Refused { .. } if self.state == (State::Referring { accepted: true }) => {
                self.fail(TransferStatus::Failed)
            }
            Referral::Refused { .. } => self.unreferred(TransferStatus::Failed),
            // It cannot make such calls: the target's telephone has not rung.
            Referral::Failed { status: 405 | 420 | 500..600 } => self.unreferred(TransferStatus::Failed),
            Referral::Failed { status } => self.fail(status_of_code(status)),
            // Whether it still calls the target is not known: nobody is rung twice.
            Referral::Lost => self.fail(TransferStatus::Failed),
        }
    }

    /// The carrier does not do it: neither this transfer nor another one of this call.
    fn unreferred(&mut self, status: TransferStatus) -> Vec<Step> {
        if self.by != TransferBy::Auto {
            return self.fail(status);
        }
        self.by = TransferBy::Bridge;
        self.become_with(State::Asking { allowed: true }, [Step::TakeLine])
    }

    fn handle_introduction(&mut self, happening: Happening) -> Vec<Step> {
        use Happening as H;
        match happening {
            H::Introduced(Verdict::Accepted) => self.become_with(State::Joining, [Step::Join]),
            H::Introduced(Verdict::Declined) => self.send_away(TransferStatus::Rejected),
            H::Introduced(Verdict::Nobody) => self.send_away(TransferStatus::NoAnswer),
            H::Introduced(Verdict::Lost) | H::Unusable | H::TargetLost => {
                self.send_away(TransferStatus::Failed)
            }
            // Who hangs up does not want the call.
            H::TargetEnded(_) => self.fail(TransferStatus::Rejected),
            _ => Vec::new(),
        }
    }

    fn call_ended(&mut self) -> Vec<Step> {
        self.call_over = true;
        match self.state {
            State::Idle | State::Asking { .. } | State::Referred | State::Over => {
                self.become_with(State::Over, [])
            }
            // What it has taken on it does, whether or not this leg lives.
            State::Referring { accepted: true } => {
                self.become_with(State::Over, [Step::Record(TransferStatus::Referred)])
            }
            State::Referring { accepted: false } => {
                self.become_with(State::Over, [Step::Record(TransferStatus::Cancelled)])
            }
            State::Leaving => Vec::new(),
            State::Bridged => self.become_with(State::Leaving, [Step::HangUp]),
            State::Ringing | State::Introducing | State::Joining => {
                let steps = [Step::HangUp, Step::Record(TransferStatus::Cancelled)];
                self.become_with(State::Leaving, steps)
            }
        }
    }

    fn fail(&mut self, status: TransferStatus) -> Vec<Step> {
        let steps = [Step::Quiet, Step::Record(status), Step::Tell(Event::TransferFailed)];
        self.become_with(State::Idle, steps)
    }

    /// The second leg is ended, and the agent comes back.
    fn send_away(&mut self, status: TransferStatus) -> Vec<Step> {
        let mut steps = self.fail(status);
        self.state = State::Leaving;
        steps.insert(0, Step::HangUp);
        steps
    }

    fn become_with<const N: usize>(&mut self, state: State, steps: [Step; N]) -> Vec<Step> {
        self.state = state;
        steps.into()
    }
}

/// What the end of a leg that was not answered means.
fn status_of(end: Option<&SipEnd>) -> TransferStatus {
    match end {
        Some(SipEnd::NoAnswer) => TransferStatus::NoAnswer,
        Some(SipEnd::Rejected { status, .. }) => status_of_code(*status),
        _ => TransferStatus::Failed,
    }
}

/// What the final status of a call to the target means.
fn status_of_code(status: u16) -> TransferStatus {
    match status {
        486 | 600 => TransferStatus::Busy,
        408 | 480 | 487 => TransferStatus::NoAnswer,
        403 | 603 | 607 | 608 => TransferStatus::Rejected,
        _ => TransferStatus::Failed,
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
