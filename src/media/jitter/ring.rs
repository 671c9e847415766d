//! Up to half a second of samples by their place in the stream, with holes.

use std::ops::Range;

use crate::media::prefetch::prefetch;

/// Samples the ring can hold at 8 kHz: 512 ms. A power of two, as is every multiple in use.
pub const CAPACITY: usize = 4_096;
/// Those it holds until more are needed: 128 ms, 2 KB a call. The less memory a thousand calls go through, the more of
/// it is in a cache when they come by again.
const USUAL: usize = CAPACITY / 4;
/// Places that one word of the map stands for.
const WORD: usize = u64::BITS as usize;

/// A window onto the stream; whoever owns it says where it starts, and asks for room before writing.
pub struct Ring {
    samples: Box<[i16]>,
    /// A bit for each place: whether a sample is there.
    present: Box<[u64]>,
    capacity: usize,
}

impl Ring {
    /// `scale` samples for each of 8 kHz.
    pub fn new(scale: usize) -> Self {
        let scale = scale.next_power_of_two();
        Ring::of(USUAL * scale, CAPACITY * scale)
    }

    fn of(length: usize, capacity: usize) -> Self {
        Ring { samples: vec![0; length].into(), present: vec![0; length / WORD].into(), capacity }
    }

    /// Makes room for a window of `needed` places, as far as the capacity goes. What it holds lies in `window`.
    pub fn widen(&mut self, window: Range<i64>, needed: i64) {
        let needed = usize::try_from(needed).unwrap_or(0).min(self.capacity);
        if needed <= self.samples.len() {
            return;
        }
        let mut wider = Ring::of(needed.next_power_of_two(), self.capacity);
        for (at, pcm) in self.pieces(window) {
            wider.write(at, &pcm);
        }
        *self = wider;
    }

    /// The most it can hold.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// What it can hold now.
    #[cfg(test)]
    pub const fn length(&self) -> usize {
        self.samples.len()
    }

    /// What it holds of the window, and where.
    pub fn pieces(&self, window: Range<i64>) -> Vec<(i64, Vec<i16>)> {
        let (mut held, mut at) = (Vec::new(), window.start);
        while at < window.end {
            let part = self.run(at, (window.end - at) as usize);
            if self.is_present(at) {
                let mut pcm = vec![0; part];
                self.peek(at, &mut pcm);
                held.push((at, pcm));
            }
            at += part as i64;
        }
        held
    }

    pub fn clear(&mut self) {
        self.present.fill(0);
    }

    pub fn write(&mut self, at: i64, pcm: &[i16]) {
        let pcm = &pcm[..pcm.len().min(self.samples.len())];
        let (slot, first) = self.split(at, pcm.len());
        self.samples[slot..slot + first].copy_from_slice(&pcm[..first]);
        self.samples[..pcm.len() - first].copy_from_slice(&pcm[first..]);
        self.mark(slot, first, true);
        self.mark(0, pcm.len() - first, true);
    }

    pub fn is_present(&self, at: i64) -> bool {
        let slot = self.slot(at);
        self.present[slot / WORD] >> (slot % WORD) & 1 == 1
    }

    /// How many places from `at` on are alike: all present or all absent. At most `limit`.
    pub fn run(&self, at: i64, limit: usize) -> usize {
        let present = self.is_present(at);
        let mut run = 0;
        while run < limit {
            let slot = self.slot(at + run as i64);
            let word = self.present[slot / WORD] >> (slot % WORD);
            let alike = (if present { !word } else { word }).trailing_zeros() as usize;
            let in_word = WORD - slot % WORD;
            run += alike.min(in_word);
            if alike < in_word {
                break;
            }
        }
        run.min(limit)
    }

    /// Copies without removing. What holes read as means nothing.
    pub fn peek(&self, at: i64, out: &mut [i16]) {
        let (slot, first) = self.split(at, out.len());
        let (head, tail) = out.split_at_mut(first);
        head.copy_from_slice(&self.samples[slot..slot + first]);
        tail.copy_from_slice(&self.samples[..tail.len()]);
    }

    pub fn remove(&mut self, at: i64, samples: usize) {
        let samples = samples.min(self.samples.len());
        let (slot, first) = self.split(at, samples);
        self.mark(slot, first, false);
        self.mark(0, samples - first, false);
    }

    /// Brings places nearer to the core, and the map.
    pub fn prefetch(&self, at: i64, length: usize) {
        let (slot, first) = self.split(at, length);
        prefetch(&self.samples[slot..slot + first]);
        self.samples.get(..length - first).into_iter().for_each(prefetch);
        prefetch(&*self.present);
    }

    fn slot(&self, at: i64) -> usize {
        at as usize & (self.samples.len() - 1)
    }

    /// Where a piece begins, and how much of it lies before the ring's end.
    fn split(&self, at: i64, length: usize) -> (usize, usize) {
        let slot = self.slot(at);
        (slot, length.min(self.samples.len() - slot))
    }

    /// Marks places that do not reach over the ring's end.
    fn mark(&mut self, slot: usize, length: usize, present: bool) {
        let (mut from, end) = (slot, slot + length);
        while from < end {
            let bits = (WORD - from % WORD).min(end - from);
            let mask = (u64::MAX >> (WORD - bits)) << (from % WORD);
            let word = &mut self.present[from / WORD];
            if present {
                *word |= mask
            } else {
                *word &= !mask
            }
            from += bits;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_list_of_places_would(
            start in (1i64 << 40)..(1i64 << 40) + 10_000,
            steps in proptest::collection::vec((any::<bool>(), 0i64..3_000, 0usize..600), 1..30),
            from in 0i64..3_000, limit in 1usize..900,
        ) {
            let (mut ring, mut list, mut end) = (Ring::new(1), vec![None; 4_000], 0);
            for (n, (writes, at, length)) in steps.into_iter().enumerate() {
                let places = at as usize..at as usize + length;
                let longer = end.max(at + length as i64);
                ring.widen(start..start + end, longer);
                end = longer;
                if writes {
                    let pcm: Vec<i16> = (0..length).map(|k| (n * 1_000 + k) as i16).collect();
                    ring.write(start + at, &pcm);
                    list[places].iter_mut().zip(pcm).for_each(|(place, sample)| *place = Some(sample));
                } else {
                    ring.remove(start + at, length);
                    list[places].fill(None);
                }
            }
            ring.widen(start..start + end, list.len() as i64);
            for (n, place) in list.iter().enumerate() {
                let mut sample = [0];
                ring.peek(start + n as i64, &mut sample);
                prop_assert_eq!(ring.is_present(start + n as i64).then_some(sample[0]), *place);
            }
            let there = |n: usize| list[n].is_some();
            let at = from as usize;
            let alike = (0..limit).take_while(|k| there(at + k) == there(at)).count();
            prop_assert_eq!(ring.run(start + from, limit), alike);
            let mut piece = vec![0; limit];
            ring.peek(start + from, &mut piece);
            for (k, sample) in piece.into_iter().enumerate() {
                prop_assert!(list[at + k].is_none_or(|expected| expected == sample));
            }
        }
    }
}
