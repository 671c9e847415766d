//! Packets are numbered for longer than their 16 bits reach (RFC 3711 §3.3.1), and none counts twice
//! (§3.3.2).

/// The highest index that was heard, and which of those just below it.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    highest: u64,
    /// Bit n: `highest - n` was heard.
    seen: u128,
}

impl Window {
    pub const fn begin(index: u64) -> Self {
        Window { highest: index, seen: 1 }
    }

    /// Whether a packet was heard before, or is so old that nobody can tell.
    pub fn is_replay(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => false,
            Some(behind) => behind >= u128::BITS.into() || self.seen & (1 << behind) != 0,
        }
    }

    /// Takes note of an authentic packet.
    pub fn note(&mut self, index: u64) {
        if let Some(ahead) = index.checked_sub(self.highest) {
            let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = index;
        } else if self.highest - index < u128::BITS.into() {
            self.seen |= 1 << (self.highest - index);
        }
    }
}

/// What a sequence number can stand for, the likeliest first: the index nearest to what was heard, and
/// the one a wrap later. That one is right after 11 to 33 minutes in which nothing came, or where the first
/// packets of a stream that begins before a wrap were lost.
pub fn candidates(heard: Option<&Window>, sequence: u16) -> [Option<u64>; 2] {
    let near = match heard {
        None => i64::from(sequence),
        // Indices have 48 bits.
        Some(window) => {
            let highest = window.highest as i64;
            highest + i64::from(sequence.wrapping_sub(highest as u16) as i16)
        }
    };
    [near, near + (1 << 16)].map(|index| u64::try_from(index).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_counts_once_whatever_its_order() {
        let mut window = Window::begin(1_000);
        for index in [1_002, 1_001, 900, 1_050, 999] {
            assert!(!window.is_replay(index), "{index}");
            window.note(index);
            assert!(window.is_replay(index), "{index}");
        }
        assert!(window.is_replay(1_000) && !window.is_replay(1_003));
    }

    #[test]
    fn what_is_too_old_to_tell_is_a_replay() {
        let mut window = Window::begin(500);
        assert!(window.is_replay(372) && !window.is_replay(373));
        window.note(10);
        assert!(!window.is_replay(373), "an old index marks none of the new ones");
        window.note(1 << 40);
        assert!(window.is_replay(500) && !window.is_replay((1 << 40) - 1));
    }

    #[test]
    fn numbers_wrap_forwards_and_backwards() {
        let at = |highest| Window::begin(highest);
        let first = |highest, sequence| candidates(Some(&at(highest)), sequence)[0];
        assert_eq!(first(65_530, 3), Some(65_539));
        assert_eq!(first(65_539, 65_530), Some(65_530));
        assert_eq!(first(3 * 65_536 + 40_000, 100), Some(4 * 65_536 + 100));
        assert_eq!(first(5, 65_535), None, "there is nothing before the beginning");
        assert_eq!(candidates(None, 65_535), [Some(65_535), Some(131_071)]);
        assert_eq!(candidates(Some(&at(100)), 40_000), [None, Some(40_000)], "two fifths of a wrap are lost");
    }
}
