use proptest::prelude::*;

use super::*;
use crate::media::rtp::{Extension, HEADER_LEN, Header, Packet, SequenceNumber, Ssrc, Timestamp};

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}

fn key(byte: u8) -> MasterKey {
    [byte; 30].into()
}

fn keying(suite: Suite, sends: u8, receives: u8) -> Keying {
    Keying { suite, sends: key(sends), receives: key(receives) }
}

/// Two ends that know each other's keys.
fn pair(suite: Suite) -> (Srtp, Srtp) {
    (Srtp::new(keying(suite, 1, 2)), Srtp::new(keying(suite, 2, 1)))
}

const LONG: Suite = Suite::AesCm128HmacSha1_80;
const SHORT: Suite = Suite::AesCm128HmacSha1_32;

fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
    let header = Header {
        marker: false,
        payload_type: 0,
        sequence: SequenceNumber(sequence),
        timestamp: Timestamp(u32::from(sequence) * 160),
        ssrc: Ssrc(ssrc),
    };
    [&header.to_bytes()[..], &[0xff; 160]].concat()
}

fn protected(srtp: &mut Srtp, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [packet, &[0; LONGEST_TAG]].concat();
    let len = srtp.protect(&mut buffer, packet.len());
    buffer.truncate(len);
    buffer
}

fn opened(srtp: &mut Srtp, mut packet: Vec<u8>) -> Result<Vec<u8>, Refused> {
    srtp.open(&mut packet).map(|len| packet[..len].to_vec())
}

/// Packets as libsrtp's own tests have them (test/srtp_driver.c), under the key of RFC 3711 Appendix B.3.
#[test]
fn packets_are_those_of_libsrtp() {
    let master: [u8; 30] =
        bytes("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6").try_into().unwrap();
    let keying = Keying { suite: LONG, sends: master.into(), receives: master.into() };
    let mut srtp = Srtp::new(keying);
    let rtp = bytes(&format!("800f1234decafbadcafebabe{}", "ab".repeat(16)));
    let said = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb";
    assert_eq!(hex::encode(protected(&mut srtp, &rtp)), said);
    assert_eq!(opened(&mut srtp, bytes(said)), Ok(rtp));
    let rtcp = bytes(&format!("81c8000bcafebabe{}", "ab".repeat(16)));
    let said = "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798";
    let mut report = rtcp.clone();
    srtp.protect_rtcp(&mut report);
    assert_eq!(hex::encode(report), said);
    assert_eq!(opened(&mut srtp, bytes(said)), Ok(rtcp));
}

#[test]
fn each_suite_has_its_tags() {
    for (suite, tag) in [(LONG, 10), (SHORT, 4)] {
        let (mut ours, mut theirs) = pair(suite);
        let plain = packet(7, 1);
        let sent = protected(&mut ours, &plain);
        assert_eq!(sent.len(), plain.len() + tag);
        assert_eq!(sent[..HEADER_LEN], plain[..HEADER_LEN], "the header stays legible");
        assert!(!sent.windows(8).any(|bytes| bytes == [0xff; 8]));
        assert_eq!(opened(&mut theirs, sent), Ok(plain));
        let mut report = [&[0x80, 201, 0, 1][..], &[0, 0, 0, 7]].concat();
        ours.protect_rtcp(&mut report);
        assert_eq!(report.len(), 8 + 4 + 10);
        assert_eq!(opened(&mut theirs, report).map(|report| report.len()), Ok(8));
    }
}

#[test]
fn any_changed_bit_is_found_out() {
    let (mut ours, mut theirs) = pair(SHORT);
    let mut report = [&[0x80, 201, 0, 1][..], &[0, 0, 0, 7]].concat();
    ours.protect_rtcp(&mut report);
    for sent in [protected(&mut ours, &packet(7, 1)), report] {
        for bit in 0..sent.len() * 8 {
            let mut changed = sent.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let before = changed.clone();
            assert!(theirs.open(&mut changed).is_err(), "bit {bit}");
            assert_eq!(changed, before, "what is refused stays as it was");
        }
        assert!(theirs.open(&mut sent.clone()).is_ok());
    }
}

#[test]
fn packet_is_opened_once() {
    let (mut ours, mut theirs) = pair(LONG);
    let sent: Vec<_> =
        (0..200).map(|n| protected(&mut ours, &packet(7, 65_500u16.wrapping_add(n)))).collect();
    for n in [1, 0, 40, 39, 199, 100] {
        assert!(opened(&mut theirs, sent[n].clone()).is_ok(), "{n}");
        assert_eq!(opened(&mut theirs, sent[n].clone()), Err(Refused::Replayed), "{n}");
    }
    assert_eq!(opened(&mut theirs, sent[30].clone()), Err(Refused::Replayed), "too old to tell");
    let mut report = [&[0x80, 201, 0, 1][..], &[0, 0, 0, 7]].concat();
    ours.protect_rtcp(&mut report);
    assert!(opened(&mut theirs, report.clone()).is_ok());
    assert_eq!(opened(&mut theirs, report), Err(Refused::Replayed));
}

