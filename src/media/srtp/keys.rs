//! Session keys, and what they do to a packet: AES in counter mode (RFC 3711 §4.1.1), HMAC-SHA1 (§4.2.1).

use aes::{
    Aes128Enc,
    cipher::{InnerIvInit, KeyInit, StreamCipher},
};
use ctr::CtrCore;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::base::srtp::MasterKey;

/// Counts blocks of one packet; the upper bytes of the counter name the packet.
type KeyStream<'a> = ctr::cipher::StreamCipherCoreWrapper<CtrCore<&'a Aes128Enc, ctr::flavors::Ctr128BE>>;

const KEY: usize = 16;
const SALT: usize = 14;
const AUTH_KEY: usize = 20;

/// Labels of the key derivation (RFC 3711 §4.3.1): those of cipher, authentication and salt follow each other.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    Rtp = 0,
    Rtcp = 3,
}

/// The session keys of one direction, for RTP or for RTCP.
pub struct SessionKeys {
    cipher: Aes128Enc,
    salt: [u8; SALT],
    auth: Hmac<Sha1>,
}

impl SessionKeys {
    /// Derives them once for the whole session: the key derivation rate is 0, as RFC 4568 has it unless
    /// agreed on otherwise.
    pub fn derive(master: &MasterKey, purpose: Purpose) -> Self {
        let (key, salt) = master.expose().split_at(KEY);
        let master = Aes128Enc::new_from_slice(key).expect("a master key has 16 bytes before its salt");
        let label = purpose as u8;
        let auth: [u8; AUTH_KEY] = pseudo_random(&master, salt, label + 1);
        SessionKeys {
            cipher: Aes128Enc::new(&pseudo_random::<KEY>(&master, salt, label).into()),
            salt: pseudo_random(&master, salt, label + 2),
            auth: Hmac::new_from_slice(&auth).expect("HMAC takes keys of any length"),
        }
    }

    /// Encrypts `text` in place, or decrypts it.
    pub fn apply(&self, ssrc: u32, index: u64, text: &mut [u8]) {
        let mut iv = [0; 16];
        iv[..SALT].copy_from_slice(&self.salt);
        let [_, _, index @ ..] = index.to_be_bytes();
        iv[4..8].iter_mut().zip(ssrc.to_be_bytes()).for_each(|(byte, with)| *byte ^= with);
        iv[8..14].iter_mut().zip(index).for_each(|(byte, with)| *byte ^= with);
        key_stream(&self.cipher, iv, text);
    }

    /// The beginning of a tag over `packet`; what else it covers is still to be added.
    pub fn sign(&self, packet: &[u8]) -> Hmac<Sha1> {
        let mut mac = self.auth.clone();
        mac.update(packet);
        mac
    }
}

/// RFC 3711 §4.3.3, with the index 0.
fn pseudo_random<const N: usize>(master: &Aes128Enc, salt: &[u8], label: u8) -> [u8; N] {
    let mut iv = [0; 16];
    iv[..SALT].copy_from_slice(salt);
    iv[7] ^= label;
    let mut key = [0; N];
    key_stream(master, iv, &mut key);
    key
}

fn key_stream(cipher: &Aes128Enc, iv: [u8; 16], text: &mut [u8]) {
    let core = CtrCore::inner_iv_init(cipher, &iv.into());
    KeyStream::from_core(core).apply_keystream(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    /// RFC 3711 Appendix B.3.
    fn master() -> MasterKey {
        let (key, salt) = ("e1f97a0d3e018be0d64fa32c06de4139", "0ec675ad498afeebb6960b3aabe6");
        bytes::<30>(&format!("{key}{salt}")).into()
    }

    #[test]
    fn session_keys_are_those_of_the_rfc() {
        let master = master();
        let (key, salt) = master.expose().split_at(KEY);
        let aes = Aes128Enc::new_from_slice(key).unwrap();
        assert_eq!(pseudo_random(&aes, salt, 0), bytes::<16>("c61e7a93744f39ee10734afe3ff7a087"));
        assert_eq!(pseudo_random(&aes, salt, 2), bytes::<14>("30cbbc08863d8c85d49db34a9ae1"));
        let auth = "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175578ef722\
                    70986371c10c9a369ac2f94a8c5fbcdddc256d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60db\
                    dfb2";
        assert_eq!(pseudo_random(&aes, salt, 1), bytes::<94>(auth));
        assert_eq!(SessionKeys::derive(&master, Purpose::Rtp).salt, bytes("30cbbc08863d8c85d49db34a9ae1"));
    }

    /// RFC 3711 Appendix B.2: the key stream of a packet with SSRC and index 0.
    #[test]
    fn key_stream_is_that_of_the_rfc() {
        let keys = SessionKeys {
            cipher: Aes128Enc::new(&bytes::<16>("2b7e151628aed2a6abf7158809cf4f3c").into()),
            salt: bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfd"),
            auth: Hmac::new_from_slice(&[]).unwrap(),
        };
        let mut stream = [0; 48];
        keys.apply(0, 0, &mut stream);
        let said = "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0";
        assert_eq!(stream, bytes(said));
    }
}
