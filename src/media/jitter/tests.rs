//! Streams of samples that count upwards, so that what is heard tells where it comes from.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{ring::CAPACITY, *};
use crate::base::audio::WIDEBAND_HZ;
use crate::media::{
    conceal::signals::*,
    netem::{Link, Rng},
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Sends `signal` in packets of `ptime` samples from `first` on, over `link`; gives the frames heard.
fn hear(
    signal: &[i16],
    ptime: usize,
    first: u32,
    mut link: Link<(u32, Vec<i16>)>,
) -> (Vec<i16>, Vec<FrameKind>, JitterBuffer) {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
    for (n, packet) in signal.chunks(ptime).enumerate() {
        let at = start + duration_of((n * ptime) as u64, NARROWBAND_HZ);
        link.send(at, (first.wrapping_add((n * ptime) as u32), packet.to_vec()));
    }
    let (mut heard, mut kinds) = (Vec::new(), Vec::new());
    for n in 0..signal.len() / FRAME_SAMPLES + 10 {
        let now = start + super::super::pacer::frames(n as u32);
        while let Some((arrival, (timestamp, pcm))) = link.poll(now) {
            buffer.push(arrival, Timestamp(timestamp), false, &pcm);
        }
        let mut out = [0; FRAME_SAMPLES];
        kinds.push(buffer.frame(now, &mut out));
        heard.extend(out);
    }
    (heard, kinds, buffer)
}

fn count(kinds: &[FrameKind], kind: FrameKind) -> usize {
    kinds.iter().filter(|k| **k == kind).count()
}

#[test]
fn any_packet_time_comes_out_whole_across_the_wrap() {
    let signal: Vec<i16> = (0..16_000).map(|n| (n + 1) as i16).collect();
    for ptime in [80, 160, 240, 320, 480] {
        let (heard, kinds, buffer) = hear(&signal, ptime, u32::MAX - 5_000, Link::seeded(1));
        let begin = heard.iter().position(|&s| s == 1).unwrap();
        assert!((320..=720).contains(&begin), "ptime {ptime}: {begin}");
        assert_eq!(heard[begin..begin + 16_000], signal[..], "ptime {ptime}");
        assert_eq!(count(&kinds[..100], FrameKind::Concealed), 0, "ptime {ptime}");
        assert_eq!(buffer.stats().late_packets + buffer.stats().resyncs, 0);
    }
}

#[test]
fn jitter_within_the_delay_is_not_heard() {
    let signal = speech_like(8_000 * 10);
    let link = Link::seeded(3).jitter(35).duplicates(0.1);
    let (_, kinds, buffer) = hear(&signal, 160, 0, link);
    assert_eq!(count(&kinds[10..490], FrameKind::Received), 480);
    assert!(buffer.stats().concealed <= 480, "only the end fades out");
}

#[test]
fn the_delay_grows_with_jitter_and_shrinks_after_it() {
    let signal = speech_like(8_000 * 40);
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
    let mut link: Link<usize> = Link::seeded(5);
    let mut delays = Vec::new();
    let mut concealed = [0u64; 4];
    for n in 0..2_000 {
        let now = start + super::super::pacer::frames(n as u32);
        link.jitter = if (500..1_000).contains(&n) { ms(85) } else { ms(2) };
        link.send(now, n);
        while let Some((arrival, n)) = link.poll(now) {
            let pcm = &signal[n * FRAME_SAMPLES..(n + 1) * FRAME_SAMPLES];
            buffer.push(arrival, Timestamp((n * FRAME_SAMPLES) as u32), false, pcm);
        }
        buffer.frame(now, &mut [0; FRAME_SAMPLES]);
        delays.push(buffer.delay(now).as_millis());
        concealed[n / 500] = buffer.stats().concealed;
    }
    let mean = |from: usize| delays[from..from + 50].iter().sum::<u128>() / 50;
    let (calm, rough, after) = (mean(400), mean(950), mean(1_950));
    assert!((40..=65).contains(&calm) && (75..=125).contains(&rough) && after < 70, "{calm} {rough} {after}");
    let late_in_rough = concealed[1] - concealed[0];
    assert!(late_in_rough < 160 * 25, "{late_in_rough} samples concealed of 80000");
}

#[test]
fn a_lost_packet_is_concealed_and_costs_no_delay() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
    let signal = speech_like(160 * 200);
    let mut kinds = Vec::new();
    let mut delays = Vec::new();
    for n in 0..200usize {
        let now = start + super::super::pacer::frames(n as u32);
        if !(50..52).contains(&n) && n != 90 {
            buffer.push(now, Timestamp((n * 160) as u32), false, &signal[n * 160..(n + 1) * 160]);
        }
        kinds.push(buffer.frame(now, &mut [0; FRAME_SAMPLES]));
        delays.push(buffer.delay(now));
    }
    assert_eq!(count(&kinds[10..], FrameKind::Concealed), 3);
    assert_eq!(delays[40], delays[199]);
}

