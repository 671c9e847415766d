//! RTCP between two sessions.

use super::*;
use crate::media::rtcp::Reports;

fn with_rtcp(rtcp: Rtcp, network: impl Fn(u64) -> Link<Vec<u8>>) -> World {
    let mut world = World::new(network);
    for (end, remote, seed) in [(&mut world.alice, BOB, 1), (&mut world.bob, ALICE, 2)] {
        let mut config = config(remote, seed);
        config.agreed.terms.rtcp = rtcp;
        end.session = Session::new(config, world.now + FRAME / 4);
    }
    world
}

fn ms(duration: Duration) -> u128 {
    duration.as_millis()
}

#[test]
fn each_end_learns_how_the_other_hears_it() {
    let mut world = with_rtcp(Rtcp::NextPort, |seed| {
        let lossy = if seed == 1 { 0.1 } else { 0.0 };
        Link::seeded(seed).delay(60).loss(lossy).jitter(30)
    });
    world.run(secs(40));
    let (alice, bob) = (world.alice.session.stats(), world.bob.session.stats());
    // 60 ms and up to 30 ms of jitter each way.
    assert!((120..200).contains(&ms(alice.round_trip.unwrap())), "{alice:?}");
    assert!((120..200).contains(&ms(bob.round_trip.unwrap())), "{bob:?}");
    let far = alice.far.unwrap();
    assert!((far.loss - bob.lost as f64 / 2_000.0).abs() < 0.02 && far.loss > 0.05, "{far:?}");
    assert!((1..40).contains(&ms(far.jitter)), "{far:?}");
    assert_eq!(bob.far.unwrap().loss, 0.0);
    assert!(alice.far_score().unwrap() + 0.5 < alice.score().unwrap(), "what is lost one way costs one way");
    assert!(alice.rtcp > 4 && alice.strangers == 0, "{alice:?}");
    assert!(world.alice.reports.iter().all(|(to, mux, _)| *to == at("192.0.2.2:5001") && !mux));
}

#[test]
fn sender_reports_count_what_was_sent_on_the_clock_of_the_stream() {
    let mut world = with_rtcp(Rtcp::NextPort, Link::seeded);
    world.run(secs(20));
    let read = |(_, _, bytes): &(SocketAddr, bool, Vec<u8>)| Reports::parse(bytes).unwrap();
    let reports: Vec<Reports> = world.alice.reports.iter().map(read).collect();
    let (first, last) = (reports[0].sender.unwrap().1, reports.last().unwrap().sender.unwrap().1);
    assert_eq!(last.octets, last.packets * 160);
    assert!(last.packets > first.packets && last.packets <= world.alice.sent.len() as u32);
    // Both clocks tell the same time between two reports.
    let by_wall = (last.ntp.0 - first.ntp.0) as f64 / (1u64 << 32) as f64;
    let by_stream = f64::from(last.rtp.since(first.rtp)) / 8_000.0;
    assert!((by_wall - by_stream).abs() < 0.001, "{by_wall} {by_stream}");
    let block = reports.last().unwrap().blocks[0];
    assert_eq!((block.cumulative_lost, block.fraction_lost), (0, 0));
    let newest = world.bob.headers().last().unwrap().sequence.0;
    assert!(newest.wrapping_sub(block.highest as u16) < 500, "{newest} {}", block.highest);
}

#[test]
fn agreed_on_one_port_reports_go_where_rtp_goes() {
    let mut world = with_rtcp(Rtcp::Mux, Link::seeded);
    world.run(secs(12));
    assert!(world.alice.reports.len() > 1);
    assert!(world.alice.reports.iter().all(|(to, mux, _)| *to == at(BOB) && *mux));
    assert!(world.bob.session.stats().round_trip.is_some());
}

#[test]
fn an_address_of_its_own_is_honoured_until_media_comes_from_elsewhere() {
    let terms = Terms { rtcp: Rtcp::At(at("192.0.2.2:9000")), ..Terms::default() };
    let agreed = SessionUpdate { terms, ..update(BOB, Direction::SendRecv) };
    for (media, reports) in [(BOB, "192.0.2.2:9000"), ("192.0.2.2:40000", "192.0.2.2:40001")] {
        let mut far = Far::new(begin(agreed, 1));
        let outputs = far.hears(secs(8), &[media]);
        let to = |output: &Output| match output {
            Output::Report { to, .. } => Some(*to),
            _ => None,
        };
        let told: Vec<SocketAddr> = outputs.iter().filter_map(to).collect();
        assert!(!told.is_empty() && told.iter().all(|to| *to == at(reports)), "{media}: {told:?}");
    }
}

#[test]
fn reports_of_strangers_are_dropped_and_steal_nothing() {
    let mut world = with_rtcp(Rtcp::NextPort, Link::seeded);
    world.run(secs(10));
    let before = world.alice.session.stats();
    let (_, _, report) = world.bob.reports.last().unwrap().clone();
    let now = world.now;
    let alice = &mut world.alice.session;
    for thief in ["192.0.2.2:7777", "198.51.100.9:5001"] {
        alice.handle_rtcp(now, at(thief), &report);
        alice.handle_datagram(now, at(thief), &report);
    }
    assert_eq!((alice.stats().rtcp, alice.stats().strangers), (before.rtcp, before.strangers + 4));
    let sent = world.alice.reports.len();
    world.run(secs(10));
    assert!(world.alice.reports[sent..].iter().all(|(to, ..)| *to == at("192.0.2.2:5001")));
    // Before anything is latched a report that speaks of neither stream is nobody's.
    let mut fresh = Session::new(config(BOB, 9), now);
    fresh.handle_rtcp(now, at("192.0.2.2:5001"), &report);
    assert_eq!((fresh.stats().rtcp, fresh.stats().strangers), (0, 1));
}

