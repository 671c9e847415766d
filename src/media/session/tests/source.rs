//! Whose media is heard, and where ours goes.

use super::*;

#[test]
fn the_latch_cannot_be_hijacked() {
    let mut world = World::new(Link::seeded);
    world.run(secs(1));
    let packet = world.bob.sent[0].clone();
    for thief in ["192.0.2.2:5002", "198.51.100.9:5000"] {
        world.alice.session.handle_datagram(world.now, at(thief), &packet);
    }
    // The world asserts where each packet goes.
    world.run(secs(1));
    assert_eq!(world.alice.session.stats().strangers, 2);
    // A moved far end is heard after a re-INVITE, and only then.
    world.bob.addr = at("192.0.2.7:7000");
    world.alice.session.update(world.now, update("192.0.2.7:7000", Direction::SendRecv));
    world.run(secs(1));
    assert!(world.alice.has(&MediaEvent::Latched { from: at("192.0.2.7:7000") }));
}

fn latched(outputs: &[Output]) -> Vec<SocketAddr> {
    let source = |output: &Output| match output {
        Output::Event(MediaEvent::Latched { from }) => Some(*from),
        _ => None,
    };
    outputs.iter().filter_map(source).collect()
}

fn destinations(outputs: &[Output]) -> Vec<SocketAddr> {
    let to = |output: &Output| match output {
        Output::Transmit { to, .. } => Some(*to),
        _ => None,
    };
    let mut all: Vec<SocketAddr> = outputs.iter().filter_map(to).collect();
    all.dedup();
    all
}

#[test]
fn rebound_nat_is_heard_after_a_re_invite_behind_a_silence() {
    let [before, after] = BEHIND_NAT;
    let mut far = Far::behind_nat();
    assert_eq!(latched(&far.hears(secs(1), &[before])), [at(before)]);
    let silent = far.hears(secs(3), &[after]);
    assert_eq!(
        (latched(&silent), destinations(&silent)),
        (vec![], vec![at(before)]),
        "a stranger until then"
    );
    far.refreshed();
    let waiting = far.hears(secs(1), &[]);
    assert_eq!(destinations(&waiting), [at(before)], "who only listens is sent to all the while");
    let heard = far.hears(secs(1), &[after]);
    assert_eq!((latched(&heard), destinations(&heard)), (vec![at(after)], vec![at(after)]));
}

#[test]
fn re_invite_without_a_silence_opens_the_latch_to_nobody() {
    let [ours, stranger] = BEHIND_NAT;
    let mut far = Far::behind_nat();
    far.hears(secs(1), &[ours]);
    far.refreshed();
    let heard = far.hears(secs(1), &[stranger]);
    assert_eq!((latched(&heard), destinations(&heard)), (vec![], vec![at(ours)]));
    // One re-INVITE after the other does not make the silence shorter.
    far.hears(secs(1), &[ours]);
    for _ in 0..3 {
        far.hears(secs(1), &[]);
        far.refreshed();
    }
    // The source that was latched is there after all, and closes the latch again.
    let heard = far.hears(secs(1), &[ours, stranger]);
    assert_eq!((latched(&heard), destinations(&heard)), (vec![], vec![at(ours)]));
    assert_eq!(far.session.stats().strangers, 100);
}

#[test]
fn hold_opens_the_latch_to_nobody_and_the_resume_does() {
    let [before, after] = BEHIND_NAT;
    let mut far = Far::behind_nat();
    far.hears(secs(1), &[before]);
    far.hears(secs(3), &[]);
    far.session.update(far.now, update("10.0.0.2:5000", Direction::Inactive));
    assert_eq!(latched(&far.hears(secs(1), &["203.0.113.66:6666"])), []);
    far.refreshed();
    assert_eq!(latched(&far.hears(secs(1), &[after])), [at(after)]);
}
