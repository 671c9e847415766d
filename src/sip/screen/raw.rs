//! A message before any of it is believed: its start line, its header fields unfolded, its body.

/// Names that have a short form (RFC 3261 section 7.3.3, and those of REFER, Referred-By and session
/// timers).
const COMPACT: [(&str, &str); 14] = [
    ("b", "Referred-By"),
    ("c", "Content-Type"),
    ("e", "Content-Encoding"),
    ("f", "From"),
    ("i", "Call-ID"),
    ("k", "Supported"),
    ("l", "Content-Length"),
    ("m", "Contact"),
    ("o", "Event"),
    ("r", "Refer-To"),
    ("s", "Subject"),
    ("t", "To"),
    ("v", "Via"),
    ("x", "Session-Expires"),
];

#[derive(Debug)]
pub(super) struct Field {
    /// The long form where the field has one.
    pub name: String,
    /// Unfolded (section 7.3.1), with nothing around it.
    pub value: String,
}

#[derive(Debug)]
pub(super) struct Raw<'a> {
    /// The Request-Line or Status-Line.
    pub start: String,
    pub fields: Vec<Field>,
    pub body: &'a [u8],
}

impl<'a> Raw<'a> {
    /// `None` if there is no empty line after the header fields, or no start line before them. What is
    /// not UTF-8 is replaced: carriers put names in Latin-1 into display names, and the stack's parser
    /// would stop reading there.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let end = message.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&message[..end]);
        let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let start = lines.next().filter(|line| !line.is_empty())?.to_owned();
        Some(Raw { start, fields: unfold(lines), body: &message[end + 4..] })
    }

    /// The values of every field of this (long) name.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.fields.iter().filter(|field| field.is(name)).map(|field| field.value.as_str())
    }

    pub fn first(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.is(name)).map(|field| field.value.as_str())
    }

    pub fn is_request(&self) -> bool {
        !self.start.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/"))
    }

    /// The first word of the start line.
    pub fn method(&self) -> &str {
        self.start.split([' ', '\t']).next().unwrap_or_default()
    }
}

impl Field {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Lines that begin with a space continue the one before; a line without a colon is nothing.
fn unfold<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    let mut continues = false;
    for line in lines {
        if line.starts_with([' ', '\t']) {
            if let Some(field) = fields.last_mut().filter(|_| continues) {
                field.value = format!("{} {}", field.value, line.trim()).trim().to_owned();
            }
            continue;
        }
        let named = line.split_once(':');
        continues = named.is_some();
        fields.extend(named.map(|(name, value)| Field {
            name: long(name.trim_matches([' ', '\t'])),
            value: value.trim().to_owned(),
        }));
    }
    fields
}

fn long(name: &str) -> String {
    let full = COMPACT.iter().find(|(short, _)| name.eq_ignore_ascii_case(short));
    full.map_or(name, |(_, full)| full).to_owned()
}