#[test]
fn behind_a_nat_reports_follow_where_rtcp_comes_from() {
    let mut world = with_rtcp(Rtcp::NextPort, Link::seeded);
    world.bob.rtcp_port = 40_123;
    world.run(secs(15));
    assert_eq!(world.alice.reports.last().unwrap().0, at("192.0.2.2:40123"));
    // One whose port moves again without a re-INVITE is not followed.
    world.bob.rtcp_port = 40_125;
    world.run(secs(10));
    assert_eq!(world.alice.reports.last().unwrap().0, at("192.0.2.2:40123"));
    assert!(world.alice.session.stats().strangers > 0);
}

#[test]
fn a_packet_that_reports_nothing_is_passed_over() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    session.handle_rtcp(now, at("192.0.2.2:5001"), &[0x80, 204, 0, 2, 0, 0, 0, 9, b'P', b'I', b'N', b'G']);
    let stats = session.stats();
    assert_eq!((stats.rtcp, stats.malformed, stats.strangers), (0, 0, 0));
}

#[test]
fn goodbye_is_said_once_something_was_said() {
    let mut world = with_rtcp(Rtcp::NextPort, Link::seeded);
    world.run(Duration::from_millis(100));
    world.alice.session.close(world.now);
    assert!(!matches!(world.alice.session.poll_output(), Some(Output::Report { .. })));
    world.run(secs(10));
    world.alice.session.close(world.now);
    let Some(Output::Report { datagram, .. }) = world.alice.session.poll_output() else {
        panic!("no goodbye")
    };
    assert_eq!(Reports::parse(&datagram).unwrap().goodbyes.len(), 1);
}

#[test]
fn on_hold_the_other_end_still_learns_that_we_are_there() {
    let mut world = with_rtcp(Rtcp::NextPort, Link::seeded);
    world.run(secs(3));
    world.alice.session.update(world.now, update(BOB, Direction::Inactive));
    world.run(secs(12));
    let (_, _, last) = world.alice.reports.last().unwrap();
    assert!(world.alice.reports.len() > 2);
    assert!(Reports::parse(last).unwrap().sender.is_none(), "nothing was sent that could be counted");
}

/// How long alice waits for bob, who falls silent, until she calls him gone.
fn patience_with(leave: impl FnOnce(&mut World)) -> Duration {
    let mut world = with_rtcp(Rtcp::NextPort, Link::seeded);
    for (end, remote, seed) in [(&mut world.alice, BOB, 1), (&mut world.bob, ALICE, 2)] {
        let config = SessionConfig { rtp_timeout: secs(10), ..config(remote, seed) };
        end.session = Session::new(config, world.now + FRAME / 4);
    }
    world.run(secs(8));
    leave(&mut world);
    (world.bob.link.loss, world.bob.rtcp_link.loss) = (1.0, 1.0);
    let silent = world.now;
    let gone = |world: &World| world.alice.events.iter().any(|e| matches!(e, MediaEvent::RtpTimeout { .. }));
    while !gone(&world) {
        assert!(world.now < silent + secs(30));
        world.run(FRAME);
    }
    world.now - silent
}

/// Bob's goodbye, by which `from` comes.
fn goodbye(world: &mut World, from: &str) {
    world.bob.session.close(world.now);
    let said = std::iter::from_fn(|| world.bob.session.poll_output());
    let report = said.filter_map(|output| match output {
        Output::Report { datagram, .. } => Some(datagram),
        _ => None,
    });
    let datagram = report.last().expect("he says goodbye");
    world.alice.session.handle_rtcp(world.now, at(from), &datagram);
}

#[test]
fn after_a_goodbye_silence_is_not_waited_out() {
    let tolerance = Duration::from_millis(100);
    assert!(patience_with(|_| {}).abs_diff(secs(10)) < tolerance);
    assert!(patience_with(|world| goodbye(world, "192.0.2.2:5001")).abs_diff(secs(3)) < tolerance);
    let stranger = patience_with(|world| goodbye(world, "198.51.100.9:5001"));
    assert!(stranger.abs_diff(secs(10)) < tolerance, "a stranger's means nothing: {stranger:?}");
    let goes_on = patience_with(|world| {
        goodbye(world, "192.0.2.2:5001");
        world.run(secs(1));
    });
    assert!(goes_on.abs_diff(secs(10)) < tolerance, "who speaks on has not left: {goes_on:?}");
}

#[test]
fn silence_at_the_end_of_a_call_takes_nothing_from_its_score() {
    let mut world = World::new(Link::seeded);
    world.run(secs(5));
    let spoken = world.alice.session.stats();
    world.bob.link.loss = 1.0;
    world.run(secs(5));
    let (before, after) = (spoken.score().unwrap(), world.alice.session.stats().score().unwrap());
    assert!(before > 4.2 && (before - after).abs() < 0.05, "{before} before the silence, {after} after it");
}
