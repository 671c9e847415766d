//! Quoted strings and angle brackets in a header field's value (RFC 3261 section 25.1): what stands in them is
//! the caller's to choose, and parts nothing.
//!
//! One reading for all who look: between angle brackets a quotation mark is a character like any other, since
//! no URI has quoted strings, and within quotes so is a bracket.

/// Where a reader of a value is.
#[derive(Debug, Default)]
struct Position {
    quoted: bool,
    escaped: bool,
    bracketed: bool,
    /// A bracket that opens within brackets, or closes none.
    stray: bool,
}

impl Position {
    /// Goes past `c`, and says whether it stands neither in quotes nor in brackets, themselves included.
    fn pass(&mut self, c: char) -> bool {
        let was_in = self.quoted || self.bracketed;
        match c {
            _ if self.escaped => self.escaped = false,
            '\\' if self.quoted => self.escaped = true,
            '"' if !self.bracketed => self.quoted = !self.quoted,
            '<' if !self.quoted => {
                self.stray |= self.bracketed;
                self.bracketed = true;
            }
            '>' if !self.quoted => {
                self.stray |= !self.bracketed;
                self.bracketed = false;
            }
            _ => {}
        }
        !was_in && !self.quoted && !self.bracketed
    }
}

/// The characters that stand neither in a quoted string nor between angle brackets.
pub(super) fn outside(value: &str) -> impl Iterator<Item = (usize, char)> {
    let mut position = Position::default();
    value.char_indices().filter(move |(_, c)| position.pass(*c))
}

/// `list` at its commas, but for those in quotes and in angle brackets; with nothing around the elements, of
/// which some may be empty.
pub(super) fn elements(list: &str) -> Vec<&str> {
    let (mut from, mut elements) = (0, Vec::new());
    for (at, _) in outside(list).filter(|(_, c)| *c == ',') {
        elements.push(list[from..at].trim());
        from = at + 1;
    }
    elements.push(list[from..].trim());
    elements
}

/// Where the angle bracket stands that an address begins with, if it has one.
pub(super) fn bracket(address: &str) -> Option<usize> {
    let mut position = Position::default();
    address.char_indices().find_map(|(at, c)| {
        position.pass(c);
        position.bracketed.then_some(at)
    })
}

/// Whether quotes and angle brackets are closed, each before the next opens.
pub(super) fn is_balanced(value: &str) -> bool {
    let mut position = Position::default();
    for c in value.chars() {
        position.pass(c);
    }
    !position.quoted && !position.bracketed && !position.stray
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_where_they_are_lists() {
        assert_eq!(elements("a, \"b, c\" <d, e>,, f"), ["a", "\"b, c\" <d, e>", "", "f"]);
        assert_eq!(elements("\"a\\\", b\" <c>, d"), ["\"a\\\", b\" <c>", "d"]);
        assert_eq!(elements("realm=\"a, b\", nonce=c"), ["realm=\"a, b\"", "nonce=c"]);
    }

    #[test]
    fn all_readers_take_a_mark_within_brackets_for_what_it_is() {
        // Were it a quotation mark, the address would end elsewhere, and have another tag.
        let value = "<sip:a\"b>;tag=1, <sip:c\"d>;tag=2";
        assert_eq!(elements(value), ["<sip:a\"b>;tag=1", "<sip:c\"d>;tag=2"]);
        assert!(is_balanced(value) && outside(value).all(|(_, c)| c != '"'));
        assert!(!is_balanced("<sip:\"a>;tag=1\"@b>"), "the second mark opens what nothing closes");
    }

    #[test]
    fn quotes_and_brackets_close_before_the_next_open() {
        for sound in ["", "a", "\"<\" <b>;c=\"d\"", "<a>, <b>", "\"\\\"\" <a>"] {
            assert!(is_balanced(sound), "{sound}");
        }
        for broken in ["\"", "<", ">", "<a", "<<a>>", "><a>", "\"<a>", "\"\\\"", "<a>>"] {
            assert!(!is_balanced(broken), "{broken}");
        }
    }

    #[test]
    fn address_begins_behind_the_name() {
        for (address, uri) in [("\"<sip:a>\" <sip:b>", "<sip:b>"), ("x <y>;z", "<y>;z"), ("<a", "<a")] {
            assert_eq!(bracket(address).map(|at| &address[at..]), Some(uri));
        }
        assert_eq!(bracket("sip:a@b;x=\"<\""), None);
    }
}
