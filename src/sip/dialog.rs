//! One call as SIP sees it: a state machine that is told what happened and says what to do. It names
//! no socket and no clock; [`super::driver`] owns both.
//!
//! Its promise is that a call ends exactly once, within bounded time, whatever the network does: the
//! end is told the moment it is decided, and what SIP still owes the peer (the CANCEL's outcome, a 200
//! that crossed it, a BYE) is settled in the states after it.

use std::time::{Duration, Instant};

use super::{end::SipEnd, routes};
use crate::base::Pii;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// From an INVITE to any response at all.
    pub setup: Duration,
    /// From the beginning until the last INVITE leaves, its address found and its turn come.
    pub hunt: Duration,
    /// From a first 100, which only the next hop says, to any word of the callee's side.
    pub progress: Duration,
    /// From that word, or from an INVITE that came in, to the answer.
    pub ring: Duration,
    /// How long a call that has ended may keep signalling before it is let go.
    pub linger: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Our INVITE waits for an address and for its turn.
    Waiting,
    /// Our INVITE is out, nothing was heard.
    Inviting,
    /// The next hop has it (100).
    Trying,
    /// The callee's side has it (any other 1xx).
    Proceeding,
    /// The peer's INVITE is here; we have not answered.
    Offered,
    /// Our 200 is out, its ACK is not here.
    Accepted,
    /// A 200 was exchanged and acknowledged.
    Answered,
    /// Ended before an answer; the INVITE is being taken back.
    Cancelling,
    /// Ended between our 200 and its ACK, before which no BYE may leave (RFC 3261 section 15).
    Withdrawing,
    /// Ended after an answer; a BYE is out.
    Closing,
    /// Nothing is owed to anyone.
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Our INVITE has left. If it is the last, no other address or trunk is left to try.
    Sent {
        last: bool,
    },
    Trying,
    /// A 1xx that neither rings nor plays, and is no 100.
    Progressing,
    Ringing,
    EarlyMedia {
        sdp: String,
    },
    /// A 2xx to our INVITE; it is acknowledged already.
    Answered {
        sdp: String,
    },
    /// The INVITE failed: a final response, an ICMP error, a broken message.
    Failed(SipEnd),
    /// The INVITE's transaction is over and leaves no session.
    InviteOver,
    /// We answer the peer's INVITE.
    Accept {
        sdp: String,
    },
    /// We refuse the peer's INVITE.
    Refuse {
        status: u16,
    },
    /// The peer acknowledged our 200.
    Acknowledged,
    /// The peer took its INVITE back.
    PeerCancelled,
    PeerHungUp,
    /// The session broke: a 200 that is never acknowledged, an authentication that fails in a dialog.
    Broke(SipEnd),
    /// The session was not refreshed, or the peer knows it no more.
    Lost(SipEnd),
    /// What we told before the answer, and had to be acknowledged, never was (RFC 3262 section 3).
    Unacknowledged,
    HangUp,
    /// Our BYE got its response, or never will.
    ByeOver,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Tell(Progress),
    /// Told once in the life of a call.
    TellEnd(SipEnd),
    /// Take the INVITE back: a CANCEL once a 1xx has come (RFC 3261 section 9.1), an ACK and a BYE
    /// if a 200 comes instead.
    Abandon,
    /// Abandon this INVITE, and try the next address or trunk.
    TryNext(SipEnd),
    SendBye,
    SendAnswer {
        sdp: String,
    },
    SendRefusal {
        status: u16,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    Trying,
    Ringing,
    EarlyMedia { sdp: String },
    Answered { sdp: String },
}

#[derive(Debug)]
pub(super) struct Call {
    state: State,
    limits: Limits,
    deadline: Option<Instant>,
    /// When no other INVITE may leave any more.
    last_leaves: Instant,
    /// Whether another address or trunk may be tried if this one fails.
    has_others: bool,
    /// Whether something was heard that a caller would hear: ringing, or audio.
    rang: bool,
}

impl Call {
    /// A call whose INVITE has yet to leave.
    pub fn outbound(now: Instant, limits: Limits) -> Self {
        Call::begin(State::Waiting, limits, now + limits.hunt)
    }

    /// A call whose INVITE came in now.
    pub fn inbound(now: Instant, limits: Limits) -> Self {
        Call::begin(State::Offered, limits, now + limits.ring)
    }

