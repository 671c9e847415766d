//! whisper.cpp's ggml file (its `models/convert-pt-to-ggml.py`): a header of `i32`s, the mel filters,
//! the tokens, then tensors (rank, name length, type, reversed shape, name, data). CTranslate2 keeps
//! query, key and value as one matrix; whisper.cpp wants three.

use std::{
    collections::BTreeSet,
    io::{Read, Seek, Write},
};

use half::f16;

use super::{
    ConvertError,
    ctranslate2::{Model, tensor},
    mel, vocabulary,
};

const MAGIC: i32 = 0x6767_6d6c;
const HEAD_WIDTH: u64 = 64;
/// Smallest vocabulary of a multilingual model, which has one more text token than the English ones.
const MULTILINGUAL_VOCABULARY: u64 = 51_865;
const ENGLISH_TEXT_TOKENS: usize = 50_256;
/// No Whisper model exceeds this in any dimension.
const MAX_DIMENSION: u64 = 1 << 20;
const MAX_MELS: u64 = 256;

/// The model's hyperparameters, read off its tensors' shapes.
struct Shape {
    vocabulary: u64,
    width: u64,
    mels: u64,
    audio_context: u64,
    text_context: u64,
    encoder_layers: usize,
    decoder_layers: usize,
}

pub fn write<R: Read + Seek>(
    model: &mut Model<R>,
    vocabulary: &[u8],
    output: &mut impl Write,
) -> Result<(), ConvertError> {
    let shape = Shape::of(model)?;
    let text_tokens = ENGLISH_TEXT_TOKENS + usize::from(shape.vocabulary >= MULTILINGUAL_VOCABULARY);
    let tokens = vocabulary::tokens(vocabulary, text_tokens)?;
    shape.write_header(output)?;
    for weight in mel::filter_bank(shape.mels as usize) {
        output.write_all(&weight.to_le_bytes())?;
    }
    integers(output, &[tokens.len() as u64])?;
    for token in &tokens {
        integers(output, &[token.len() as u64])?;
        output.write_all(token)?;
    }
    let mut writer = Tensors { model, output, width: shape.width };
    writer.encoder(shape.encoder_layers)?;
    writer.decoder(shape.decoder_layers)
}

impl Shape {
    fn of<R: Read + Seek>(model: &Model<R>) -> Result<Self, ConvertError> {
        let [vocabulary, width] = dimensions(model, "decoder/embeddings/weight")?;
        let [_, mels, _] = dimensions(model, "encoder/conv1/weight")?;
        let [audio_context, _] = dimensions(model, "encoder/position_encodings/encodings")?;
        let [text_context, _] = dimensions(model, "decoder/position_encodings/encodings")?;
        if width % HEAD_WIDTH != 0 {
            return Err(tensor(
                "decoder/embeddings/weight",
                format!("width {width} is not a multiple of 64"),
            ));
        }
        if mels > MAX_MELS {
            return Err(tensor("encoder/conv1/weight", format!("takes {mels} mel bands")));
        }
        Ok(Shape {
            vocabulary,
            width,
            mels,
            audio_context,
            text_context,
            encoder_layers: layers(model, "encoder/layer_"),
            decoder_layers: layers(model, "decoder/layer_"),
        })
    }

    fn write_header(&self, output: &mut impl Write) -> Result<(), ConvertError> {
        let heads = self.width / HEAD_WIDTH;
        output.write_all(&MAGIC.to_le_bytes())?;
        integers(
            output,
            &[
                self.vocabulary,
                self.audio_context,
                self.width,
                heads,
                self.encoder_layers as u64,
                self.text_context,
                self.width,
                heads,
                self.decoder_layers as u64,
                self.mels,
                1, // f16 weights
            ],
        )?;
        integers(output, &[self.mels, mel::BINS as u64])
    }
}

/// The shape of a tensor that must have `N` dimensions, none of them empty or absurd.
fn dimensions<const N: usize, R: Read + Seek>(
    model: &Model<R>,
    name: &str,
) -> Result<[u64; N], ConvertError> {
    let shape = &model.variable(name)?.shape;
    let fail = || tensor(name, format!("has the shape {shape:?}"));
    let dimensions: [u64; N] = shape.as_slice().try_into().map_err(|_| fail())?;
    if dimensions.iter().all(|d| (1..=MAX_DIMENSION).contains(d)) { Ok(dimensions) } else { Err(fail()) }
}

fn layers<R: Read + Seek>(model: &Model<R>, prefix: &str) -> usize {
    let number = |name: &str| name.strip_prefix(prefix)?.split('/').next()?.parse::<u32>().ok();
    model.names().filter_map(number).collect::<BTreeSet<_>>().len()
}

/// Writes tensors in the order of the reference converter.
struct Tensors<'a, R, W> {
    model: &'a mut Model<R>,
    output: &'a mut W,
    width: u64,
}

