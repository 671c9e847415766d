//! Half a second of samples by their place in the stream, with holes.

/// Samples the ring holds: 512 ms at 8 kHz, 8 KB a call. A power of two.
pub const CAPACITY: usize = 4_096;
/// Marks a place where nothing is. Written samples are kept clear of it (no code of G.711 means it).
const ABSENT: i16 = i16::MIN;

/// A window `[start, start + CAPACITY)` onto the stream; whoever owns it says where it starts.
pub struct Ring(Box<[i16; CAPACITY]>);

impl Default for Ring {
    fn default() -> Self {
        Ring(Box::new([ABSENT; CAPACITY]))
    }
}

impl Ring {
    pub fn clear(&mut self) {
        self.0.fill(ABSENT);
    }

    pub fn write(&mut self, at: i64, pcm: &[i16]) {
        for (i, &sample) in pcm.iter().enumerate() {
            self.0[slot(at + i as i64)] = sample.max(ABSENT + 1);
        }
    }

    pub fn is_present(&self, at: i64) -> bool {
        self.0[slot(at)] != ABSENT
    }

    /// How many places from `at` on are alike: all present or all absent. At most `limit`.
    pub fn run(&self, at: i64, limit: usize) -> usize {
        let present = self.is_present(at);
        (0..limit).take_while(|&i| self.is_present(at + i as i64) == present).count()
    }

    /// Copies without removing. Holes read as [`i16::MIN`].
    pub fn peek(&self, at: i64, out: &mut [i16]) {
        for (i, sample) in out.iter_mut().enumerate() {
            *sample = self.0[slot(at + i as i64)];
        }
    }

    pub fn remove(&mut self, at: i64, samples: usize) {
        for i in 0..samples.min(CAPACITY) {
            self.0[slot(at + i as i64)] = ABSENT;
        }
    }
}

const fn slot(at: i64) -> usize {
    at as usize & (CAPACITY - 1)
}