/// Seven wraps, in steps that lose whatever is between two packets.
#[test]
fn numbers_wrap_whatever_is_lost_between_them() {
    for lost in [1, 999, 20_000, 32_000, 60_000] {
        let (mut ours, mut theirs) = pair(LONG);
        let mut index = 30_000u64;
        while index < 7 << 16 {
            let plain = packet(7, index as u16);
            let sent = protected(&mut ours, &plain);
            if index.is_multiple_of(lost) || lost > 10_000 || index % 65_536 < 3 {
                assert_eq!(opened(&mut theirs, sent), Ok(plain), "{index}, every {lost}th");
            }
            index += if lost == 1 { 4_001 } else { lost };
        }
    }
}

#[test]
fn stream_that_is_joined_behind_its_first_wrap_is_heard() {
    let (mut ours, mut theirs) = pair(LONG);
    protected(&mut ours, &packet(7, 65_535));
    let plain = packet(7, 0);
    let sent = protected(&mut ours, &plain);
    assert_eq!(opened(&mut theirs, sent), Ok(plain));
}

#[test]
fn another_key_opens_nothing_and_plain_packets_are_refused() {
    let (mut ours, _) = pair(LONG);
    let mut stranger = Srtp::new(keying(LONG, 2, 3));
    assert_eq!(opened(&mut stranger, protected(&mut ours, &packet(7, 1))), Err(Refused::Unauthenticated));
    assert_eq!(opened(&mut stranger, packet(7, 1)), Err(Refused::Unauthenticated));
    let mut reflected = ours;
    let own = protected(&mut reflected, &packet(7, 2));
    assert_eq!(opened(&mut reflected, own), Err(Refused::Unauthenticated), "the directions have their keys");
}

#[test]
fn what_is_not_authentic_takes_no_memory() {
    let (mut ours, mut theirs) = pair(LONG);
    for ssrc in 0..1_000 {
        assert!(opened(&mut theirs, packet(ssrc, 1)).is_err());
    }
    assert_eq!(theirs.inbound.sources.len(), 0);
    for ssrc in 0..100u32 {
        ours.outbound.sent = None;
        assert!(opened(&mut theirs, protected(&mut ours, &packet(ssrc, 1))).is_ok());
        ours.outbound.sent = None;
        assert_eq!(
            opened(&mut theirs, protected(&mut ours, &packet(ssrc, 1))),
            Err(Refused::Replayed),
            "each source has its own numbers"
        );
    }
    assert_eq!(theirs.inbound.sources.len(), SOURCES);
}

#[test]
fn new_key_of_the_peer_opens_at_once_and_its_old_one_until_then() {
    let (mut ours, mut theirs) = pair(LONG);
    assert!(opened(&mut theirs, protected(&mut ours, &packet(7, 65_535))).is_ok());
    theirs.update(keying(LONG, 2, 9));
    // It has not heard of our answer yet.
    let before = protected(&mut ours, &packet(7, 0));
    let late = protected(&mut ours, &packet(7, 1));
    assert!(opened(&mut theirs, before).is_ok());
    ours.update(keying(LONG, 9, 2));
    let plain = packet(7, 2);
    let sent = protected(&mut ours, &plain);
    assert_eq!(opened(&mut theirs, sent), Ok(plain), "its count begins anew");
    assert_eq!(opened(&mut theirs, late), Err(Refused::Unauthenticated), "the old key is gone");
}

#[test]
fn direction_whose_key_stays_goes_on() {
    let (mut ours, mut theirs) = pair(LONG);
    for n in [65_534, 65_535, 0] {
        assert!(opened(&mut theirs, protected(&mut ours, &packet(7, n))).is_ok());
    }
    ours.update(keying(LONG, 1, 5));
    theirs.update(keying(LONG, 5, 1));
    let sent = protected(&mut ours, &packet(7, 1));
    assert!(opened(&mut theirs, sent.clone()).is_ok(), "behind a wrap");
    assert_eq!(opened(&mut theirs, sent), Err(Refused::Replayed));
    // Another suite is another key.
    ours.update(keying(SHORT, 1, 5));
    assert_eq!(protected(&mut ours, &packet(7, 2)).len(), packet(7, 2).len() + 4);
}

