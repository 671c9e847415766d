//! A packet as it goes on the wire.

use std::{cell::Cell, ops::Deref};

use crate::media::{
    codec::MAX_PAYLOAD,
    rtp::{HEADER_LEN, Header},
    srtp::{LONGEST_TAG, Srtp},
};

const MAX_LEN: usize = HEADER_LEN + MAX_PAYLOAD + LONGEST_TAG;
/// Of so many datagrams a thread keeps the memory: those of one phase of four thousand legs.
const KEPT: usize = 1_024;

thread_local! {
    /// The memory of datagrams that are gone: the next ones are written where the core has just been.
    static SPARE: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

/// Its bytes stay where they are written until they are sent.
pub struct Datagram(Vec<u8>);

impl Datagram {
    /// `write` puts the payload into its place and gives its length.
    pub fn new(header: Header, write: impl FnOnce(&mut [u8; MAX_PAYLOAD]) -> usize) -> Self {
        let mut bytes = with_spare(Vec::pop).flatten().unwrap_or_else(|| Vec::with_capacity(MAX_LEN));
        bytes.clear();
        bytes.resize(MAX_LEN, 0);
        bytes[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        let payload = bytes[HEADER_LEN..].first_chunk_mut().expect("a datagram has room for a payload");
        let len = HEADER_LEN + write(payload).min(MAX_PAYLOAD);
        bytes.truncate(len);
        Datagram(bytes)
    }

    /// From here on the payload cannot be read.
    pub(super) fn protect(&mut self, srtp: &mut Srtp) {
        let len = self.0.len();
        self.0.resize(len + LONGEST_TAG, 0);
        let len = srtp.protect(&mut self.0, len);
        self.0.truncate(len);
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.0[HEADER_LEN..]
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        with_spare(|spare| {
            if spare.len() < KEPT {
                spare.push(bytes);
            }
        });
    }
}

/// `None` while the thread ends.
fn with_spare<T>(work: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> Option<T> {
    SPARE
        .try_with(|cell| {
            let mut spare = cell.take();
            let done = work(&mut spare);
            cell.set(spare);
            done
        })
        .ok()
}

impl Deref for Datagram {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Datagram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Datagram({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::rtp::{SequenceNumber, Ssrc, Timestamp};

    #[test]
    fn memory_is_used_again_and_tells_nothing_of_what_it_held() {
        let (sequence, timestamp) = (SequenceNumber(1), Timestamp(0));
        let header = Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: Ssrc(1) };
        let one = Datagram::new(header, |payload| {
            payload.fill(7);
            payload.len()
        });
        assert_eq!((one.len(), one.payload()), (HEADER_LEN + MAX_PAYLOAD, &[7; MAX_PAYLOAD][..]));
        let place = one.as_ptr();
        drop(one);
        let two = Datagram::new(header, |payload| {
            assert_eq!(*payload, [0; MAX_PAYLOAD]);
            1
        });
        assert_eq!((two.as_ptr(), two.len()), (place, HEADER_LEN + 1));
    }
}
