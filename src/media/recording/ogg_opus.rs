//! A recording as Opus in Ogg (RFC 7845).
//!
//! Both sides are streams of their own in one packet (channel mapping family 1, nothing coupled): what one
//! side says leaves no trace in the other's channel, as it would in joint stereo.

use std::io::{self, Write};

use ogg::{PacketWriteEndInfo as End, PacketWriter};
use opus::{Application, Bitrate, MSEncoder, Signal};

use super::file::{Container, Effort};
use crate::base::audio::{WIDEBAND_HZ, frame_samples};

/// What granule positions count, whatever the rate of the audio (RFC 7845 §4).
const GRANULE_HZ: u64 = 48_000;
/// Of a packet of 20 ms.
const GRANULES: u64 = GRANULE_HZ / 50;
/// Bits a second of each side.
const NARROW_BITRATE: i32 = 16_000;
const WIDE_BITRATE: i32 = 24_000;
/// Work spent on a packet, 0 to 10, with time to spare and without.
const CALM: i32 = 5;
const HURRIED: i32 = 0;
/// Longer than a packet of two streams can be.
const MAX_PACKET: usize = 2_600;
const SIDES: u8 = 2;

pub struct OggOpus<W: Write> {
    packets: PacketWriter<'static, W>,
    encoder: MSEncoder,
    serial: u32,
    rate: u32,
    /// Granules that a player drops from the beginning: the encoder's delay.
    pre_skip: u64,
    /// Less than a packet's worth.
    waiting: Vec<[i16; 2]>,
    /// Samples taken.
    taken: u64,
    /// Packets made.
    made: u64,
    /// The newest packet: whether it ends a page is known when the next one comes.
    newest: Option<Vec<u8>>,
}

impl<W: Write> OggOpus<W> {
    /// Writes the headers. `rate` is one that Opus knows: 8, 12, 16, 24 or 48 kHz.
    pub fn begin(to: W, rate: u32, serial: u32) -> io::Result<Self> {
        let mut encoder =
            MSEncoder::new(rate, SIDES, 0, &[0, 1], Application::Voip).map_err(io::Error::other)?;
        let bitrate = if rate < WIDEBAND_HZ { NARROW_BITRATE } else { WIDE_BITRATE };
        encoder.set_bitrate(Bitrate::Bits(bitrate * i32::from(SIDES))).map_err(io::Error::other)?;
        encoder.set_complexity(CALM).map_err(io::Error::other)?;
        encoder.set_signal(Signal::Voice).map_err(io::Error::other)?;
        let lookahead = encoder.get_lookahead().map_err(io::Error::other)?;
        let pre_skip = u64::from(lookahead.unsigned_abs()) * GRANULE_HZ / u64::from(rate);
        let mut packets = PacketWriter::new(to);
        packets.write_packet(identification(pre_skip as u16, rate), serial, End::EndPage, 0)?;
        packets.write_packet(comments(), serial, End::EndPage, 0)?;
        packets.inner_mut().flush()?;
        let waiting = Vec::with_capacity(frame_samples(rate));
        Ok(OggOpus { packets, encoder, serial, rate, pre_skip, waiting, taken: 0, made: 0, newest: None })
    }

    fn encode(&mut self) -> io::Result<()> {
        let mut packet = vec![0; MAX_PACKET];
        let length =
            self.encoder.encode(self.waiting.as_flattened(), &mut packet).map_err(io::Error::other)?;
        packet.truncate(length);
        packet.shrink_to_fit();
        self.waiting.clear();
        self.put(End::NormalPacket, self.made * GRANULES)?;
        self.made += 1;
        self.newest = Some(packet);
        Ok(())
    }

    /// Writes the newest packet, with which `end` comes.
    fn put(&mut self, end: End, granule: u64) -> io::Result<()> {
        match self.newest.take() {
            Some(packet) => self.packets.write_packet(packet, self.serial, end, granule),
            None => Ok(()),
        }
    }

    /// Where the last sample taken lies.
    fn end(&self) -> u64 {
        self.pre_skip + self.taken * GRANULE_HZ / u64::from(self.rate)
    }
}

impl<W: Write> Container for OggOpus<W> {
    fn append(&mut self, mut stereo: &[[i16; 2]]) -> io::Result<()> {
        let frame = frame_samples(self.rate);
        self.taken += stereo.len() as u64;
        while !stereo.is_empty() {
            let (part, rest) = stereo.split_at(stereo.len().min(frame - self.waiting.len()));
            self.waiting.extend_from_slice(part);
            stereo = rest;
            if self.waiting.len() == frame {
                self.encode()?;
            }
        }
        Ok(())
    }

