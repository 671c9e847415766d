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
    let busy = SipEnd::Rejected { status: 486, reason: Pii::new("Busy Here".into()) };
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
    let full = SipEnd::Rejected { status: 503, reason: Pii::default() };
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
        let end = SipEnd::Rejected { status, reason: Pii::default() };
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
