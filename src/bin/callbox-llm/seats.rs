//! Which conversation sits on which sequence of the context, and which of its tokens are there already.
//! Pure bookkeeping: what it decides, [`crate::chat`] does to the KV cache.

use callbox::engine::StreamId;

/// One sequence of the context.
#[derive(Debug, Clone)]
pub struct Seat<T> {
    pub stream: Option<StreamId>,
    /// The tokens whose state is in the KV cache, in order. Kept after the conversation has ended: the
    /// next one may begin with the same instructions.
    pub tokens: Vec<T>,
    last_used: u64,
}

/// Where a prompt goes and how much of it need not be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seating {
    pub seat: usize,
    /// Tokens at the beginning whose state is reused.
    pub reused: usize,
    /// The sequence to copy that state from, where it is not the seat's own.
    pub copy_from: Option<usize>,
}

#[derive(Debug)]
pub struct Seats<T> {
    seats: Vec<Seat<T>>,
    clock: u64,
    /// Whether a part of one sequence's state can be given to another.
    can_copy: bool,
}

/// Copying has to save at least this many tokens more than the seat's own state does.
const WORTH_COPYING: usize = 16;

impl<T: PartialEq> Seats<T> {
    pub fn new(count: usize, can_copy: bool) -> Self {
        let empty = || Seat { stream: None, tokens: Vec::new(), last_used: 0 };
        Seats { seats: (0..count).map(|_| empty()).collect(), clock: 0, can_copy }
    }

    pub fn of(&self, stream: StreamId) -> Option<usize> {
        self.seats.iter().position(|seat| seat.stream == Some(stream))
    }

    pub fn get_mut(&mut self, seat: usize) -> &mut Seat<T> {
        &mut self.seats[seat]
    }

    /// Seats `stream`: where it sat, else on a free seat, else on the seat of the conversation that has
    /// been idle longest. `None` when all are busy.
    pub fn seat(&mut self, stream: StreamId, prompt: &[T], busy: impl Fn(usize) -> bool) -> Option<Seating> {
        let seat = self.of(stream).or_else(|| self.free(prompt)).or_else(|| self.idle_longest(busy))?;
        self.clock += 1;
        self.seats[seat].stream = Some(stream);
        self.seats[seat].last_used = self.clock;
        // The last token is always computed: its logits are what the answer begins with.
        let most = prompt.len().saturating_sub(1);
        let reusable = |index: usize| common(&self.seats[index].tokens, prompt).min(most);
        let own = reusable(seat);
        let others = (0..self.seats.len()).filter(|index| *index != seat && self.can_copy);
        let best = others.map(|index| (reusable(index), index)).max_by_key(|(len, _)| *len);
        Some(match best {
            Some((len, from)) if len >= own + WORTH_COPYING => {
                Seating { seat, reused: len, copy_from: Some(from) }
            }
            _ => Seating { seat, reused: own, copy_from: None },
        })
    }

    /// The conversation is over; its state stays until the seat is needed.
    pub fn leave(&mut self, stream: StreamId) -> Option<usize> {
        let seat = self.of(stream)?;
        self.seats[seat].stream = None;
        Some(seat)
    }

    /// A free seat: the one whose state serves the prompt best, an empty one before one of no use.
    fn free(&self, prompt: &[T]) -> Option<usize> {
        let free = (0..self.seats.len()).filter(|index| self.seats[*index].stream.is_none());
        let merit = |index: &usize| {
            let tokens = &self.seats[*index].tokens;
            (common(tokens, prompt), std::cmp::Reverse(tokens.len()))
        };
        free.max_by_key(merit)
    }

    fn idle_longest(&self, busy: impl Fn(usize) -> bool) -> Option<usize> {
        (0..self.seats.len()).filter(|index| !busy(*index)).min_by_key(|index| self.seats[*index].last_used)
    }
}

fn common<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: fn(usize) -> bool = |_| false;

    fn sit(seats: &mut Seats<u32>, stream: u64, prompt: &[u32]) -> Seating {
        let seating = seats.seat(StreamId(stream), prompt, IDLE).unwrap();
        seats.get_mut(seating.seat).tokens = prompt.to_vec();
        seating
    }

    #[test]
    fn a_conversation_keeps_its_seat_and_what_it_shares_with_the_last_turn() {
        let mut seats = Seats::new(2, true);
        let first = sit(&mut seats, 1, &[1, 2, 3]);
        sit(&mut seats, 2, &[9, 9]);
        let again = sit(&mut seats, 1, &[1, 2, 3, 4]);
        assert_eq!(again, Seating { seat: first.seat, reused: 3, copy_from: None });
    }

    #[test]
    fn the_last_token_of_a_prompt_is_always_computed() {
        let mut seats = Seats::new(1, true);
        sit(&mut seats, 1, &[1, 2, 3]);
        assert_eq!(sit(&mut seats, 1, &[1, 2, 3]).reused, 2);
    }

    #[test]
    fn the_instructions_of_another_call_are_copied() {
        let mut seats = Seats::new(2, true);
        let instructions: Vec<u32> = (0..40).collect();
        let first = sit(&mut seats, 1, &[&instructions[..], &[100]].concat());
        let second = sit(&mut seats, 2, &[&instructions[..], &[200]].concat());
        assert_eq!(second, Seating { seat: 1 - first.seat, reused: 40, copy_from: Some(first.seat) });
    }

    #[test]
    fn the_idlest_conversation_gives_up_its_seat_and_a_busy_one_never() {
        let mut seats = Seats::new(2, true);
        let first = sit(&mut seats, 1, &[1]);
        let second = sit(&mut seats, 2, &[2]);
        assert_eq!(seats.seat(StreamId(3), &[3], IDLE).unwrap().seat, first.seat);
        let busy = |seat| seat == first.seat;
        assert_eq!(seats.seat(StreamId(4), &[4], busy).unwrap().seat, second.seat);
        assert_eq!(seats.seat(StreamId(5), &[5], |_| true), None);
    }

    #[test]
    fn state_outlives_its_conversation_until_the_seat_is_needed() {
        let mut seats = Seats::new(2, true);
        let first = sit(&mut seats, 1, &[1, 2, 3, 4]);
        seats.leave(StreamId(1));
        let next = sit(&mut seats, 2, &[1, 2, 3, 5]);
        assert_eq!((next.seat, next.reused), (first.seat, 3));
    }
}