#[test]
fn late_packet_is_dropped_not_replayed() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
    let mut heard = Vec::new();
    for n in 0..60u32 {
        let now = start + super::super::pacer::frames(n);
        let value = n as i16 + 1;
        if n != 20 {
            buffer.push(now, Timestamp(n * 160), false, &[value; 160]);
        }
        if n == 30 {
            buffer.push(now, Timestamp(20 * 160), false, &[-999; 160]);
        }
        let mut out = [0; FRAME_SAMPLES];
        buffer.frame(now, &mut out);
        heard.extend(out);
    }
    assert_eq!(buffer.stats().late_packets, 1);
    assert!(!heard.contains(&-999) && heard.iter().filter(|&&s| s == 31).count() == 160);
}

#[test]
fn speech_after_a_pause_begins_at_the_wanted_delay() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
    let mut kinds = Vec::new();
    for n in 0..200u32 {
        let now = start + super::super::pacer::frames(n);
        if !(50..120).contains(&n) {
            buffer.push(now, Timestamp(n * 160), n == 0 || n == 120, &[1_000; 160]);
        }
        kinds.push(buffer.frame(now, &mut [0; FRAME_SAMPLES]));
    }
    assert_eq!(count(&kinds[60..120], FrameKind::Silence), 60, "{kinds:?}");
    assert_eq!(count(&kinds[120..122], FrameKind::Silence), 2);
    assert_eq!(count(&kinds[122..], FrameKind::Received), 78);
}

#[test]
fn delay_of_a_stream_that_pauses_is_the_one_it_was_heard_with() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
    let mut delays = Vec::new();
    for n in 0..400u32 {
        let now = start + super::super::pacer::frames(n);
        if n < 100 {
            buffer.push(now, Timestamp(n * 160), n == 0, &[1_000; 160]);
        }
        delays.push(buffer.delay(now));
        buffer.frame(now, &mut [0; FRAME_SAMPLES]);
    }
    assert_eq!(delays[399], delays[99], "five seconds of silence are no delay");
    assert!((ms(30)..=ms(60)).contains(&delays[99]), "{:?}", delays[99]);
}

#[test]
fn a_timestamp_jump_begins_anew_and_is_soon_heard() {
    for jump in [1_000_000u32, 0x8000_0000, 0u32.wrapping_sub(50_000)] {
        let start = Instant::now();
        let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
        let mut kinds = Vec::new();
        for n in 0..100u32 {
            let now = start + super::super::pacer::frames(n);
            let base = if n < 50 { 7 } else { jump };
            buffer.push(now, Timestamp(base.wrapping_add(n * 160)), false, &[500; 160]);
            kinds.push(buffer.frame(now, &mut [0; FRAME_SAMPLES]));
        }
        assert_eq!(buffer.stats().resyncs, 1);
        assert_eq!(count(&kinds[54..], FrameKind::Received), 46, "{jump} {kinds:?}");
    }
}

#[test]
fn a_standstill_of_the_node_does_not_leave_a_delay_behind() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
    for n in 0..400u32 {
        let now = start + super::super::pacer::frames(n);
        // Packets of the 300 ms in which nothing was read are read at once.
        let arrival = if (100..115).contains(&n) { start + super::super::pacer::frames(115) } else { now };
        buffer.push(arrival, Timestamp(n * 160), false, &[500; 160]);
        if !(100..115).contains(&n) {
            buffer.frame(now, &mut [0; FRAME_SAMPLES]);
        }
    }
    let delay = buffer.delay(start + super::super::pacer::frames(399));
    assert!(delay < ms(125), "{delay:?}");
}

#[test]
fn a_hole_never_brings_back_what_lay_in_its_place_before() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
    let (mut random, mut loudest) = (Rng(7), 0);
    for n in 0..80u32 {
        let now = start + super::super::pacer::frames(n);
        if n == 40 {
            buffer.reset(now);
        }
        // The first speaker fills the whole ring, and is loud. The second hisses, so that no splice is made
        // of it, and leaps 100 ms ahead: the delay is too long at once, and there is a hole to splice.
        let mut hiss = || (random.unit() * 8_000.0) as i16 - 4_000;
        let pcm: [i16; 160] = std::array::from_fn(|_| if n < 40 { 20_000 } else { hiss() });
        let ahead = if n < 60 { 0 } else { 800 };
        buffer.push(now, Timestamp(n * 160 + ahead), false, &pcm);
        let mut out = [0; FRAME_SAMPLES];
        buffer.frame(now, &mut out);
        if n > 50 {
            loudest = out.iter().map(|sample| sample.unsigned_abs()).fold(loudest, u16::max);
        }
    }
    assert_eq!(buffer.stats().resyncs, 0);
    assert!(loudest < 12_000, "{loudest}");
}

