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

/// `list` at its commas, but for those in quotes and in angle brackets.
pub(super) fn elements(list: &str) -> Vec<&str> {
    let (mut from, mut elements) = (0, Vec::new());
    for (at, _) in outside(list).filter(|(_, c)| *c == ',') {
        elements.push(list[from..at].trim());
        from = at + 1;
    }
    elements.push(list[from..].trim());
    elements
}

/// The characters of a value that stand neither in a quoted string nor between angle brackets.
pub(super) fn outside(value: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    value.char_indices().filter(move |(_, c)| {
        let was_in = quoted || bracketed;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if !bracketed => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            _ => {}
        }
        !was_in && !quoted && !bracketed
    })
}

/// Whether quotes and angle brackets are closed, each before the next opens.
pub(super) fn is_balanced(value: &str) -> bool {
    let mut brackets = 0i32;
    let (mut quoted, mut escaped) = (false, false);
    for c in value.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => brackets += 1,
            '>' if !quoted => brackets -= 1,
            _ => {}
        }
        if !(0..=1).contains(&brackets) {
            return false;
        }
    }
    brackets == 0 && !quoted
}

/// Whether every quote that opens is closed.
pub(super) fn quotes_balance(value: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for c in value.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}