    fn begin(state: State, limits: Limits, deadline: Instant) -> Self {
        Call {
            state,
            limits,
            deadline: Some(deadline),
            last_leaves: deadline,
            has_others: false,
            rang: false,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Whether its end has been told.
    pub fn has_ended(&self) -> bool {
        use State::{Cancelling, Closed, Closing, Withdrawing};
        matches!(self.state, Cancelling | Withdrawing | Closing | Closed)
    }

    /// When to call [`Call::handle_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Effect> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        match self.state {
            State::Waiting => {
                let detail = format!("no trunk within {} s", self.limits.hunt.as_secs_f32());
                self.abandon(now, SipEnd::Unreachable { detail })
            }
            State::Inviting => {
                let detail = format!("no response within {} s", self.limits.setup.as_secs_f32());
                self.try_next_or_abandon(now, SipEnd::Unreachable { detail })
            }
            State::Trying => {
                let limit = self.limits.progress.as_secs_f32();
                let detail = format!("nothing of the callee within {limit} s after a 100");
                self.try_next_or_abandon(now, SipEnd::Unreachable { detail })
            }
            State::Proceeding => self.abandon(now, SipEnd::NoAnswer),
            State::Offered => self.refuse(480, SipEnd::NoAnswer),
            State::Cancelling | State::Withdrawing | State::Closing => {
                self.enter_closed();
                Vec::new()
            }
            State::Accepted | State::Answered | State::Closed => Vec::new(),
        }
    }

    pub fn handle(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match self.state {
            State::Waiting => self.handle_waiting(now, event),
            State::Inviting | State::Trying | State::Proceeding => self.handle_inviting(now, event),
            State::Offered => self.handle_offered(event),
            State::Accepted => self.handle_accepted(now, event),
            State::Answered => self.handle_answered(now, event),
            State::Cancelling => self.handle_cancelling(now, event),
            State::Withdrawing => self.handle_withdrawing(now, event),
            State::Closing => self.handle_closing(event),
            State::Closed => Vec::new(),
        }
    }

