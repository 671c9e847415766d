use super::*;

const REST: Duration = Duration::from_secs(5);
const A: Call = 1;
const B: Call = 2;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn waits_for(ours: u32, expected: &str) -> Claim {
    Claim { ours: Ssrc(ours), expected: at(expected), latched: None, heard: None }
}

fn hears(ours: u32, latched: &str, heard: u32) -> Claim {
    Claim { latched: Some(at(latched)), heard: Some(Ssrc(heard)), ..waits_for(ours, latched) }
}

fn demux(calls: &[(Call, Claim)]) -> Demux {
    let mut demux = Demux::new(REST);
    calls.iter().for_each(|(call, claim)| drop(demux.claim(*call, *claim, Instant::now())));
    demux
}

fn rtp(demux: &Demux, from: &str, ssrc: u32) -> Route {
    demux.rtp(Instant::now(), at(from), Ssrc(ssrc))
}

#[test]
fn before_the_latch_the_address_of_the_sdp_decides() {
    let demux = demux(&[(A, waits_for(1, "203.0.113.7:4000")), (B, waits_for(2, "203.0.113.7:4002"))]);
    assert_eq!(rtp(&demux, "203.0.113.7:4000", 71), Route::New(A));
    assert_eq!(rtp(&demux, "[::ffff:203.0.113.7]:4002", 71), Route::New(B));
    assert_eq!(rtp(&demux, "198.51.100.1:4000", 71), Route::Nobody);
}

#[test]
fn a_port_that_nat_changed_is_that_of_the_only_call_that_waits_for_its_host() {
    let mut demux = demux(&[(A, waits_for(1, "203.0.113.7:4000")), (B, hears(2, "203.0.113.7:4002", 72))]);
    assert_eq!(rtp(&demux, "203.0.113.7:50000", 71), Route::New(A));
    demux.claim(3, waits_for(3, "203.0.113.7:4004"), Instant::now());
    assert_eq!(rtp(&demux, "203.0.113.7:50000", 71), Route::Nobody, "two wait");
    let latched = Claim {
        latched: Some(at("203.0.113.7:50000")),
        heard: Some(Ssrc(71)),
        ..waits_for(1, "203.0.113.7:4000")
    };
    demux.claim(A, latched, Instant::now());
    assert_eq!(rtp(&demux, "203.0.113.7:50000", 71), Route::Known(A));
    assert_eq!(rtp(&demux, "203.0.113.7:50001", 73), Route::New(3));
}

#[test]
fn a_gateway_with_one_port_for_all_calls_is_told_by_ssrc() {
    let mut demux = demux(&[(A, hears(1, "203.0.113.7:4000", 71)), (B, waits_for(2, "203.0.113.7:4000"))]);
    assert_eq!(rtp(&demux, "203.0.113.7:4000", 72), Route::New(B), "the only one that waits");
    assert_eq!(rtp(&demux, "203.0.113.7:4000", 71), Route::Known(A));
    demux.claim(B, hears(2, "203.0.113.7:4000", 72), Instant::now());
    assert_eq!(rtp(&demux, "203.0.113.7:4000", 72), Route::Known(B));
    assert_eq!(rtp(&demux, "203.0.113.7:4000", 73), Route::Nobody);
}

#[test]
fn a_stream_that_two_calls_hear_is_the_firsts_until_it_ends() {
    let source = "203.0.113.7:4000";
    let mut demux = demux(&[(A, hears(1, source, 71)), (B, hears(2, source, 71))]);
    assert_eq!(rtp(&demux, source, 71), Route::Known(A));
    demux.claim(A, hears(1, "203.0.113.7:4002", 71), Instant::now());
    assert_eq!(rtp(&demux, source, 71), Route::Known(B));
    assert_eq!(rtp(&demux, "203.0.113.7:4002", 71), Route::Known(A));
    demux.release(B, Instant::now());
    assert_eq!(rtp(&demux, source, 71), Route::Nobody);
}