#[test]
fn drift_between_the_clocks_is_followed() {
    // The sender's clock is 0.1 % fast or slow, for a minute.
    for ppm in [-1_000i64, 1_000] {
        let start = Instant::now();
        let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
        let signal = speech_like(160 * 3_100);
        let (mut sent, mut kinds) = (0usize, Vec::new());
        for n in 0..3_000u64 {
            let now = start + ms(20 * n);
            while sent as i64 * (1_000_000 - ppm) / 50_000 <= (20 * n) as i64 && sent < 3_100 {
                let pcm = &signal[sent * 160..(sent + 1) * 160];
                buffer.push(now, Timestamp((sent * 160) as u32), false, pcm);
                sent += 1;
            }
            kinds.push(buffer.frame(now, &mut [0; FRAME_SAMPLES]));
        }
        let delay = buffer.delay(start + ms(20 * 2_999));
        assert!(delay < ms(110), "{ppm} ppm: {delay:?}");
        assert!(count(&kinds[10..], FrameKind::Received) > 2_970, "{ppm} ppm");
    }
}

/// The sample that stands at a place of the stream: it tells which it is, as its timestamp does.
fn number(place: i64) -> i16 {
    (place & 0x7fff) as i16
}

fn numbered(timestamp: u32, len: usize) -> Vec<i16> {
    (0..len as i64).map(|n| number(i64::from(timestamp) + n)).collect()
}

/// Listens to a stream of numbered samples.
#[derive(Default)]
struct Listener {
    /// What lies before this was taken up, in the time base that counts since so many resyncs.
    taken_to: Option<(u64, i64)>,
    /// Samples that were received and taken up: played, or cut out to mend the delay.
    taken: i64,
}

impl Listener {
    /// The places that are held, as pieces.
    fn held(buffer: &JitterBuffer) -> Vec<(i64, i64)> {
        let (mut pieces, mut at) = (Vec::new(), buffer.cursor);
        while at < buffer.end {
            let end = at + buffer.ring.run(at, (buffer.end - at) as usize) as i64;
            if buffer.ring.is_present(at) {
                pieces.push((at, end));
            }
            at = end;
        }
        pieces
    }

    /// The next frame moves forward, and what was received in one piece is heard as it was sent.
    fn hear(&mut self, buffer: &mut JitterBuffer, now: Instant) -> Result<(), TestCaseError> {
        let (before, held, mended) = (buffer.cursor, Self::held(buffer), buffer.stats().stretched);
        let follows = !buffer.concealer.is_concealing();
        let mut out = [0; FRAME_SAMPLES];
        let kind = buffer.frame(now, &mut out);
        let resyncs = buffer.stats().resyncs;
        self.taken_to = self.taken_to.filter(|(of, _)| *of == resyncs);
        prop_assert!(self.taken_to.is_none_or(|(_, to)| before >= to), "no sample is heard twice");
        if buffer.cursor > before {
            self.taken_to = Some((resyncs, buffer.cursor));
        }
        let part = |(from, to): (i64, i64)| (to.min(buffer.cursor) - from).max(0);
        self.taken += held.into_iter().map(part).sum::<i64>();
        if kind == FrameKind::Received && follows && mended == buffer.stats().stretched {
            let first = buffer.cursor - FRAME_SAMPLES as i64;
            prop_assert!((first..).zip(out).all(|(place, sample)| sample == number(place)), "in its order");
        }
        Ok(())
    }
}

