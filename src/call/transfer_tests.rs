use super::*;
use crate::base::Pii;

fn rejected(status: u16) -> Happening {
    Happening::TargetEnded(Some(SipEnd::Rejected { status, reason: Pii::new("No".into()) }))
}

/// A transfer that has gone through all of these, and what the last one led to.
fn after<const N: usize>(happenings: [Happening; N]) -> (Transfer, Vec<Step>) {
    going(Transfer::new(TransferBy::Bridge, false), happenings)
}

fn going<const N: usize>(mut transfer: Transfer, happenings: [Happening; N]) -> (Transfer, Vec<Step>) {
    let steps = happenings.into_iter().map(|happening| transfer.handle(happening)).last();
    (transfer, steps.unwrap_or_default())
}

const RINGING: [Happening; 3] = [Happening::Wanted, Happening::LineTaken, Happening::Allowed];

fn bridged() -> Transfer {
    let [wanted, line, allowed] = RINGING;
    let (transfer, steps) = after([wanted, line, allowed, Happening::Answered, Happening::Joined]);
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
    assert_eq!(steps, [Step::TakeLine]);
    assert_eq!(transfer.handle(Happening::LineTaken), [Step::AskLeave]);
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
        let [wanted, line, allowed] = RINGING;
        let (mut transfer, steps) = after([wanted, line, allowed, happening]);
        assert_eq!(steps, came_back(status));
        assert_eq!(transfer.handle(Happening::Wanted), [Step::TakeLine], "it may be tried again");
    }
    let [wanted, line, _] = RINGING;
    assert_eq!(after([wanted, line, Happening::Refused]).1, came_back(TransferStatus::Refused));
    assert_eq!(after([Happening::Wanted, Happening::NoLine]).1, came_back(TransferStatus::NoLine));
}

#[test]
fn an_answer_that_cannot_be_used_is_hung_up() {
    let [wanted, line, allowed] = RINGING;
    let (mut transfer, steps) = after([wanted, line, allowed, Happening::Answered, Happening::Unusable]);
    assert_eq!(steps[0], Step::HangUp);
    assert_eq!(steps[1..], came_back(TransferStatus::Failed));
    assert_eq!(transfer.handle(Happening::TargetEnded(Some(SipEnd::LocalHangup))), []);
    assert_eq!(transfer.handle(Happening::Wanted), [Step::TakeLine]);
}

#[test]
fn a_caller_who_hangs_up_takes_the_ringing_leg_along() {
    let [wanted, line, allowed] = RINGING;
    let (mut transfer, steps) = after([wanted, line, allowed, Happening::CallOver]);
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
    let [wanted, line, allowed] = RINGING;
    assert_eq!(after([wanted, line, allowed, Happening::CallerPressed('1')]).1, []);
    let mut transfer = bridged();
    assert_eq!(transfer.handle(Happening::CallerPressed('1')), [Step::PressToTarget('1')]);
    assert_eq!(transfer.handle(Happening::TargetPressed('#')), [Step::PressToCaller('#')]);
}

#[test]
fn a_call_without_a_transfer_is_over_with_its_first_leg() {
    let (transfer, steps) = after([Happening::CallOver]);
    assert!(transfer.is_over() && steps.is_empty());
}

/// The carrier is asked, on a trunk that transfers in this way.
fn referring(by: TransferBy) -> Transfer {
    let (mut transfer, steps) = going(Transfer::new(by, false), [Happening::Wanted]);
    assert_eq!(steps, [Step::AskLeave], "the carrier needs no line of this node");
    let steps = transfer.handle(Happening::Allowed);
    assert_eq!(steps, [Step::Record(TransferStatus::Ringing), Step::RingBack, Step::Refer]);
    transfer
}

fn says(referral: Referral) -> Happening {
    Happening::Referral(referral)
}

const HAND_OVER: [Step; 2] = [Step::Record(TransferStatus::Referred), Step::Tell(Event::Referred)];

#[test]
fn the_carrier_is_asked_only_what_the_rules_allow() {
    let (transfer, steps) =
        going(Transfer::new(TransferBy::Refer, false), [Happening::Wanted, Happening::Refused]);
    assert_eq!((steps, transfer.state), (came_back(TransferStatus::Refused), State::Idle));
}

#[test]
fn a_call_that_the_carrier_takes_over_ends_here() {
    let mut transfer = referring(TransferBy::Refer);
    assert_eq!(transfer.handle(says(Referral::Accepted)), []);
    assert_eq!(transfer.handle(says(Referral::Ringing)), []);
    assert_eq!(transfer.handle(says(Referral::Done)), HAND_OVER);
    assert_eq!(transfer.handle(Happening::CallOver), []);
    assert!(transfer.is_over());
}

#[test]
fn a_carrier_that_hangs_up_once_it_has_accepted_has_taken_the_call_over() {
    let mut transfer = referring(TransferBy::Auto);
    transfer.handle(says(Referral::Accepted));
    assert_eq!(transfer.handle(Happening::CallOver), [Step::Record(TransferStatus::Referred)]);
    assert!(transfer.is_over());
    let mut transfer = referring(TransferBy::Auto);
    assert_eq!(transfer.handle(Happening::CallOver), [Step::Record(TransferStatus::Cancelled)]);
    assert!(transfer.is_over());
}

