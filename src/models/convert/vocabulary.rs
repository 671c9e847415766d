//! Whisper's tokens as bytes. Published vocabularies write each byte as a printable character (GPT-2's
//! table), so that a space is `Ġ`.

use std::{collections::HashMap, ops::RangeInclusive};

use super::ConvertError;

/// Bytes that stand for themselves; the others are numbered from U+0100 on, in order.
const PRINTABLE: [RangeInclusive<u8>; 3] = [33..=126, 161..=172, 174..=255];

/// The first `count` tokens of a vocabulary: a JSON array of strings, or one token a line.
pub fn tokens(text: &[u8], count: usize) -> Result<Vec<Vec<u8>>, ConvertError> {
    let fail = |detail: String| ConvertError::Vocabulary(detail);
    let text = std::str::from_utf8(text).map_err(|e| fail(format!("is not UTF-8: {e}")))?;
    let words: Vec<String> = if text.trim_start().starts_with('[') && text.trim_end().ends_with(']') {
        serde_json::from_str(text).map_err(|e| fail(format!("is not a JSON array of strings: {e}")))?
    } else {
        text.split('\n').map(|line| line.trim_end_matches('\r').to_owned()).collect()
    };
    if words.len() < count {
        return Err(fail(format!("has {} tokens, {count} are needed", words.len())));
    }
    let table = byte_table();
    let decode = |word: &String| {
        let bytes: Option<Vec<u8>> = word.chars().map(|c| table.get(&c).copied()).collect();
        bytes.unwrap_or_else(|| word.as_bytes().to_vec())
    };
    Ok(words[..count].iter().map(decode).collect())
}

fn byte_table() -> HashMap<char, u8> {
    let printable = |byte: u8| PRINTABLE.iter().any(|range| range.contains(&byte));
    let mut shifted = (0x100u32..).filter_map(char::from_u32);
    let character = |byte| if printable(byte) { Some(char::from(byte)) } else { shifted.next() };
    (0..=255u8).map(character).zip(0..=255).filter_map(|(c, byte)| Some((c?, byte))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_stand_ins_become_bytes() {
        let lines = "!\nĠthe\nÃ©\n<|ünknown…|>";
        let expected: [&[u8]; 4] = [b"!", b" the", "é".as_bytes(), "<|ünknown…|>".as_bytes()];
        assert_eq!(tokens(lines.as_bytes(), 4).unwrap(), expected);
        assert_eq!(tokens(br#"["!", "\u0120the"]"#, 2).unwrap(), [b"!".to_vec(), b" the".to_vec()]);
        assert_eq!(byte_table().len(), 256);
    }

    #[test]
    fn short_or_foreign_vocabulary_is_refused() {
        assert!(tokens(b"a\nb", 3).unwrap_err().to_string().contains("has 2 tokens, 3 are needed"));
        assert!(tokens(&[0xff], 1).unwrap_err().to_string().contains("not UTF-8"));
        assert!(tokens(b"[1, 2]", 1).is_err());
    }
}