    /// Ends the page: what is on disk is complete and can be played.
    fn flush(&mut self) -> io::Result<()> {
        self.put(End::EndPage, self.made * GRANULES)?;
        self.packets.inner_mut().flush()
    }

    fn spend(&mut self, effort: Effort) -> io::Result<()> {
        let complexity = match effort {
            Effort::Calm => CALM,
            Effort::Hurried => HURRIED,
        };
        self.encoder.set_complexity(complexity).map_err(io::Error::other)
    }

    /// Encodes what the encoder still holds; the last granule position says where the sound ends
    /// (RFC 7845 §4.4).
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let end = self.end();
        while self.made * GRANULES < end || self.newest.is_none() {
            self.waiting.resize(frame_samples(self.rate), [0; 2]);
            self.encode()?;
        }
        self.put(End::EndStream, end)?;
        self.packets.inner_mut().flush()
    }
}

/// RFC 7845 §5.1.
fn identification(pre_skip: u16, rate: u32) -> Vec<u8> {
    let mut head = b"OpusHead".to_vec();
    head.extend([1, SIDES]);
    head.extend(pre_skip.to_le_bytes());
    head.extend(rate.to_le_bytes());
    // No gain; mapping family 1 of two streams, none of them coupled, in their order.
    head.extend([0, 0, 1, SIDES, 0, 0, 1]);
    head
}

/// RFC 7845 §5.2: who wrote it, and nothing about the call.
fn comments() -> Vec<u8> {
    const VENDOR: &[u8] = b"callbox";
    let mut tags = b"OpusTags".to_vec();
    tags.extend((VENDOR.len() as u32).to_le_bytes());
    tags.extend(VENDOR);
    tags.extend(0u32.to_le_bytes());
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Page {
        flags: u8,
        granule: u64,
        packets: usize,
    }

    fn pages(mut bytes: &[u8]) -> Vec<Page> {
        let mut pages = Vec::new();
        while let [b'O', b'g', b'g', b'S', 0, flags, rest @ ..] = bytes {
            let granule = u64::from_le_bytes(rest[..8].try_into().unwrap());
            let segments = usize::from(rest[20]);
            let lacing = &rest[21..21 + segments];
            let body: usize = lacing.iter().map(|&length| usize::from(length)).sum();
            let packets = lacing.iter().filter(|&&length| length < 255).count();
            pages.push(Page { flags: *flags, granule, packets });
            bytes = &rest[21 + segments + body..];
        }
        assert!(bytes.is_empty());
        pages
    }

    fn recorded(samples: usize, flush_every: usize, rate: u32) -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        let mut file = Box::new(OggOpus::begin(&mut bytes, rate, 7).unwrap());
        let pre_skip = file.pre_skip;
        for part in vec![[100, -100]; samples].chunks(flush_every) {
            file.append(part).unwrap();
            file.flush().unwrap();
        }
        file.finish().unwrap();
        (bytes, pre_skip)
    }

    #[test]
    fn the_last_granule_says_how_long_the_recording_is() {
        for (rate, samples) in [(8_000, 0), (8_000, 1), (8_000, 4_000), (8_000, 4_111), (16_000, 16_010)] {
            let (bytes, pre_skip) = recorded(samples, 2_000, rate);
            let pages = pages(&bytes);
            let last = pages.last().unwrap();
            assert_eq!(last.granule - pre_skip, samples as u64 * GRANULE_HZ / u64::from(rate));
            let packets: usize = pages.iter().map(|page| page.packets).sum();
            assert!((packets as u64 - 2) * GRANULES >= last.granule, "the delay is encoded, too");
            assert_eq!((pages[0].flags, last.flags & 4), (2, 4), "the stream has a beginning and an end");
            assert!(pages[1..].windows(2).all(|two| two[0].granule <= two[1].granule));
        }
    }

    #[test]
    fn what_was_flushed_is_whole_pages() {
        let mut bytes = Vec::new();
        let mut file = OggOpus::begin(&mut bytes, 8_000, 7).unwrap();
        file.append(&[[5, 5]; 4_000]).unwrap();
        file.flush().unwrap();
        file.append(&[[5, 5]; 4_000]).unwrap();
        drop(file);
        let pages = pages(&bytes);
        assert_eq!(pages.iter().map(|page| page.packets).collect::<Vec<_>>(), [1, 1, 25]);
        assert_eq!(pages[2].granule, 25 * GRANULES);
    }
}
