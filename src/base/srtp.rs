//! The keys of encrypted audio (RFC 3711): SDP tells them (RFC 4568), media uses them.

use super::Pii;

/// A master key of one direction with its salt behind it: 16 and 14 bytes.
pub type MasterKey = Pii<[u8; MASTER_KEY_LEN]>;

pub const MASTER_KEY_LEN: usize = 30;

/// What encrypts a packet and proves that nobody changed it (RFC 4568 §6.2). Both count AES-128 up
/// (AES-CM) and sign with HMAC-SHA1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Tags of 80 bits.
    AesCm128HmacSha1_80,
    /// Tags of 32 bits on RTP, of 80 on RTCP.
    AesCm128HmacSha1_32,
}

impl Suite {
    /// In order of preference.
    pub const ALL: [Suite; 2] = [Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];
}

/// What both ends of a session encrypt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keying {
    pub suite: Suite,
    pub sends: MasterKey,
    pub receives: MasterKey,
}
