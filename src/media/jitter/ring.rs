//! Half a second of samples by their place in the stream, with holes.

/// Samples the ring holds at 8 kHz: 512 ms, 8 KB a call. A power of two, as is every multiple in use.
pub const CAPACITY: usize = 4_096;
/// Marks a place where nothing is. Written samples are kept clear of it (no code of G.711 means it).
const ABSENT: i16 = i16::MIN;

/// A window `[start, start + capacity)` onto the stream; whoever owns it says where it starts.
pub struct Ring(Box<[i16]>);

impl Ring {
    /// `scale` samples for each of 8 kHz.
    pub fn new(scale: usize) -> Self {
        Ring(vec![ABSENT; CAPACITY * scale.next_power_of_two()].into())
    }

    pub const fn capacity(&self) -> usize {
        self.0.len()
    }

    fn slot(&self, at: i64) -> usize {
        at as usize & (self.0.len() - 1)
    }

    pub fn clear(&mut self) {
        self.0.fill(ABSENT);
    }

    pub fn write(&mut self, at: i64, pcm: &[i16]) {
        for (i, &sample) in pcm.iter().enumerate() {
            let slot = self.slot(at + i as i64);
            self.0[slot] = sample.max(ABSENT + 1);
        }
    }

    pub fn is_present(&self, at: i64) -> bool {
        self.0[self.slot(at)] != ABSENT
    }

    /// How many places from `at` on are alike: all present or all absent. At most `limit`.
    pub fn run(&self, at: i64, limit: usize) -> usize {
        let present = self.is_present(at);
        (0..limit).take_while(|&i| self.is_present(at + i as i64) == present).count()
    }

    /// Copies without removing. Holes read as [`i16::MIN`].
    pub fn peek(&self, at: i64, out: &mut [i16]) {
        for (i, sample) in out.iter_mut().enumerate() {
            *sample = self.0[self.slot(at + i as i64)];
        }
    }

    pub fn remove(&mut self, at: i64, samples: usize) {
        for i in 0..samples.min(self.capacity()) {
            let slot = self.slot(at + i as i64);
            self.0[slot] = ABSENT;
        }
    }
}
