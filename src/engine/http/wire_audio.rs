//! Audio as it streams in: bare 16-bit little-endian samples, or a WAV file of them whose header may
//! lie about its length, since the server did not know it yet (RIFF, Microsoft 1991). Bytes come in
//! as the network cuts them, samples come out.

/// A WAV header longer than this is not one.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Reads one stream of mono audio.
#[derive(Debug)]
pub struct WireAudio {
    rate: u32,
    stage: Stage,
    /// Bytes not yet read: a part of the header, or the first half of a sample.
    rest: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum Stage {
    /// Not yet known whether a header comes.
    Begin,
    /// Inside the WAV header.
    Header,
    /// Samples; `left` bytes of them where a header told.
    Samples { left: Option<u64> },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAudio {
    #[error("the WAV header is broken: {0}")]
    Header(&'static str),
    #[error(
        "the WAV file is format {format}, {channels} channels, {bits} bits; 16-bit PCM in one channel is wanted"
    )]
    Kind { format: u16, channels: u16, bits: u16 },
    #[error("the WAV file's rate of {0} Hz is not that of speech")]
    Rate(u32),
}

impl WireAudio {
    /// For a stream that is at `bare_rate` Hz where no WAV header says otherwise.
    pub fn new(bare_rate: u32) -> Self {
        WireAudio { rate: bare_rate, stage: Stage::Begin, rest: Vec::new() }
    }

    /// Samples a second. Settled once the first samples are out.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes the next bytes; gives the samples they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, NotAudio> {
        self.rest.extend_from_slice(bytes);
        if self.stage == Stage::Begin && self.rest.len() >= 4 {
            let is_wav = self.rest.starts_with(b"RIFF");
            self.stage = if is_wav { Stage::Header } else { Stage::Samples { left: None } };
        }
        if self.stage == Stage::Header {
            self.read_header()?;
        }
        Ok(self.take_samples())
    }

    fn read_header(&mut self) -> Result<(), NotAudio> {
        match parse_header(&self.rest)? {
            Some(header) => {
                self.rate = header.rate;
                self.stage = Stage::Samples { left: header.data_bytes };
                self.rest.drain(..header.length);
                Ok(())
            }
            None if self.rest.len() > MAX_HEADER_BYTES => Err(NotAudio::Header("it does not end")),
            None => Ok(()),
        }
    }

    fn take_samples(&mut self) -> Vec<i16> {
        let Stage::Samples { left } = &mut self.stage else { return Vec::new() };
        if let Some(left) = left {
            // Chunks after the samples hold the title, not sound.
            self.rest.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
        }
        let whole = self.rest.len() / 2 * 2;
        let pcm = self.rest[..whole].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        if let Some(left) = left {
            *left -= whole as u64;
        }
        self.rest.drain(..whole);
        pcm
    }
}

struct Header {
    /// Bytes before the first sample.
    length: usize,
    rate: u32,
    /// `None` where the length is a placeholder.
    data_bytes: Option<u64>,
}

/// The header at the start of `bytes`; `None` if it goes on beyond them.
fn parse_header(bytes: &[u8]) -> Result<Option<Header>, NotAudio> {
    let (mut at, mut rate) = (12, None);
    if bytes.get(8..12).is_some_and(|form| form != b"WAVE") {
        return Err(NotAudio::Header("it is no WAVE form"));
    }
    while let (Some(name), Some(size)) = (bytes.get(at..at + 4), bytes.get(at + 4..at + 8)) {
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]);
        let body = at + 8;
        if name == b"data" {
            let rate = rate.ok_or(NotAudio::Header("the data comes before the format"))?;
            let data_bytes = (size != 0 && size < u32::MAX - 256).then_some(u64::from(size));
            return Ok(Some(Header { length: body, rate, data_bytes }));
        }
        // Chunks are padded to even lengths.
        let end = body.saturating_add(size as usize).saturating_add(size as usize % 2);
        if end > MAX_HEADER_BYTES {
            return Err(NotAudio::Header("a chunk before the data is too long"));
        }
        if name == b"fmt " {
            let Some(format) = bytes.get(body..end) else { return Ok(None) };
            rate = Some(parse_format(format)?);
        }
        at = end;
    }
    Ok(None)
}

