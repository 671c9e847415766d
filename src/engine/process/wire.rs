//! Messages on the socket: a JSON header and a PCM payload, each behind its length.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// A header holds at most a long conversation; a payload at most some minutes of audio.
const MAX_HEADER: u32 = 4 << 20;
const MAX_PAYLOAD: u32 = 32 << 20;

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a header of {0} bytes; at most {MAX_HEADER} are allowed")]
    HeaderTooLong(u32),
    #[error("a payload of {0} bytes; at most {MAX_PAYLOAD}, an even number, are allowed")]
    BadPayload(u32),
    /// Where it went wrong, never what stood there: headers carry what people said.
    #[error("a header that is not the expected JSON ({category:?} error at column {column})")]
    Json { category: serde_json::error::Category, column: usize },
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> Self {
        WireError::Json { category: error.classify(), column: error.column() }
    }
}

/// Writes one message as a single write, so that a small one is one system call.
pub(super) fn write_message(
    to: &mut impl Write,
    header: &impl Serialize,
    pcm: &[i16],
) -> Result<(), WireError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, header)?;
    let header_len = bounded(bytes.len() - 4, MAX_HEADER).map_err(WireError::HeaderTooLong)?;
    bytes[..4].copy_from_slice(&header_len.to_le_bytes());
    let payload_len = bounded(pcm.len() * 2, MAX_PAYLOAD).map_err(WireError::BadPayload)?;
    bytes.extend_from_slice(&payload_len.to_le_bytes());
    bytes.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
    to.write_all(&bytes)?;
    Ok(to.flush()?)
}

/// Reads one message; `None` where the peer closed the stream between two messages.
pub(super) fn read_message<H: DeserializeOwned>(
    from: &mut impl Read,
) -> Result<Option<(H, Vec<i16>)>, WireError> {
    let Some(header_len) = read_first_length(from)? else { return Ok(None) };
    if header_len > MAX_HEADER {
        return Err(WireError::HeaderTooLong(header_len));
    }
    let header = read_bytes(from, header_len)?;
    let payload_len = read_length(from)?;
    if payload_len > MAX_PAYLOAD || payload_len % 2 != 0 {
        return Err(WireError::BadPayload(payload_len));
    }
    let payload = read_bytes(from, payload_len)?;
    let (pairs, _) = payload.as_chunks::<2>();
    let pcm = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    Ok(Some((serde_json::from_slice(&header)?, pcm)))
}

fn bounded(len: usize, max: u32) -> Result<u32, u32> {
    match u32::try_from(len) {
        Ok(len) if len <= max => Ok(len),
        other => Err(other.unwrap_or(u32::MAX)),
    }
}

fn read_first_length(from: &mut impl Read) -> Result<Option<u32>, WireError> {
    let mut bytes = [0; 4];
    loop {
        match from.read(&mut bytes[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    from.read_exact(&mut bytes[1..])?;
    Ok(Some(u32::from_le_bytes(bytes)))
}

fn read_length(from: &mut impl Read) -> Result<u32, WireError> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Grows with what arrives, so that a length alone reserves nothing.
fn read_bytes(from: &mut impl Read, len: u32) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::new();
    from.take(u64::from(len)).read_to_end(&mut bytes)?;
    if bytes.len() < len as usize {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was_sent() {
        let mut bytes = Vec::new();
        write_message(&mut bytes, &json!({"call": "push"}), &[1, -2, i16::MIN]).unwrap();
        let mut from = bytes.as_slice();
        let (header, pcm) = read_message::<Value>(&mut from).unwrap().unwrap();
        assert_eq!((header, pcm), (json!({"call": "push"}), vec![1, -2, i16::MIN]));
        assert!(read_message::<Value>(&mut from).unwrap().is_none());
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_unread() {
        let header = (MAX_HEADER + 1).to_le_bytes();
        assert!(matches!(read_message::<Value>(&mut header.as_slice()), Err(WireError::HeaderTooLong(_))));
        let payload = [&2u32.to_le_bytes()[..], b"{}", &3u32.to_le_bytes()].concat();
        assert!(matches!(read_message::<Value>(&mut payload.as_slice()), Err(WireError::BadPayload(3))));
    }

    #[test]
    fn a_message_cut_short_is_an_error() {
        let mut bytes = Vec::new();
        write_message(&mut bytes, &json!({}), &[7]).unwrap();
        for len in 1..bytes.len() {
            assert!(read_message::<Value>(&mut &bytes[..len]).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_message::<Value>(&mut bytes.as_slice());
        }
    }
}