    fn handle_waiting(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::Sent { last } => {
                self.state = State::Inviting;
                self.deadline = Some(now + self.limits.setup);
                self.has_others = !last;
                Vec::new()
            }
            Event::Failed(end) => self.close(end),
            Event::HangUp => self.abandon(now, SipEnd::Cancelled),
            _ => Vec::new(),
        }
    }

    fn handle_inviting(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::Trying => {
                if self.state == State::Inviting {
                    self.state = State::Trying;
                    self.deadline = Some(now + self.limits.progress);
                }
                vec![Effect::Tell(Progress::Trying)]
            }
            Event::Progressing => self.proceed(now, Progress::Trying),
            Event::Ringing => {
                self.rang = true;
                self.proceed(now, Progress::Ringing)
            }
            Event::EarlyMedia { sdp } => {
                self.rang = true;
                self.proceed(now, Progress::EarlyMedia { sdp })
            }
            Event::Answered { sdp } => {
                self.enter_answered();
                vec![Effect::Tell(Progress::Answered { sdp })]
            }
            Event::Failed(end) => self.try_next(now, end).unwrap_or_else(|end| self.close(end)),
            Event::Broke(end) => self.close(end),
            Event::InviteOver | Event::PeerHungUp => {
                self.close(SipEnd::ProtocolError { detail: "the INVITE ended without a response".into() })
            }
            Event::HangUp => self.abandon(now, SipEnd::Cancelled),
            Event::Sent { .. }
            | Event::Accept { .. }
            | Event::Refuse { .. }
            | Event::Acknowledged
            | Event::PeerCancelled
            | Event::Lost(_)
            | Event::Unacknowledged
            | Event::ByeOver => Vec::new(),
        }
    }

    fn handle_offered(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Accept { sdp } => {
                self.state = State::Accepted;
                self.deadline = None;
                vec![Effect::SendAnswer { sdp }]
            }
            Event::Refuse { status } => {
                self.refuse(status, SipEnd::Rejected { status, reason: Pii::new("refused here".into()) })
            }
            Event::HangUp => self.refuse(480, SipEnd::LocalHangup),
            Event::Unacknowledged => {
                let detail = "our ringing was never acknowledged".into();
                self.refuse(504, SipEnd::Unreachable { detail })
            }
            Event::PeerCancelled => self.close(SipEnd::Cancelled),
            // A BYE in the early dialog: its INVITE gets an answer, too (RFC 3261 section 15.1.2).
            Event::PeerHungUp => self.refuse(487, SipEnd::Cancelled),
            Event::Failed(end) | Event::Broke(end) => self.close(end),
            _ => Vec::new(),
        }
    }

    fn handle_accepted(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::Acknowledged => {
                self.enter_answered();
                Vec::new()
            }
            Event::HangUp => {
                self.enter_tail(State::Withdrawing, now);
                vec![Effect::TellEnd(SipEnd::LocalHangup)]
            }
            Event::PeerHungUp => self.close(SipEnd::RemoteHangup),
            Event::Broke(end) => self.close(end),
            _ => Vec::new(),
        }
    }

    fn handle_answered(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::HangUp => {
                self.enter_tail(State::Closing, now);
                vec![Effect::SendBye, Effect::TellEnd(SipEnd::LocalHangup)]
            }
            // It is over for us; a peer that still lives must hear of it (RFC 4028 section 10).
            Event::Lost(end) => {
                self.enter_tail(State::Closing, now);
                vec![Effect::SendBye, Effect::TellEnd(end)]
            }
            Event::PeerHungUp => self.close(SipEnd::RemoteHangup),
            Event::Broke(end) => self.close(end),
            _ => Vec::new(),
        }
    }

    fn handle_cancelling(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            // The 200 was on its way before we gave up: the session exists and must be ended.
            Event::Answered { .. } => {
                self.enter_tail(State::Closing, now);
                vec![Effect::SendBye]
            }
            Event::Failed(_) | Event::InviteOver | Event::PeerHungUp | Event::Broke(_) => {
                self.enter_closed();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn handle_withdrawing(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::Acknowledged => {
                self.enter_tail(State::Closing, now);
                vec![Effect::SendBye]
            }
            // Without an ACK the stack sends the BYE itself, and reports the session broken.
            Event::PeerHungUp | Event::Broke(_) => {
                self.enter_closed();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn handle_closing(&mut self, event: Event) -> Vec<Effect> {
        if matches!(event, Event::ByeOver | Event::PeerHungUp | Event::Broke(_)) {
            self.enter_closed();
        }
        Vec::new()
    }

    /// Goes on elsewhere, if there is an elsewhere and the end is one after which it may do better.
    fn try_next(&mut self, now: Instant, end: SipEnd) -> Result<Vec<Effect>, SipEnd> {
        let may = self.has_others && !self.rang && now < self.last_leaves;
        if !may || !routes::goes_on_after(&end) {
            return Err(end);
        }
        self.state = State::Waiting;
        self.deadline = Some(self.last_leaves);
        Ok(vec![Effect::TryNext(end)])
    }

    fn try_next_or_abandon(&mut self, now: Instant, end: SipEnd) -> Vec<Effect> {
        self.try_next(now, end).unwrap_or_else(|end| self.abandon(now, end))
    }

    fn proceed(&mut self, now: Instant, progress: Progress) -> Vec<Effect> {
        if self.state != State::Proceeding {
            self.state = State::Proceeding;
            self.deadline = Some(now + self.limits.ring);
        }
        vec![Effect::Tell(progress)]
    }

    fn abandon(&mut self, now: Instant, end: SipEnd) -> Vec<Effect> {
        self.enter_tail(State::Cancelling, now);
        vec![Effect::Abandon, Effect::TellEnd(end)]
    }

    fn refuse(&mut self, status: u16, end: SipEnd) -> Vec<Effect> {
        self.enter_closed();
        vec![Effect::SendRefusal { status }, Effect::TellEnd(end)]
    }

    fn close(&mut self, end: SipEnd) -> Vec<Effect> {
        self.enter_closed();
        vec![Effect::TellEnd(end)]
    }

    fn enter_answered(&mut self) {
        self.state = State::Answered;
        self.deadline = None;
    }

    fn enter_tail(&mut self, state: State, now: Instant) {
        self.state = state;
        self.deadline = Some(now + self.limits.linger);
    }

    fn enter_closed(&mut self) {
        self.state = State::Closed;
        self.deadline = None;
    }
}

#[cfg(test)]
mod tests;
