//! Server-sent events (the HTML standard's `text/event-stream`), as far as the node sends them.

use anyhow::Context;
use reqwest::Response;
use serde_json::Value;

/// An event's bytes beyond this are no event of a node.
const LONGEST: usize = 1 << 20;

#[derive(Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

/// The events of one response.
pub struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    pub fn new(response: Response) -> Events {
        Events { response, buffer: Vec::new() }
    }

    /// `None` when the node has ended the stream.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(event) = take_event(&mut self.buffer) {
                return Ok(Some(event));
            }
            anyhow::ensure!(self.buffer.len() < LONGEST, "the node sends an event without an end");
            match self.response.chunk().await.context("the live view broke off")? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// Takes the first whole event out of the buffer; comments and what is no JSON are passed over.
fn take_event(buffer: &mut Vec<u8>) -> Option<Event> {
    while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
        let block: Vec<u8> = buffer.drain(..end + 2).collect();
        if let Some(event) = parse(&String::from_utf8_lossy(&block)) {
            return Some(event);
        }
    }
    None
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let lines: Vec<_> = lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    let data = serde_json::from_str(&field("data")?).ok()?;
    Some(Event { name: field("event").unwrap_or_else(|| "message".to_owned()), data })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_come_out_whole_however_the_bytes_arrive() {
        let stream = "event: call\ndata: {\"a\":\"é\"}\n\n:\n\nevent: change\ndata: {\"b\":\ndata: 2}\n\n";
        let (mut buffer, mut events) = (Vec::new(), Vec::new());
        for byte in stream.bytes() {
            buffer.push(byte);
            events.extend(take_event(&mut buffer));
        }
        let expected = [
            Event { name: "call".into(), data: json!({ "a": "é" }) },
            Event { name: "change".into(), data: json!({ "b": 2 }) },
        ];
        assert_eq!(events, expected);
    }
}
