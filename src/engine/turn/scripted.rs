//! An end-of-turn judge that answers what it was told to.

use std::collections::VecDeque;

use crate::engine::{EngineError, Turn};

/// Gives its answers in order; the last one repeats.
#[derive(Debug, Clone)]
pub struct ScriptedTurn {
    next: VecDeque<f32>,
    last: f32,
}

impl ScriptedTurn {
    /// The same answer every time.
    pub fn always(probability: f32) -> Self {
        ScriptedTurn { next: VecDeque::new(), last: probability }
    }

    /// Each answer once, then the last for ever; 0.0 where there is none.
    pub fn sequence(probabilities: impl IntoIterator<Item = f32>) -> Self {
        ScriptedTurn { next: probabilities.into_iter().collect(), last: 0.0 }
    }
}

impl Turn for ScriptedTurn {
    fn probability(&mut self, _pcm: &[i16]) -> Result<f32, EngineError> {
        if let Some(answer) = self.next.pop_front() {
            self.last = answer;
        }
        Ok(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_and_the_last_repeats() {
        let mut turn = ScriptedTurn::sequence([0.1, 0.9]);
        let heard: Vec<_> = (0..3).map(|_| turn.probability(&[]).unwrap()).collect();
        assert_eq!(heard, [0.1, 0.9, 0.9]);
        assert_eq!(ScriptedTurn::always(0.5).probability(&[]).unwrap(), 0.5);
    }
}
