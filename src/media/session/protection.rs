//! Encryption of a session: what comes is opened before anything is made of it, what goes is protected last.

use std::cell::Cell;

use super::Session;
use crate::{
    base::srtp::Keying,
    media::srtp::{Refused, Srtp},
};

thread_local! {
    /// Where packets are opened: one place for all sessions of a thread, so that its memory is always near.
    static OPENED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Session {
    /// Encrypts with these keys from here on, or no more. `true` if whoever was heard until now never proved
    /// to be the far end, and is forgotten.
    pub(super) fn secure(&mut self, keying: Option<Keying>) -> bool {
        match (&mut self.srtp, keying) {
            (Some(srtp), Some(keying)) => srtp.update(keying),
            (None, Some(keying)) => {
                let mut srtp = self.rested.take().unwrap_or_else(|| Box::new(Srtp::new(keying)));
                srtp.update(keying);
                self.srtp = Some(srtp);
                return self.latch.open();
            }
            (srtp, None) => self.rested = srtp.take().or(self.rested.take()),
        }
        false
    }

    /// Hands on what came; of an encrypted session, what is authentic of it.
    pub(super) fn open(&mut self, datagram: &[u8], take: impl FnOnce(&mut Self, &[u8])) {
        let Some(srtp) = &mut self.srtp else { return take(self, datagram) };
        let mut packet = OPENED.take();
        packet.clear();
        packet.extend_from_slice(datagram);
        match srtp.open(&mut packet) {
            Ok(len) => take(self, &packet[..len]),
            Err(Refused::Malformed) => self.counters.malformed += 1,
            Err(Refused::Unauthenticated) => self.counters.unauthenticated += 1,
            Err(Refused::Replayed) => self.counters.replayed += 1,
        }
        OPENED.set(packet);
    }
}
