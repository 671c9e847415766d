//! CTranslate2's `model.bin`, binary versions 4 to 6 (its `src/models/model.cc`): little-endian; a spec
//! name, then variables (name, shape, type, bytes), then aliases. Strings are a `u16` length, the
//! terminating NUL included.

use std::{
    collections::HashMap,
    io::{Read, Seek, SeekFrom},
};

use half::{bf16, f16};

use super::ConvertError;

const MAX_VARIABLES: u32 = 100_000;
const MAX_RANK: u8 = 4;
/// Values read at a time.
const CHUNK: usize = 1 << 16;

/// The directory of a model, and the file to read tensors from.
pub struct Model<R> {
    input: R,
    variables: HashMap<String, Variable>,
}

/// Where a tensor lies. `shape` and `bytes` agree with `kind`.
#[derive(Debug, Clone)]
pub struct Variable {
    pub shape: Vec<u64>,
    kind: Kind,
    offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    F32,
    I8,
    I16,
    I32,
    F16,
    Bf16,
}

impl<R: Read + Seek> Model<R> {
    /// Reads the directory, skipping over the data.
    pub fn open(mut input: R) -> Result<Self, ConvertError> {
        let length = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        let version = u32(&mut input)?;
        if !(4..=6).contains(&version) {
            return Err(ConvertError::Format(format!("binary version {version}; versions 4 to 6 are known")));
        }
        let spec = string(&mut input)?;
        if spec != "WhisperSpec" {
            return Err(ConvertError::Format(format!("its spec is `{spec}`, not `WhisperSpec`")));
        }
        let _revision = u32(&mut input)?;
        let count = u32(&mut input)?;
        if count > MAX_VARIABLES {
            return Err(ConvertError::Format(format!("{count} variables")));
        }
        let mut variables = HashMap::new();
        for _ in 0..count {
            let (name, variable) = entry(&mut input, length)?;
            variables.insert(name, variable);
        }
        let aliases = u32(&mut input)?;
        if aliases > MAX_VARIABLES {
            return Err(ConvertError::Format(format!("{aliases} aliases")));
        }
        for _ in 0..aliases {
            let (alias, name) = (string(&mut input)?, string(&mut input)?);
            let variable = variables.get(&name).cloned().ok_or_else(|| missing(&name))?;
            variables.insert(alias, variable);
        }
        Ok(Model { input, variables })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    pub fn variable(&self, name: &str) -> Result<&Variable, ConvertError> {
        self.variables.get(name).ok_or_else(|| missing(name))
    }

    /// Gives `count` values from `first` on, in row-major order, a chunk at a time. Eight-bit weights
    /// are divided by their row's scale (`…/weight_scale`).
    pub fn read(
        &mut self,
        name: &str,
        first: u64,
        count: u64,
        mut each: impl FnMut(&[f32]) -> Result<(), ConvertError>,
    ) -> Result<(), ConvertError> {
        let variable = self.variable(name)?.clone();
        if first.checked_add(count).is_none_or(|end| end > variable.values()) {
            return Err(tensor(
                name,
                format!("has {} values, {count} from {first} on wanted", variable.values()),
            ));
        }
        let scales = self.scales(name, &variable)?;
        let row = variable.values() / variable.shape.first().copied().unwrap_or(1).max(1);
        let width = variable.kind.width();
        self.input.seek(SeekFrom::Start(variable.offset + first * width as u64))?;
        let mut bytes = vec![0; CHUNK * width];
        let mut values = Vec::with_capacity(CHUNK);
        let mut at = first;
        while at < first + count {
            let n = (first + count - at).min(CHUNK as u64) as usize;
            self.input.read_exact(&mut bytes[..n * width])?;
            values.clear();
            variable.kind.decode(&bytes[..n * width], &mut values);
            if let Some(scales) = &scales {
                for (i, value) in values.iter_mut().enumerate() {
                    *value /= scales[((at + i as u64) / row) as usize];
                }
            }
            each(&values)?;
            at += n as u64;
        }
        Ok(())
    }

    /// One scale a row for an eight-bit tensor, `None` for others.
    fn scales(&mut self, name: &str, variable: &Variable) -> Result<Option<Vec<f32>>, ConvertError> {
        if variable.kind != Kind::I8 {
            return Ok(None);
        }
        let scale_name = format!("{name}_scale");
        let scale = self.variable(&scale_name)?.clone();
        let rows = variable.shape.first().copied().unwrap_or(1);
        if scale.kind != Kind::F32 || scale.values() != rows {
            return Err(tensor(&scale_name, format!("must be one f32 for each of {rows} rows")));
        }
        let mut scales = Vec::new();
        self.read(&scale_name, 0, rows, |values| {
            scales.extend_from_slice(values);
            Ok(())
        })?;
        Ok(Some(scales))
    }
}

impl Variable {
    pub fn values(&self) -> u64 {
        self.shape.iter().product()
    }
}

impl Kind {
    fn parse(id: u8) -> Option<Self> {
        [Kind::F32, Kind::I8, Kind::I16, Kind::I32, Kind::F16, Kind::Bf16].get(usize::from(id)).copied()
    }

