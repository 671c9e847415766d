//! Turning a published file into the form an engine reads. Reads by seeking, writes as a stream, and
//! holds no tensor whole.

mod ctranslate2;
mod mel;
mod vocabulary;
mod whisper_ggml;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::Path,
};

use super::{
    ModelError,
    catalog::ConversionKind,
    staged::{Sealed, Staged},
};

#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    #[error("not a CTranslate2 Whisper model: {0}")]
    Format(String),
    #[error("tensor `{name}`: {detail}")]
    Tensor { name: String, detail: String },
    #[error("vocabulary: {0}")]
    Vocabulary(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Converts `input` into `output`. Blocking.
pub(crate) fn run(
    kind: ConversionKind,
    input: &Path,
    vocabulary: &Path,
    output: Staged,
    what: &str,
) -> Result<Sealed, ModelError> {
    let ConversionKind::Ctranslate2Whisper = kind;
    let input = File::open(input).map_err(ModelError::io("open", input))?;
    let words = std::fs::read(vocabulary).map_err(ModelError::io("read", vocabulary))?;
    let mut writer = BufWriter::new(output);
    let converted = ctranslate2_whisper(BufReader::new(input), &words, &mut writer);
    let (output, flushed) = match writer.into_inner() {
        Ok(output) => (output, Ok(())),
        Err(e) => {
            let (error, writer) = e.into_parts();
            (writer.into_parts().0, Err(ConvertError::Io(error)))
        }
    };
    match converted.and(flushed) {
        Ok(()) => output.seal(),
        Err(ConvertError::Io(e)) => Err(output.explain(what, e)),
        Err(source) => Err(ModelError::Convert { what: what.to_owned(), source }),
    }
}

/// A CTranslate2 Whisper `model.bin` and its vocabulary (one token a line, or a JSON array) become a
/// whisper.cpp ggml file with f16 weights.
pub fn ctranslate2_whisper(
    input: impl io::Read + io::Seek,
    vocabulary: &[u8],
    output: &mut impl Write,
) -> Result<(), ConvertError> {
    let mut model = ctranslate2::Model::open(input)?;
    whisper_ggml::write(&mut model, vocabulary, output)
}