/// The rate in a `fmt ` chunk, if it describes what we take.
fn parse_format(chunk: &[u8]) -> Result<u32, NotAudio> {
    let short = |at: usize| chunk.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let (Some(format), Some(channels), Some(low), Some(high), Some(bits)) =
        (short(0), short(2), short(4), short(6), short(14))
    else {
        return Err(NotAudio::Header("the format is too short"));
    };
    // WAVE_FORMAT_EXTENSIBLE keeps the format proper at the start of a GUID.
    let format = if format == 0xfffe { short(24).unwrap_or(format) } else { format };
    if (format, channels, bits) != (1, 1, 16) {
        return Err(NotAudio::Kind { format, channels, bits });
    }
    let rate = u32::from(high) << 16 | u32::from(low);
    if (8_000..=96_000).contains(&rate) { Ok(rate) } else { Err(NotAudio::Rate(rate)) }
}

/// A WAV file of mono samples at `rate` Hz; the format holds at most 4 GB.
pub fn wav_of(pcm: &[i16], rate: u32) -> Vec<u8> {
    let data = pcm.len() as u32 * 2;
    let mut file = Vec::with_capacity(44 + data as usize);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    for short in [1u16, 1] {
        file.extend_from_slice(&short.to_le_bytes());
    }
    for long in [rate, rate * 2] {
        file.extend_from_slice(&long.to_le_bytes());
    }
    for short in [2u16, 16] {
        file.extend_from_slice(&short.to_le_bytes());
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data.to_le_bytes());
    file.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], cut: usize) -> Result<(u32, Vec<i16>), NotAudio> {
        let mut audio = WireAudio::new(24_000);
        let mut pcm = Vec::new();
        for chunk in bytes.chunks(cut) {
            pcm.extend(audio.push(chunk)?);
        }
        Ok((audio.rate(), pcm))
    }

    #[test]
    fn bare_samples_survive_cuts_inside_a_sample() {
        let pcm: Vec<i16> = (-500..500).map(|n| n * 60).collect();
        let bytes: Vec<u8> = pcm.iter().flat_map(|s| s.to_le_bytes()).collect();
        for cut in [1, 3, 7, 4_000] {
            assert_eq!(read(&bytes, cut).unwrap(), (24_000, pcm.clone()));
        }
    }

    #[test]
    fn a_wav_file_says_its_own_rate() {
        let wav = wav_of(&[1, -2, 3], 22_050);
        for cut in [1, 5, 100] {
            assert_eq!(read(&wav, cut).unwrap(), (22_050, vec![1, -2, 3]));
        }
    }

    #[test]
    fn our_wav_is_readable_by_others() {
        let mut reader = hound::WavReader::new(std::io::Cursor::new(wav_of(&[1, -2, 3], 16_000))).unwrap();
        assert_eq!(reader.spec().sample_rate, 16_000);
        assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), [1, -2, 3]);
    }

    #[test]
    fn a_placeholder_length_means_until_the_end() {
        for placeholder in [0, u32::MAX, 0xffff_ff00] {
            let mut wav = wav_of(&[1, -2, 3], 16_000);
            wav[40..44].copy_from_slice(&placeholder.to_le_bytes());
            assert_eq!(read(&wav, 9).unwrap(), (16_000, vec![1, -2, 3]));
        }
    }

    #[test]
    fn chunks_around_the_samples_are_no_sound() {
        let mut wav = wav_of(&[7], 16_000);
        wav.splice(36..36, *b"LIST\x03\0\0\0abc\0");
        wav.extend_from_slice(b"LIST\x04\0\0\0abcd");
        assert_eq!(read(&wav, 6).unwrap(), (16_000, vec![7]));
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        let mut stereo = wav_of(&[1, 2], 16_000);
        stereo[22] = 2;
        assert_eq!(read(&stereo, 99), Err(NotAudio::Kind { format: 1, channels: 2, bits: 16 }));
        let mut no_form = wav_of(&[1], 16_000);
        no_form[8] = b'X';
        assert!(matches!(read(&no_form, 99), Err(NotAudio::Header(_))));
        assert_eq!(read(&wav_of(&[1], 1), 99), Err(NotAudio::Rate(1)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 1usize..50) {
            let _ = read(&bytes, cut);
            let _ = read(&[b"RIFF0000WAVEfmt \x10\0\0\0", bytes.as_slice()].concat(), cut);
        }
    }
}