    const fn width(self) -> usize {
        match self {
            Kind::I8 => 1,
            Kind::I16 | Kind::F16 | Kind::Bf16 => 2,
            Kind::F32 | Kind::I32 => 4,
        }
    }

    fn decode(self, bytes: &[u8], into: &mut Vec<f32>) {
        let (twos, _) = bytes.as_chunks::<2>();
        let (fours, _) = bytes.as_chunks::<4>();
        match self {
            Kind::F32 => into.extend(fours.iter().map(|b| f32::from_le_bytes(*b))),
            Kind::I32 => into.extend(fours.iter().map(|b| i32::from_le_bytes(*b) as f32)),
            Kind::I16 => into.extend(twos.iter().map(|b| f32::from(i16::from_le_bytes(*b)))),
            Kind::F16 => into.extend(twos.iter().map(|b| f16::from_le_bytes(*b).to_f32())),
            Kind::Bf16 => into.extend(twos.iter().map(|b| bf16::from_le_bytes(*b).to_f32())),
            Kind::I8 => into.extend(bytes.iter().map(|b| f32::from(*b as i8))),
        }
    }
}

/// One variable's name, shape and place; the reader ends up behind its data.
fn entry<R: Read + Seek>(input: &mut R, length: u64) -> Result<(String, Variable), ConvertError> {
    let name = string(input)?;
    let rank = u8(input)?;
    if rank > MAX_RANK {
        return Err(tensor(&name, format!("has {rank} dimensions")));
    }
    let shape = (0..rank).map(|_| u32(input).map(u64::from)).collect::<Result<Vec<_>, _>>()?;
    let id = u8(input)?;
    let kind = Kind::parse(id).ok_or_else(|| tensor(&name, format!("has the unknown type {id}")))?;
    let bytes = u64::from(u32(input)?);
    let values = shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    if values.and_then(|n| n.checked_mul(kind.width() as u64)) != Some(bytes) {
        return Err(tensor(&name, format!("has {bytes} bytes, which its shape {shape:?} does not take")));
    }
    let offset = input.stream_position()?;
    if offset + bytes > length {
        return Err(tensor(&name, "ends behind the end of the file"));
    }
    input.seek(SeekFrom::Start(offset + bytes))?;
    Ok((name, Variable { shape, kind, offset }))
}

fn string(input: &mut impl Read) -> Result<String, ConvertError> {
    let mut length = [0; 2];
    input.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_le_bytes(length))];
    input.read_exact(&mut bytes)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| ConvertError::Format("a name is not UTF-8".into()))
}

fn u32(input: &mut impl Read) -> Result<u32, ConvertError> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn u8(input: &mut impl Read) -> Result<u8, ConvertError> {
    let mut byte = [0];
    input.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn missing(name: &str) -> ConvertError {
    tensor(name, "is missing")
}

pub fn tensor(name: &str, detail: impl Into<String>) -> ConvertError {
    ConvertError::Tensor { name: name.to_owned(), detail: detail.into() }
}
