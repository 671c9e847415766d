//! Server-sent events, incrementally (WHATWG HTML, section 9.2.6). Bytes come in as the network cuts
//! them, the `data` of whole events comes out. The text is decoded line by line, so that a character
//! split between two chunks survives.

/// What an event's data may hold; a chat chunk has a few hundred bytes.
const MAX_EVENT_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    /// The data lines of the event so far, joined by newlines; `None` before the first.
    data: Option<String>,
    /// The last byte ended a line by a carriage return: a newline right after it belongs to that end.
    after_return: bool,
    past_first_line: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLong;

impl SseParser {
    /// Takes the next bytes; gives the data of each event they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, EventTooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    events.extend(self.end_line());
                }
                _ => {
                    self.after_return = false;
                    self.line.push(byte);
                }
            }
            if self.line.len() + self.data.as_ref().map_or(0, String::len) > MAX_EVENT_BYTES {
                return Err(EventTooLong);
            }
        }
        Ok(events)
    }

    /// The event that an empty line completes.
    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.past_first_line, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return self.data.take();
        }
        // `event`, `id` and `retry` say nothing in this API, and a line that begins with a colon is a
        // comment that keeps the connection alive.
        if let Some(value) = field(line, b"data") {
            let value = String::from_utf8_lossy(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&value);
                }
                None => self.data = Some(value.into_owned()),
            }
        }
        None
    }
}

/// The value of a line of the form `name`, `name:value` or `name: value`.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Vec<String> {
        SseParser::default().push(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_event_ends_with_an_empty_line_whatever_the_line_ends() {
        for text in ["data: a\n\ndata:b\n\n", "data: a\r\n\r\ndata:b\r\n\r\n", "data: a\r\rdata:b\r\r"] {
            assert_eq!(parse(text), ["a", "b"], "{text:?}");
        }
    }

    #[test]
    fn data_lines_join_and_other_fields_are_passed_over() {
        assert_eq!(parse("event: x\nid: 1\n: ping\ndata: a\ndata\ndata:  b\nretry: 1\n\n"), ["a\n\n b"]);
        assert_eq!(parse("\u{feff}data: first\n\n"), ["first"]);
        assert_eq!(parse(": ping\n\n\n\ndatabase: x\n\n"), Vec::<String>::new());
    }

    #[test]
    fn an_unfinished_event_is_not_given() {
        assert!(parse("data: a\n").is_empty());
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = SseParser::default();
        let chunk = vec![b'x'; 1 << 16];
        assert!((0..17).any(|_| parser.push(&chunk).is_err()));
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = SseParser::default();
        let line = format!("data: {}\n", "x".repeat(1 << 16));
        assert!((0..17).any(|_| parser.push(line.as_bytes()).is_err()));
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_makes_no_difference(cuts in prop::collection::vec(0usize..80, 0..12)) {
            let text = "data: grüße 🦜\r\n\r\n: ping\r\ndata: {\"a\":1}\ndata: ß\r\r\n\ndata: [DONE]\n\n";
            let mut parser = SseParser::default();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let (mut from, mut events) = (0, Vec::new());
            for cut in cuts {
                events.extend(parser.push(&text.as_bytes()[from..cut]).unwrap());
                from = cut;
            }
            prop_assert_eq!(events, parse(text));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = SseParser::default().push(&bytes);
        }
    }
}