#[test]
fn two_that_wait_for_one_port_are_told_by_what_their_reports_speak_of() {
    let gateway = "203.0.113.7:4000";
    let mut demux = demux(&[(A, waits_for(1, gateway)), (B, waits_for(2, gateway))]);
    assert_eq!(rtp(&demux, gateway, 72), Route::Nobody, "a guess could join strangers");
    assert_eq!(demux.rtcp(at("203.0.113.7:4001"), Ssrc(72), [Ssrc(2)]), Some(B));
    assert_eq!(rtp(&demux, gateway, 72), Route::New(B));
    demux.claim(B, hears(2, gateway, 72), Instant::now());
    assert_eq!(rtp(&demux, gateway, 71), Route::New(A));
}

#[test]
fn two_calls_of_one_port_may_call_each_other() {
    let here = "127.0.0.1:6000";
    let demux = demux(&[(A, waits_for(1, here)), (B, waits_for(2, here))]);
    assert_eq!((rtp(&demux, here, 1), rtp(&demux, here, 2)), (Route::New(B), Route::New(A)));
}

#[test]
fn nobody_takes_over_a_call_that_is_not_his() {
    let mut demux = demux(&[(A, hears(1, "203.0.113.7:4000", 71)), (B, waits_for(2, "10.0.0.2:4000"))]);
    for from in ["198.51.100.1:4000", "203.0.113.8:4000", "203.0.113.7:4001"] {
        assert_eq!(rtp(&demux, from, 71), Route::Nobody, "{from} knows the stream and has another source");
    }
    assert_eq!(demux.rtcp(at("198.51.100.1:4001"), Ssrc(71), [Ssrc(1)]), None, "nor by reports");
    assert_eq!(demux.rtcp(at("198.51.100.1:4001"), Ssrc(9), [Ssrc(2)]), None);
    assert_eq!(rtp(&demux, "198.51.100.1:9", 72), Route::Nobody, "nor one whose address is private");
    assert_eq!(rtp(&demux, "10.0.0.2:4000", 72), Route::New(B));
}

#[test]
fn a_stream_whose_call_ended_is_nobodys_for_a_while() {
    let now = Instant::now();
    let gateway = at("203.0.113.7:4000");
    let mut demux = demux(&[(A, hears(1, "203.0.113.7:4000", 71))]);
    demux.release(A, now);
    demux.claim(B, waits_for(2, "203.0.113.7:4000"), Instant::now());
    assert_eq!(demux.rtp(now + REST / 2, gateway, Ssrc(71)), Route::Nobody, "late packets");
    assert_eq!(demux.rtp(now + REST / 2, gateway, Ssrc(72)), Route::New(B));
    assert_eq!(demux.rtp(now + REST, gateway, Ssrc(71)), Route::New(B), "rested");
}

#[test]
fn reports_are_told_by_their_sender_and_by_their_host() {
    let mut demux = demux(&[(A, hears(1, "203.0.113.7:4000", 71)), (B, hears(2, "203.0.113.7:4002", 72))]);
    let mut whose = |from: &str, sender| demux.rtcp(at(from), Ssrc(sender), []);
    assert_eq!(whose("203.0.113.7:4003", 72), Some(B));
    assert_eq!(whose("203.0.113.7:4003", 99), None);
    demux.release(A, Instant::now());
    assert_eq!(demux.rtcp(at("203.0.113.7:9"), Ssrc(99), []), Some(B), "the only call of its host");
}

#[test]
fn a_call_that_moves_leaves_nothing_behind() {
    let mut demux = demux(&[(A, hears(1, "203.0.113.7:4000", 71))]);
    demux.claim(A, waits_for(1, "198.51.100.1:6000"), Instant::now());
    assert_eq!(rtp(&demux, "203.0.113.7:4000", 71), Route::Nobody);
    assert_eq!(rtp(&demux, "198.51.100.1:6000", 71), Route::New(A));
    demux.release(A, Instant::now());
    assert!(demux.calls.is_empty() && demux.by_source.is_empty() && demux.by_host.is_empty());
    assert!(demux.by_ours.is_empty() && demux.by_heard.is_empty());
}