#[test]
fn report_that_says_it_is_not_encrypted_is_read_as_it_is() {
    let (ours, mut theirs) = pair(LONG);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7, 0, 0, 0, 1];
    let sign = |report: &[u8]| {
        let tag = ours.outbound.rtcp.sign(report).finalize().into_bytes();
        [report, &tag[..RTCP_TAG]].concat()
    };
    assert_eq!(opened(&mut theirs, sign(&report)), Ok(report[..8].to_vec()));
}

/// The index that an encrypted report tells.
fn index_of(report: &[u8]) -> u32 {
    word(report, report.len() - RTCP_TAG - RTCP_INDEX).unwrap() & !ENCRYPTED
}

fn report(srtp: &mut Srtp) -> Vec<u8> {
    let mut report = [&[0x80, 201, 0, 1][..], &[0, 0, 0, 7]].concat();
    srtp.protect_rtcp(&mut report);
    report
}

#[test]
fn counts_go_on_under_a_key_that_comes_back() {
    let (mut ours, mut theirs) = pair(LONG);
    let mut early = Vec::new();
    for sequence in [65_534, 65_535, 0] {
        early.push(protected(&mut ours, &packet(7, sequence)));
        early.push(report(&mut ours));
    }
    assert!(early.iter().all(|sent| opened(&mut theirs, sent.clone()).is_ok()));
    // Each suite has its own key.
    ours.update(keying(SHORT, 3, 4));
    theirs.update(keying(SHORT, 4, 3));
    let other = [protected(&mut ours, &packet(7, 1)), report(&mut ours)];
    assert!(other.into_iter().all(|sent| opened(&mut theirs, sent).is_ok()));
    ours.update(keying(LONG, 1, 2));
    theirs.update(keying(LONG, 2, 1));
    let back = report(&mut ours);
    assert_eq!(index_of(&back), 4, "no index is used twice under one key");
    assert!(opened(&mut theirs, back).is_ok());
    let plain = packet(7, 2);
    let sent = protected(&mut ours, &plain);
    assert_eq!(opened(&mut theirs, sent), Ok(plain), "behind the wrap");
    for sent in early {
        assert_eq!(opened(&mut theirs, sent), Err(Refused::Replayed), "and nothing is heard twice");
    }
}

#[test]
fn number_that_comes_round_while_another_key_is_used_is_another_index() {
    let (mut ours, _) = pair(LONG);
    let first = protected(&mut ours, &packet(7, 5));
    ours.update(keying(SHORT, 3, 4));
    protected(&mut ours, &packet(7, 6));
    ours.update(keying(LONG, 1, 2));
    assert_ne!(protected(&mut ours, &packet(7, 5)), first, "65536 packets later");
}

#[test]
fn two_suites_under_one_key_share_its_numbers() {
    let (mut ours, _) = pair(LONG);
    let (first, told) = (protected(&mut ours, &packet(7, 65_535)), report(&mut ours));
    protected(&mut ours, &packet(7, 0));
    ours.update(keying(SHORT, 1, 2));
    let again = protected(&mut ours, &packet(7, 65_535));
    let payload = HEADER_LEN..HEADER_LEN + 160;
    assert_ne!(again[payload.clone()], first[payload], "one key stream for two packets tells both");
    assert!(index_of(&report(&mut ours)) > index_of(&told));
}

proptest! {
    #[test]
    fn opening_never_panics(datagram in proptest::collection::vec(any::<u8>(), 0..64), version in any::<bool>()) {
        let mut datagram = datagram;
        if version && let Some(first) = datagram.first_mut() {
            *first = *first & 0x3f | 0x80;
        }
        let (_, mut theirs) = pair(LONG);
        prop_assert!(theirs.open(&mut datagram).is_err());
    }

    #[test]
    fn whole_packets_survive(
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        csrc in 0usize..15,
        words in 0usize..8,
        padding in 0u8..40,
        extended in any::<bool>(),
    ) {
        let plain = packet(7, 1);
        let head = Packet::parse(&plain).unwrap().header;
        let extension = extended.then_some(Extension { profile: 0xbede, words: &[9; 32][..4 * words] });
        let whole = Packet { header: head, csrc: &[5; 60][..4 * csrc], extension, payload: &payload };
        let mut plain = Vec::new();
        whole.write(padding, &mut plain);
        let (mut ours, mut theirs) = pair(SHORT);
        let sent = protected(&mut ours, &plain);
        let opened = opened(&mut theirs, sent).unwrap();
        prop_assert_eq!(&opened, &plain);
        prop_assert_eq!(Packet::parse(&opened).unwrap().payload, &payload[..]);
    }
}