proptest! {
    /// Whatever arrives, in whatever order and at whatever time: frames come out whole, in order, and no
    /// sample is heard twice unless it was repeated on purpose, or the timestamps leapt.
    #[test]
    fn hostile_packets_never_break_the_buffer(
        packets in proptest::collection::vec((any::<u32>(), 0usize..5_000, any::<bool>(), 0u32..12), 1..80),
        base: u32,
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
        let mut listener = Listener::default();
        for (jump, len, marker, frames) in packets {
            // Most of the time long enough in one time base that it is played, and that it runs dry.
            let timestamp = if jump % 16 == 0 { jump } else { base.wrapping_add(jump % 4_000) };
            buffer.push(now, Timestamp(timestamp), marker, &numbered(timestamp, len));
            for _ in 0..frames {
                now += ms(20);
                listener.hear(&mut buffer, now)?;
            }
            prop_assert!(buffer.end - buffer.cursor <= CAPACITY as i64);
            // As far as the ring reaches now, beyond which places have others' slots.
            for at in buffer.end..buffer.cursor + buffer.ring.length() as i64 {
                prop_assert!(!buffer.ring.is_present(at));
            }
        }
    }

    /// How much the ring holds at a time is not heard, nor is it lost when the rate changes.
    #[test]
    fn buffer_that_widens_plays_what_a_wide_one_does(
        packets in proptest::collection::vec((any::<u32>(), 0usize..1_500, 0u32..5, 0u8..10), 1..80),
    ) {
        let start = Instant::now();
        let config = Config { min_delay_ms: 40, max_delay_ms: 300 };
        let mut usual = JitterBuffer::new(config, NARROWBAND_HZ, start);
        let mut wide = JitterBuffer::new(config, NARROWBAND_HZ, start);
        let mut now = start;
        for (jump, len, frames, change) in packets {
            if change == 0 {
                let other = if usual.rate == NARROWBAND_HZ { WIDEBAND_HZ } else { NARROWBAND_HZ };
                [&mut usual, &mut wide].into_iter().for_each(|buffer| buffer.set_rate(other));
            }
            wide.ring.widen(wide.cursor..wide.end, wide.ring.capacity() as i64);
            let pcm = numbered(jump % 4_000, len);
            for buffer in [&mut usual, &mut wide] {
                buffer.push(now, Timestamp(jump % 4_000), false, &pcm);
            }
            for _ in 0..frames {
                now += ms(20);
                let mut heard = [vec![0; frame_samples(usual.rate)], vec![0; frame_samples(usual.rate)]];
                let kinds = (usual.frame(now, &mut heard[0]), wide.frame(now, &mut heard[1]));
                prop_assert_eq!(kinds.0, kinds.1);
                prop_assert_eq!(&heard[0], &heard[1]);
            }
        }
        prop_assert_eq!(usual.stats(), wide.stats());
    }

    /// Loss, jitter, reordering and duplicates: what is heard moves forward only, each sample that comes in
    /// time is taken up once, and few come late.
    #[test]
    fn nothing_is_ever_replayed(
        seed: u64, loss in 0.0..0.3, jitter in 0u64..120, duplicates in 0.0..0.3,
        ptime in proptest::sample::select(&[80usize, 160, 240, 320, 480]), first: u32,
    ) {
        let start = Instant::now();
        let mut buffer = JitterBuffer::new(Config::default(), NARROWBAND_HZ, start);
        let mut link = Link::seeded(seed).loss(loss).jitter(jitter).duplicates(duplicates);
        for n in 0..400usize * 160 / ptime {
            link.send(start + duration_of((n * ptime) as u64, NARROWBAND_HZ), n * ptime);
        }
        let (mut listener, mut newest, mut longest_gap) = (Listener::default(), 0, 0);
        let (mut arrived, mut in_time) = (std::collections::HashSet::new(), 0);
        for n in 0..420u32 {
            let now = start + super::super::pacer::frames(n);
            while let Some((arrival, at)) = link.poll(now) {
                longest_gap = at.saturating_sub(newest).max(longest_gap);
                newest = at.max(newest);
                let timestamp = first.wrapping_add(at as u32);
                if arrived.insert(at) {
                    let place = buffer.place(Timestamp(timestamp));
                    let begin = if buffer.state == State::Filling { buffer.floor } else { buffer.cursor };
                    let behind = if buffer.started { begin.saturating_sub(place) } else { 0 };
                    in_time += ptime as i64 - behind.clamp(0, ptime as i64);
                }
                buffer.push(arrival, Timestamp(timestamp), false, &numbered(timestamp, ptime));
            }
            listener.hear(&mut buffer, now)?;
        }
        // What is missing for as long as the buffer is cannot be told from another time base.
        let resynced = buffer.stats().resyncs > 0;
        prop_assert!(!resynced || longest_gap + 2 * ptime > CAPACITY / 2);
        if !resynced {
            let held: i64 = Listener::held(&buffer).into_iter().map(|(from, to)| to - from).sum();
            prop_assert_eq!(listener.taken + held, in_time);
            // 40 ms of delay are always there; beyond 100 ms it does not grow, whatever the jitter.
            let all = (arrived.len() * ptime) as i64;
            let most = if jitter <= 30 { 0 } else { all / 3 };
            prop_assert!(all - in_time <= most, "{in_time} of {all} came in time with {jitter} ms of jitter");
        }
    }
}
