//! The Whisper conversion on a small made-up model, compared with an independent implementation in
//! numpy, and on damaged ones.

use std::{io::Cursor, sync::OnceLock};

use callbox::models::convert::ctranslate2_whisper;
use half::f16;
use proptest::prelude::*;

use crate::sha256;

/// What the numpy implementation makes of [`small_model`] and [`vocabulary`].
const REFERENCE_SHA256: &str = "e9a8ee43fc35dcf4a9bdefcdd572e3fca159fc3e6689c3cafb4a3c066cb4798b";

const WIDTH: u32 = 64;
const VOCABULARY: u32 = 51_865;

enum Values {
    F32,
    F16,
    I8,
    /// `F32`, never 0.
    Scale,
}

/// Writes the CTranslate2 binary format, version 6, with values from a fixed sequence.
struct Writer {
    bytes: Vec<u8>,
    count: u32,
    state: u32,
}

impl Writer {
    fn new() -> Self {
        let mut writer = Writer { bytes: 6u32.to_le_bytes().to_vec(), count: 0, state: 1 };
        writer.string("WhisperSpec");
        writer.bytes.extend(3u32.to_le_bytes());
        writer.bytes.extend(0u32.to_le_bytes()); // The count, filled in at the end.
        writer
    }

    fn string(&mut self, text: &str) {
        self.bytes.extend((text.len() as u16 + 1).to_le_bytes());
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// -128 to 127.
    fn next(&mut self) -> i8 {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.state >> 24) as i8
    }

    fn variable(&mut self, name: &str, shape: &[u32], values: Values) {
        self.string(name);
        self.bytes.push(shape.len() as u8);
        shape.iter().for_each(|d| self.bytes.extend(d.to_le_bytes()));
        let count: u32 = shape.iter().product();
        let (id, width) = match values {
            Values::F32 | Values::Scale => (0, 4),
            Values::I8 => (1, 1),
            Values::F16 => (4, 2),
        };
        self.bytes.push(id);
        self.bytes.extend((count * width).to_le_bytes());
        for _ in 0..count {
            let value = self.next();
            match values {
                Values::F32 => self.bytes.extend((f32::from(value) / 96.0).to_le_bytes()),
                Values::F16 => self.bytes.extend(f16::from_f32(f32::from(value) / 64.0).to_le_bytes()),
                Values::I8 => self.bytes.push(value as u8),
                Values::Scale => self.bytes.extend((f32::from(value) + 200.0).to_le_bytes()),
            }
        }
        self.count += 1;
    }

    fn norm(&mut self, name: &str) {
        self.variable(&format!("{name}/gamma"), &[WIDTH], Values::F32);
        self.variable(&format!("{name}/beta"), &[WIDTH], Values::F16);
    }

    fn linear(&mut self, name: &str, rows: u32, columns: u32, values: Values) {
        let eight_bit = matches!(values, Values::I8);
        self.variable(&format!("{name}/weight"), &[rows, columns], values);
        if eight_bit {
            self.variable(&format!("{name}/weight_scale"), &[rows], Values::Scale);
        }
        self.variable(&format!("{name}/bias"), &[rows], Values::F16);
    }

    fn layer(&mut self, side: &str) {
        let layer = format!("{side}/layer_0");
        self.norm(&format!("{layer}/self_attention/layer_norm"));
        self.linear(&format!("{layer}/self_attention/linear_0"), 3 * WIDTH, WIDTH, Values::I8);
        self.linear(&format!("{layer}/self_attention/linear_1"), WIDTH, WIDTH, Values::F16);
        if side == "decoder" {
            self.norm(&format!("{layer}/attention/layer_norm"));
            self.linear(&format!("{layer}/attention/linear_0"), WIDTH, WIDTH, Values::F32);
            self.linear(&format!("{layer}/attention/linear_1"), 2 * WIDTH, WIDTH, Values::F16);
            self.linear(&format!("{layer}/attention/linear_2"), WIDTH, WIDTH, Values::F16);
        }
        self.norm(&format!("{layer}/ffn/layer_norm"));
        self.linear(&format!("{layer}/ffn/linear_0"), 4 * WIDTH, WIDTH, Values::F16);
        self.linear(&format!("{layer}/ffn/linear_1"), WIDTH, 4 * WIDTH, Values::F16);
    }