#[test]
fn what_rests_has_a_bound() {
    let (mut demux, now) = (Demux::new(REST), Instant::now());
    for n in 0..RESTING as u32 + 10 {
        demux.claim(A, hears(n, "203.0.113.7:4000", n), Instant::now());
        demux.release(A, now);
    }
    assert_eq!(demux.resting.len(), RESTING);
}

/// How long it takes to tell the streams of so many calls of one gateway apart, each as often.
fn telling_apart(calls: u32) -> Duration {
    let gateway = "203.0.113.7:4000";
    let all: Vec<(Call, Claim)> = (0..calls).map(|n| (n as Call, hears(n, gateway, 100_000 + n))).collect();
    let (mut demux, from, now) = (demux(&all), at(gateway), Instant::now());
    let begun = Instant::now();
    for n in (0..calls).cycle().take(20_000) {
        let stream = Ssrc(100_000 + n);
        assert_eq!(demux.rtp(now, from, stream), Route::Known(n as Call));
        assert_eq!(demux.rtcp(from, stream, [Ssrc(n)]), Some(n as Call));
        assert_eq!(demux.rtcp(from, stream, []), Some(n as Call));
    }
    begun.elapsed()
}

#[test]
fn many_calls_of_one_gateway_are_told_apart_as_fast_as_few() {
    let (few, many) = (telling_apart(4), telling_apart(2_000));
    assert!(many < few * 20, "{many:?} for 2000 calls, {few:?} for 4");
}

#[test]
fn of_two_calls_that_hear_one_stream_the_other_stays_when_one_ends() {
    let gateway = "203.0.113.7:4000";
    let mut demux = demux(&[(A, hears(1, gateway, 71)), (B, hears(2, gateway, 71))]);
    assert_eq!(rtp(&demux, gateway, 71), Route::Known(A), "the first has it");
    demux.claim(A, hears(1, gateway, 72), Instant::now());
    assert_eq!((rtp(&demux, gateway, 71), rtp(&demux, gateway, 72)), (Route::Known(B), Route::Known(A)));
}

fn guesses(ours: u32, expected: &str, latched: &str, heard: u32) -> Claim {
    Claim { latched: Some(at(latched)), heard: Some(Ssrc(heard)), ..waits_for(ours, expected) }
}

#[test]
fn media_that_was_ahead_of_its_answer_is_that_of_the_call_whose_sdp_names_its_source() {
    let (first, second, now) = ("203.0.113.7:4000", "203.0.113.7:4002", Instant::now());
    let mut demux = demux(&[(A, waits_for(1, first))]);
    assert_eq!(rtp(&demux, second, 72), Route::New(A), "of the only call that waits, as it seems");
    assert!(demux.claim(A, guesses(1, first, second, 72), now).is_empty());
    assert_eq!(demux.claim(B, waits_for(2, second), now), [A]);
    assert!(demux.claim(A, waits_for(1, first), now).is_empty());
    assert_eq!(rtp(&demux, second, 72), Route::New(B));
    assert_eq!(rtp(&demux, first, 71), Route::New(A));
}

#[test]
fn guess_stands_once_a_report_proves_it_or_time_does() {
    let (first, second, now) = ("203.0.113.7:4000", "203.0.113.7:4002", Instant::now());
    let mut proven = demux(&[(A, guesses(1, first, second, 72))]);
    assert_eq!(proven.rtcp(at("203.0.113.7:4003"), Ssrc(72), [Ssrc(1)]), Some(A));
    assert!(proven.claim(B, waits_for(2, second), now).is_empty());
    let mut old = demux(&[(A, guesses(1, first, second, 72))]);
    assert!(old.claim(A, guesses(1, first, second, 73), now + GUESS / 2).is_empty());
    assert!(
        old.claim(B, waits_for(2, second), now + GUESS * 2).is_empty(),
        "another stream is no other source"
    );
    let mut named = demux(&[(A, hears(1, second, 72))]);
    assert!(named.claim(B, waits_for(2, second), now).is_empty(), "both are right: a gateway with one port");
    let mut two = demux(&[(A, guesses(1, first, second, 72))]);
    assert!(two.claim(B, guesses(2, "203.0.113.7:4004", second, 73), now).is_empty(), "neither knows better");
}
