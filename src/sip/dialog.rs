//! One call as SIP sees it: a state machine that is told what happened and says what to do. It names
//! no socket and no clock; [`super::driver`] owns both.
//!
//! Its promise is that a call ends exactly once, within bounded time, whatever the network does: the
//! end is told the moment it is decided, and what SIP still owes the peer (the CANCEL's outcome, a 200
//! that crossed it, a BYE) is settled in the states after it.

use std::time::{Duration, Instant};

use super::{end::SipEnd, routes};

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
                self.refuse(status, SipEnd::Rejected { status, reason: "refused here".into() })
            }
            Event::HangUp => self.refuse(480, SipEnd::LocalHangup),
            Event::Unacknowledged => {
                let detail = "our ringing was never acknowledged".into();
                self.refuse(504, SipEnd::Unreachable { detail })
            }
            Event::PeerCancelled => self.close(SipEnd::Cancelled),
            Event::PeerHungUp => self.close(SipEnd::RemoteHangup),
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        setup: Duration::from_secs(10),
        hunt: Duration::from_secs(30),
        progress: Duration::from_secs(20),
        ring: Duration::from_secs(60),
        linger: Duration::from_secs(40),
    };

    fn sdp() -> String {
        "v=0".into()
    }

    /// A call whose only INVITE has left.
    fn invited(now: Instant) -> Call {
        let mut call = Call::outbound(now, LIMITS);
        assert_eq!(call.handle(now, Event::Sent { last: true }), []);
        call
    }

    fn after(call: &mut Call, seconds: u64, start: Instant) -> Vec<Effect> {
        call.handle_timeout(start + Duration::from_secs(seconds))
    }

    #[test]
    fn answered_call_ends_by_our_bye() {
        let now = Instant::now();
        let mut call = invited(now);
        assert_eq!(call.handle(now, Event::Trying), [Effect::Tell(Progress::Trying)]);
        assert_eq!(call.handle(now, Event::Ringing), [Effect::Tell(Progress::Ringing)]);
        let answered = call.handle(now, Event::Answered { sdp: sdp() });
        assert_eq!(answered, [Effect::Tell(Progress::Answered { sdp: sdp() })]);
        assert_eq!(call.poll_timeout(), None);
        let end = call.handle(now, Event::HangUp);
        assert_eq!(end, [Effect::SendBye, Effect::TellEnd(SipEnd::LocalHangup)]);
        assert_eq!(call.handle(now, Event::HangUp), []);
        call.handle(now, Event::ByeOver);
        assert_eq!(call.state(), State::Closed);
    }

    #[test]
    fn silence_is_unreachable_and_ringing_is_no_answer() {
        let now = Instant::now();
        let mut silent = invited(now);
        assert_eq!(after(&mut silent, 9, now), []);
        let effects = after(&mut silent, 10, now);
        assert!(matches!(effects[..], [Effect::Abandon, Effect::TellEnd(SipEnd::Unreachable { .. })]));
        let mut ringing = invited(now);
        ringing.handle(now, Event::Ringing);
        assert_eq!(after(&mut ringing, 10, now), []);
        assert_eq!(after(&mut ringing, 60, now), [Effect::Abandon, Effect::TellEnd(SipEnd::NoAnswer)]);
    }

    #[test]
    fn more_ringing_does_not_extend_the_ring() {
        let now = Instant::now();
        let mut call = invited(now);
        call.handle(now, Event::Trying);
        let rings = now + Duration::from_secs(10);
        call.handle(rings, Event::Progressing);
        call.handle(rings + Duration::from_secs(50), Event::Ringing);
        assert_eq!(call.poll_timeout(), Some(rings + LIMITS.ring));
    }

    #[test]
    fn call_of_which_only_the_next_hop_knows_is_unreachable_and_not_unanswered() {
        let now = Instant::now();
        let mut call = invited(now);
        call.handle(now, Event::Trying);
        call.handle(now + Duration::from_secs(19), Event::Trying);
        assert_eq!(after(&mut call, 19, now), []);
        let effects = after(&mut call, 20, now);
        let [Effect::Abandon, Effect::TellEnd(end)] = &effects[..] else { panic!("{effects:?}") };
        assert!(matches!(end, SipEnd::Unreachable { .. }), "{end:?}");
        assert_eq!(end.fault(), Some(crate::base::Fault::Carrier));
    }

    #[test]
    fn next_way_is_tried_where_nothing_follows_a_100() {
        let now = Instant::now();
        let mut call = Call::outbound(now, LIMITS);
        call.handle(now, Event::Sent { last: false });
        call.handle(now, Event::Trying);
        let effects = after(&mut call, 20, now);
        assert!(matches!(effects[..], [Effect::TryNext(SipEnd::Unreachable { .. })]), "{effects:?}");
        call.handle(now + Duration::from_secs(20), Event::Sent { last: true });
        let answered = call.handle(now + Duration::from_secs(21), Event::Answered { sdp: sdp() });
        assert_eq!(answered, [Effect::Tell(Progress::Answered { sdp: sdp() })]);
    }

    #[test]
    fn answer_that_crosses_a_cancel_is_hung_up() {
        let now = Instant::now();
        let mut call = invited(now);
        call.handle(now, Event::Ringing);
        assert_eq!(call.handle(now, Event::HangUp), [Effect::Abandon, Effect::TellEnd(SipEnd::Cancelled)]);
        assert_eq!(call.handle(now, Event::Answered { sdp: sdp() }), [Effect::SendBye]);
        assert_eq!(call.state(), State::Closing);
        assert_eq!(call.handle(now, Event::ByeOver), []);
        assert_eq!(call.state(), State::Closed);
    }

    #[test]
    fn refused_and_unreachable_calls_end_at_once() {
        let now = Instant::now();
        let busy = SipEnd::Rejected { status: 486, reason: "Busy Here".into() };
        let mut call = invited(now);
        assert_eq!(call.handle(now, Event::Failed(busy.clone())), [Effect::TellEnd(busy)]);
        assert_eq!(call.state(), State::Closed);
    }

    #[test]
    fn peers_cancel_beats_our_answer_or_loses_to_it() {
        let now = Instant::now();
        let mut call = Call::inbound(now, LIMITS);
        assert_eq!(call.handle(now, Event::PeerCancelled), [Effect::TellEnd(SipEnd::Cancelled)]);
        assert_eq!(call.handle(now, Event::Accept { sdp: sdp() }), []);
        let mut call = Call::inbound(now, LIMITS);
        assert_eq!(call.handle(now, Event::Accept { sdp: sdp() }), [Effect::SendAnswer { sdp: sdp() }]);
        assert_eq!(call.handle(now, Event::PeerCancelled), []);
        assert_eq!(call.handle(now, Event::PeerHungUp), [Effect::TellEnd(SipEnd::RemoteHangup)]);
    }

    #[test]
    fn bye_waits_for_the_ack_of_our_200() {
        let now = Instant::now();
        let mut call = Call::inbound(now, LIMITS);
        call.handle(now, Event::Accept { sdp: sdp() });
        assert_eq!(call.handle(now, Event::HangUp), [Effect::TellEnd(SipEnd::LocalHangup)]);
        assert_eq!(call.handle(now, Event::Acknowledged), [Effect::SendBye]);
        call.handle(now, Event::ByeOver);
        assert_eq!(call.state(), State::Closed);
    }

    #[test]
    fn unanswered_inbound_call_is_refused_in_time() {
        let now = Instant::now();
        let mut call = Call::inbound(now, LIMITS);
        let effects = after(&mut call, 60, now);
        assert_eq!(effects, [Effect::SendRefusal { status: 480 }, Effect::TellEnd(SipEnd::NoAnswer)]);
    }

    #[test]
    fn byes_that_cross_end_the_call_once() {
        let now = Instant::now();
        let mut call = invited(now);
        call.handle(now, Event::Answered { sdp: sdp() });
        call.handle(now, Event::HangUp);
        assert_eq!(call.handle(now, Event::PeerHungUp), []);
        assert_eq!(call.state(), State::Closed);
    }

    #[test]
    fn lost_session_is_told_and_still_hung_up() {
        let now = Instant::now();
        let lost = SipEnd::SessionLost { detail: "no refresh".into() };
        let mut call = invited(now);
        assert_eq!(call.handle(now, Event::Lost(lost.clone())), []);
        call.handle(now, Event::Answered { sdp: sdp() });
        let effects = call.handle(now, Event::Lost(lost.clone()));
        assert_eq!(effects, [Effect::SendBye, Effect::TellEnd(lost)]);
        call.handle(now, Event::ByeOver);
        assert_eq!(call.state(), State::Closed);
    }

    #[test]
    fn ringing_that_nobody_acknowledges_is_refused() {
        let now = Instant::now();
        let mut call = Call::inbound(now, LIMITS);
        let effects = call.handle(now, Event::Unacknowledged);
        assert!(matches!(
            effects[..],
            [Effect::SendRefusal { status: 504 }, Effect::TellEnd(SipEnd::Unreachable { .. })]
        ));
    }

    #[test]
    fn what_another_trunk_may_do_better_is_tried_there_until_it_rings() {
        let now = Instant::now();
        let full = SipEnd::Rejected { status: 503, reason: String::new() };
        let mut call = Call::outbound(now, LIMITS);
        call.handle(now, Event::Sent { last: false });
        call.handle(now, Event::Trying);
        assert_eq!(call.handle(now, Event::Failed(full.clone())), [Effect::TryNext(full.clone())]);
        call.handle(now, Event::Sent { last: false });
        let effects = after(&mut call, 10, now);
        assert!(matches!(effects[..], [Effect::TryNext(SipEnd::Unreachable { .. })]), "{effects:?}");
        let later = now + Duration::from_secs(11);
        call.handle(later, Event::Sent { last: false });
        call.handle(later, Event::Ringing);
        assert_eq!(call.handle(later, Event::Failed(full.clone())), [Effect::TellEnd(full)]);
    }

    #[test]
    fn busy_callee_is_busy_by_any_trunk() {
        let now = Instant::now();
        for status in [404, 486, 603] {
            let end = SipEnd::Rejected { status, reason: String::new() };
            let mut call = Call::outbound(now, LIMITS);
            call.handle(now, Event::Sent { last: false });
            assert_eq!(call.handle(now, Event::Failed(end.clone())), [Effect::TellEnd(end)]);
        }
    }

    #[test]
    fn hunt_has_an_end() {
        let now = Instant::now();
        let mut call = Call::outbound(now, LIMITS);
        let effects = after(&mut call, 30, now);
        assert!(matches!(effects[..], [Effect::Abandon, Effect::TellEnd(SipEnd::Unreachable { .. })]));
        let mut call = Call::outbound(now, LIMITS);
        let late = now + Duration::from_secs(30);
        call.handle(now + Duration::from_secs(29), Event::Sent { last: false });
        let end = SipEnd::Unreachable { detail: String::new() };
        assert_eq!(call.handle(late, Event::Failed(end.clone())), [Effect::TellEnd(end)]);
    }

    #[test]
    fn call_that_waits_is_taken_back_unsent() {
        let now = Instant::now();
        let mut call = Call::outbound(now, LIMITS);
        assert_eq!(call.handle(now, Event::HangUp), [Effect::Abandon, Effect::TellEnd(SipEnd::Cancelled)]);
        call.handle(now, Event::InviteOver);
        assert_eq!(call.state(), State::Closed);
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            any::<bool>().prop_map(|last| Event::Sent { last }),
            Just(Event::Trying),
            Just(Event::Progressing),
            Just(Event::Ringing),
            Just(Event::EarlyMedia { sdp: sdp() }),
            Just(Event::Answered { sdp: sdp() }),
            Just(Event::Failed(SipEnd::AuthRejected)),
            Just(Event::Failed(SipEnd::Unreachable { detail: String::new() })),
            Just(Event::InviteOver),
            Just(Event::Accept { sdp: sdp() }),
            Just(Event::Refuse { status: 486 }),
            Just(Event::Acknowledged),
            Just(Event::PeerCancelled),
            Just(Event::PeerHungUp),
            Just(Event::Broke(SipEnd::AuthRejected)),
            Just(Event::Lost(SipEnd::AuthRejected)),
            Just(Event::Unacknowledged),
            Just(Event::HangUp),
            Just(Event::ByeOver),
        ]
    }

    proptest! {
        #[test]
        fn every_call_ends_once_and_closes(
            inbound: bool,
            events in proptest::collection::vec((0u64..30, event()), 0..30),
        ) {
            let mut now = Instant::now();
            let mut call = if inbound { Call::inbound(now, LIMITS) } else { Call::outbound(now, LIMITS) };
            let mut effects = Vec::new();
            for (seconds, event) in events {
                now += Duration::from_secs(seconds);
                effects.extend(call.handle_timeout(now));
                effects.extend(call.handle(now, event));
            }
            effects.extend(call.handle(now, Event::HangUp));
            while let Some(deadline) = call.poll_timeout() {
                effects.extend(call.handle_timeout(deadline));
            }
            prop_assert_eq!(call.state(), State::Closed);
            prop_assert_eq!(effects.iter().filter(|e| matches!(e, Effect::TellEnd(_))).count(), 1);
        }
    }
}