#[test]
fn a_carrier_that_refuses_leaves_it_to_this_node_for_the_rest_of_the_call() {
    let refusals = [
        says(Referral::Refused { status: 405 }),
        says(Referral::Refused { status: 603 }),
        says(Referral::Refused { status: 408 }),
        says(Referral::Failed { status: 503 }),
        Happening::Unreferred,
    ];
    for refusal in refusals {
        let mut transfer = referring(TransferBy::Auto);
        assert_eq!(transfer.handle(refusal), [Step::TakeLine]);
        assert_eq!(transfer.handle(Happening::LineTaken), [Step::Dial], "the rules have been asked");
        assert_eq!(transfer.handle(rejected(486)), came_back(TransferStatus::Busy));
        assert_eq!(transfer.handle(Happening::Wanted), [Step::TakeLine], "it is not asked again");
    }
    let mut transfer = referring(TransferBy::Auto);
    transfer.handle(Happening::Unreferred);
    assert_eq!(transfer.handle(Happening::NoLine), came_back(TransferStatus::NoLine));
}

#[test]
fn where_only_the_carrier_may_transfer_its_refusal_brings_the_agent_back() {
    let mut transfer = referring(TransferBy::Refer);
    assert_eq!(transfer.handle(says(Referral::Refused { status: 405 })), came_back(TransferStatus::Failed));
    assert_eq!(transfer.handle(Happening::Wanted), [Step::AskLeave]);
}

#[test]
fn whoever_the_carrier_did_not_reach_is_not_rung_again() {
    for (referral, status) in [
        (Referral::Failed { status: 486 }, TransferStatus::Busy),
        (Referral::Failed { status: 603 }, TransferStatus::Rejected),
        (Referral::Failed { status: 480 }, TransferStatus::NoAnswer),
        (Referral::Failed { status: 404 }, TransferStatus::Failed),
        (Referral::Lost, TransferStatus::Failed),
    ] {
        let mut transfer = referring(TransferBy::Auto);
        transfer.handle(says(Referral::Accepted));
        assert_eq!(transfer.handle(says(referral)), came_back(status));
    }
}

#[test]
fn whoever_the_carrier_rang_before_its_answer_was_lost_is_not_rung_again() {
    for begun in [Referral::Accepted, Referral::Ringing] {
        let mut transfer = referring(TransferBy::Auto);
        assert_eq!(transfer.handle(says(begun)), []);
        let steps = transfer.handle(says(Referral::Refused { status: 408 }));
        assert_eq!(steps, came_back(TransferStatus::Failed));
    }
}

/// The target of a warm transfer has answered.
fn introducing() -> Transfer {
    let [wanted, line, allowed] = RINGING;
    let warm = Transfer::new(TransferBy::Bridge, true);
    let (transfer, steps) = going(warm, [wanted, line, allowed, Happening::Answered]);
    assert_eq!(steps, [Step::Introduce]);
    transfer
}

#[test]
fn a_willing_target_is_joined() {
    let mut transfer = introducing();
    assert_eq!(transfer.handle(Happening::CallerPressed('1')), [], "the caller does not answer for it");
    assert_eq!(transfer.handle(Happening::Introduced(Verdict::Accepted)), [Step::Join]);
    transfer.handle(Happening::Joined);
    assert_eq!(transfer.handle(Happening::TargetPressed('5')), [Step::PressToCaller('5')]);
}

#[test]
fn an_unwilling_target_or_a_machine_brings_the_agent_back() {
    for (happening, status) in [
        (Happening::Introduced(Verdict::Declined), TransferStatus::Rejected),
        (Happening::Introduced(Verdict::Nobody), TransferStatus::NoAnswer),
        (Happening::Introduced(Verdict::Lost), TransferStatus::Failed),
        (Happening::Unusable, TransferStatus::Failed),
        (Happening::TargetLost, TransferStatus::Failed),
    ] {
        let mut transfer = introducing();
        let steps = transfer.handle(happening);
        assert_eq!((&steps[0], &steps[1..]), (&Step::HangUp, &came_back(status)[..]));
        assert_eq!(transfer.handle(Happening::TargetEnded(Some(SipEnd::LocalHangup))), []);
        assert_eq!(transfer.handle(Happening::Wanted), [Step::TakeLine]);
    }
}

#[test]
fn a_target_that_hangs_up_during_the_introduction_has_declined() {
    let mut transfer = introducing();
    let end = Happening::TargetEnded(Some(SipEnd::RemoteHangup));
    assert_eq!(transfer.handle(end), came_back(TransferStatus::Rejected));
}

#[test]
fn a_caller_who_hangs_up_during_the_introduction_takes_the_target_along() {
    let mut transfer = introducing();
    let steps = transfer.handle(Happening::CallOver);
    assert_eq!(steps, [Step::HangUp, Step::Record(TransferStatus::Cancelled)]);
    assert_eq!(transfer.handle(Happening::Introduced(Verdict::Accepted)), [], "it is too late");
    transfer.handle(Happening::TargetEnded(Some(SipEnd::LocalHangup)));
    assert!(transfer.is_over());
}