    fn finish(mut self) -> Vec<u8> {
        let at = 4 + 2 + "WhisperSpec\0".len() + 4;
        self.bytes[at..at + 4].copy_from_slice(&self.count.to_le_bytes());
        self.bytes.extend(1u32.to_le_bytes());
        self.string("decoder/projection/weight");
        self.string("decoder/embeddings/weight");
        self.bytes
    }
}

/// One layer a side, 64 wide, with every kind of value the format has for weights.
fn small_model() -> &'static [u8] {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let mut w = Writer::new();
        w.variable("encoder/conv1/weight", &[WIDTH, 80, 3], Values::F16);
        w.variable("encoder/conv1/bias", &[WIDTH], Values::F16);
        w.variable("encoder/conv2/weight", &[WIDTH, WIDTH, 3], Values::F16);
        w.variable("encoder/conv2/bias", &[WIDTH], Values::F16);
        for side in ["encoder", "decoder"] {
            w.variable(&format!("{side}/position_encodings/encodings"), &[8, WIDTH], Values::F16);
            w.norm(&format!("{side}/layer_norm"));
            w.layer(side);
        }
        w.variable("decoder/embeddings/weight", &[VOCABULARY, WIDTH], Values::F16);
        w.finish()
    })
}

fn vocabulary() -> &'static [u8] {
    static WORDS: OnceLock<Vec<u8>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let words: Vec<_> =
            (0..VOCABULARY).map(|i| if i % 3 == 0 { format!("Ġw{i}") } else { format!("é{i}") }).collect();
        words.join("\n").into_bytes()
    })
}

fn convert(model: &[u8]) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    ctranslate2_whisper(Cursor::new(model), vocabulary(), &mut output).map_err(|e| e.to_string())?;
    Ok(output)
}

#[test]
fn small_model_converts_as_the_reference_does() {
    assert_eq!(sha256(&convert(small_model()).unwrap()), REFERENCE_SHA256);
}

#[test]
fn faults_name_the_tensor_and_what_is_wrong() {
    let with = |from: &str, to: &str| {
        let at = small_model().windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut model = small_model().to_vec();
        model[at..at + to.len()].copy_from_slice(to.as_bytes());
        convert(&model).unwrap_err()
    };
    assert!(with("WhisperSpec", "TransfoSpec").contains("its spec is `TransfoSpec`"));
    let missing = with("decoder/layer_0/ffn/linear_1/bias", "decoder/layer_0/ffn/linear_1/bier");
    assert_eq!(missing, "tensor `decoder/layer_0/ffn/linear_1/bias`: is missing");
    assert!(convert(&[9, 0, 0, 0]).unwrap_err().contains("binary version 9"));
    assert!(convert(b"").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// The directory takes up the first bytes of every variable; the end holds the aliases.
    #[test]
    fn damaged_model_never_panics(at in 0usize..2_000_000, byte: u8, from_end: bool, cut: bool) {
        let mut model = small_model().to_vec();
        let at = if from_end { model.len() - 1 - at % 200 } else { at % 200_000 };
        model[at] = byte;
        if cut {
            model.truncate(at);
        }
        let _ = convert(&model);
    }

    #[test]
    fn damaged_directory_entry_never_panics(which in 0usize..60, offset in 0usize..40, byte: u8) {
        let model = small_model();
        // Directory entries begin with their names.
        let names: Vec<_> = model.windows(8).enumerate().filter(|(_, w)| *w == b"/layer_0").map(|(i, _)| i).collect();
        let mut model = model.to_vec();
        let at = names[which % names.len()] + offset;
        model[at] = byte;
        let _ = convert(&model);
    }
}
