//! Keys that we press, and what else happens meanwhile.

use super::*;
use crate::media::dtmf::{Event, sending_time};

/// The event packets that alice sent, with their headers.
fn events(world: &World) -> Vec<(Header, Event)> {
    let packets = world.alice.sent.iter().filter_map(|bytes| Packet::parse(bytes).ok());
    let events = packets.filter(|packet| packet.header.payload_type == 101);
    events.map(|packet| (packet.header, Event::parse(packet.payload).unwrap())).collect()
}

#[test]
fn stopping_what_plays_cuts_no_key() {
    let mut world = World::new(Link::seeded);
    world.alice.session.play(A, speech_like(8_000), 8_000).unwrap();
    world.alice.session.send_dtmf("12").unwrap();
    world.run(Duration::from_millis(50));
    world.alice.session.stop_playing();
    world.run(secs(1));
    assert_eq!(world.bob.digits(), "12");
    for key in events(&world).chunks(7) {
        let [first, .., last] = key else { panic!("a key is seven packets") };
        assert!(first.0.marker && key[1..].iter().all(|(header, _)| !header.marker));
        assert!(key.iter().all(|(header, _)| header.timestamp == first.0.timestamp));
        assert_eq!(key.iter().filter(|(_, event)| event.end).count(), 3);
        assert_eq!(last.1.duration, 800, "100 ms");
    }
}

#[test]
fn keys_take_as_long_as_is_said() {
    for keys in ["1", "1w2", "12345", "wW*"] {
        let mut world = World::new(Link::seeded);
        world.alice.session.send_dtmf(keys).unwrap();
        world.alice.session.play(A, &[9_000; 160], 8_000).unwrap();
        world.alice.session.finish(A);
        let before = world.now;
        let played = MediaEvent::Played { utterance: A, samples: 160 };
        while !world.alice.has(&played) {
            assert!(world.now < before + secs(10));
            world.run(FRAME);
        }
        let waited = world.now - before;
        assert!(waited.abs_diff(sending_time(keys)) <= FRAME * 2, "{keys}: {waited:?}");
    }
}
