//! SRTP of a telephone behind a NAT: its media comes from where nobody said, and only its key shows that it is
//! the one.

use callbox::eval::phone::{Config, Line, Phone, Step, turns};
use callbox::media::rtp::Packet;
use callbox::sip::Srtp;

use crate::baresip::{Baresip, Setup, level};
use crate::eventually;
use crate::nat::{Nat, Thief};
use crate::secure::{LIMIT, overhear};
use crate::tones::tone;

/// What we play to baresip, which plays 700 Hz.
const HZ: f64 = 440.0;
const SECOND: usize = 8_000;

/// What was on the wire, to one who has no key.
fn overheard(packets: &[Vec<u8>]) -> Vec<i16> {
    let mut pcm = Vec::new();
    packets.iter().for_each(|packet| overhear(packet, &mut pcm));
    pcm
}

/// Of RTP alone: what is left of authentic packets once a bit of each has changed, and once its tag is off.
fn forged(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let rtp = packets.iter().filter(|packet| Packet::parse(packet).is_ok());
    let changed = |packet: &Vec<u8>| {
        let (mut flipped, mut bare) = (packet.clone(), packet.clone());
        flipped[20] ^= 1;
        bare.truncate(packet.len() - 10);
        [flipped, bare]
    };
    rtp.flat_map(changed).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nat_is_followed_to_whoever_proves_its_key_and_to_nobody_else() {
    let pace = turns::Config { greet: true, ..turns::Config::default() };
    let script = vec![Step::Say(Line::new("a tone", &tone(HZ, 50 * SECOND, 8_000)))];
    let config = Config { srtp: Srtp::Required, script, pace, ..Config::default() };
    let mut phone = Phone::start(config, None).await.unwrap();
    let nat = Nat::start(phone.address()).await;
    let dials = Some(format!("sip:+14155550123@{}", nat.gateway));
    // The NAT has a way for one port.
    let config = "rtcp_mux yes\n".to_owned();
    let baresip = Baresip::of(Setup { dials, config, ..Setup::encrypting(Some("srtp-mand")) }).await;

    // The SDP names an address of the inside, at which anybody might be: the first of them are thieves.
    let to = nat.media().await;
    let thieves = [Thief::at("127.0.0.3").await, Thief::at("127.0.0.4").await];
    let early = forged(&nat.held());
    thieves[0].sends(&early, to).await;
    nat.opens();
    nat.passes_more().await;
    eventually("baresip hears us", || baresip.heard(HZ) > -20.0).await;

    // The thieves have heard what left, and send it as it was, and changed.
    let copied = nat.left();
    let late = [forged(&copied), copied].concat();
    for thief in &thieves {
        thief.sends(&late, to).await;
    }
    nat.passes_more().await;
    baresip.hangs_up().await;
    let report = tokio::time::timeout(LIMIT, phone.next_call()).await.expect("the call ends");

    let stats = report.media.unwrap();
    assert!(stats.encrypted && early.len() > 10, "{stats:?}");
    // On a busy machine the first may come before our media has begun.
    let refused = 1..=early.len() as u64;
    assert!(refused.contains(&stats.unauthenticated), "who comes first is not heard for that: {stats:?}");
    assert!(stats.strangers > late.len() as u64, "and nobody is once there is a call: {stats:?}");
    assert_eq!(stats.replayed, 0, "{stats:?}");
    for thief in &thieves {
        assert!(thief.got_nothing().await, "a thief got media");
    }
    // Of both sides' sound, the end: after all that the thieves have sent.
    let end = &report.audio[report.audio.len() - SECOND..];
    assert!(level(end, 8_000, 700.0) > -20.0, "we hear baresip to the end");
    let (decoded, rate) = baresip.decoded();
    let end = &decoded[decoded.len() - SECOND..];
    assert!(level(end, rate, HZ) > -20.0, "baresip hears us to the end");
    for (wire, hz) in [(nat.left(), 700.0), (nat.came(), HZ)] {
        let overheard = level(&overheard(&wire), 8_000, hz);
        assert!(overheard < -20.0, "{overheard:.1} dB at {hz} Hz on the wire");
    }
    phone.shutdown().await;
}