impl<R: Read + Seek, W: Write> Tensors<'_, R, W> {
    fn encoder(&mut self, layers: usize) -> Result<(), ConvertError> {
        for conv in ["conv1", "conv2"] {
            self.whole(&format!("encoder.{conv}.weight"), &format!("encoder/{conv}/weight"))?;
            let bias = format!("encoder/{conv}/bias");
            let [n] = dimensions(self.model, &bias)?;
            self.put(&format!("encoder.{conv}.bias"), &bias, 0, &[n, 1])?;
        }
        self.norm("encoder.ln_post", "encoder/layer_norm")?;
        self.whole("encoder.positional_embedding", "encoder/position_encodings/encodings")?;
        for i in 0..layers {
            let (to, from) = (format!("encoder.blocks.{i}"), format!("encoder/layer_{i}"));
            self.self_attention(&to, &from)?;
            self.feed_forward(&to, &from)?;
        }
        Ok(())
    }

    fn decoder(&mut self, layers: usize) -> Result<(), ConvertError> {
        self.whole("decoder.token_embedding.weight", "decoder/embeddings/weight")?;
        self.norm("decoder.ln", "decoder/layer_norm")?;
        self.whole("decoder.positional_embedding", "decoder/position_encodings/encodings")?;
        for i in 0..layers {
            let (to, from) = (format!("decoder.blocks.{i}"), format!("decoder/layer_{i}"));
            self.self_attention(&to, &from)?;
            let (cross, attention) = (format!("{to}.cross_attn"), format!("{from}/attention"));
            self.norm(&format!("{cross}_ln"), &format!("{attention}/layer_norm"))?;
            self.linear(&format!("{cross}.query"), &format!("{attention}/linear_0"))?;
            self.split(&cross, &format!("{attention}/linear_1"), &["key", "value"])?;
            self.linear(&format!("{cross}.out"), &format!("{attention}/linear_2"))?;
            self.feed_forward(&to, &from)?;
        }
        Ok(())
    }

    fn self_attention(&mut self, to: &str, from: &str) -> Result<(), ConvertError> {
        let attention = format!("{from}/self_attention");
        self.norm(&format!("{to}.attn_ln"), &format!("{attention}/layer_norm"))?;
        let parts = ["query", "key", "value"];
        self.split(&format!("{to}.attn"), &format!("{attention}/linear_0"), &parts)?;
        self.linear(&format!("{to}.attn.out"), &format!("{attention}/linear_1"))
    }

    fn feed_forward(&mut self, to: &str, from: &str) -> Result<(), ConvertError> {
        self.norm(&format!("{to}.mlp_ln"), &format!("{from}/ffn/layer_norm"))?;
        self.linear(&format!("{to}.mlp.0"), &format!("{from}/ffn/linear_0"))?;
        self.linear(&format!("{to}.mlp.2"), &format!("{from}/ffn/linear_1"))
    }

    fn norm(&mut self, to: &str, from: &str) -> Result<(), ConvertError> {
        self.whole(&format!("{to}.weight"), &format!("{from}/gamma"))?;
        self.whole(&format!("{to}.bias"), &format!("{from}/beta"))
    }

    fn linear(&mut self, to: &str, from: &str) -> Result<(), ConvertError> {
        self.whole(&format!("{to}.weight"), &format!("{from}/weight"))?;
        self.whole(&format!("{to}.bias"), &format!("{from}/bias"))
    }

    /// Cuts a joined projection into its parts. A key has no bias in Whisper.
    fn split(&mut self, to: &str, from: &str, parts: &[&str]) -> Result<(), ConvertError> {
        let (weight, bias, width) = (format!("{from}/weight"), format!("{from}/bias"), self.width);
        let rows = width * parts.len() as u64;
        if dimensions(self.model, &weight)? != [rows, width] || dimensions(self.model, &bias)? != [rows] {
            return Err(tensor(&weight, format!("and its bias must have {rows} rows of {width} values")));
        }
        for (part, first_row) in parts.iter().zip((0..).step_by(width as usize)) {
            self.put(&format!("{to}.{part}.weight"), &weight, first_row * width, &[width, width])?;
            if *part != "key" {
                self.put(&format!("{to}.{part}.bias"), &bias, first_row, &[width])?;
            }
        }
        Ok(())
    }

    fn whole(&mut self, to: &str, from: &str) -> Result<(), ConvertError> {
        let shape = self.model.variable(from)?.shape.clone();
        self.put(to, from, 0, &shape)
    }

    /// Matrices become f16; biases, norms and position encodings stay f32.
    fn put(&mut self, to: &str, from: &str, first: u64, shape: &[u64]) -> Result<(), ConvertError> {
        let halve = shape.len() >= 2 && !to.ends_with(".bias") && !to.ends_with("positional_embedding");
        integers(self.output, &[shape.len() as u64, to.len() as u64, u64::from(halve)])?;
        let reversed: Vec<u64> = shape.iter().rev().copied().collect();
        integers(self.output, &reversed)?;
        self.output.write_all(to.as_bytes())?;
        let output = &mut *self.output;
        let mut bytes = Vec::new();
        self.model.read(from, first, shape.iter().product(), |values| {
            bytes.clear();
            if halve {
                bytes.extend(values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
            } else {
                bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            }
            Ok(output.write_all(&bytes)?)
        })
    }
}

/// ggml's header numbers are `i32`.
fn integers(output: &mut impl Write, values: &[u64]) -> Result<(), ConvertError> {
    for value in values {
        let value = i32::try_from(*value)
            .map_err(|_| ConvertError::Format(format!("{value} does not fit 31 bits")))?;
        output.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}
