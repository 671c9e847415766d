//! Reading Rust, as far as the rules need it.

pub struct Token<'a> {
    pub line: usize,
    pub text: &'a str,
}

/// Names, `::`, and single characters of everything else.
pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            let (text, tail) = rest.split_at(length);
            found.push(Token { line: number + 1, text });
            rest = tail.trim_start();
        }
    }
    found
}

/// The text with comments and the inside of literals blanked; lines stay where they are.
pub fn bare_code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = comment(rest).or_else(|| literal(rest, &code));
        match length {
            Some(length) => {
                code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = &rest[length..];
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |end| end + 2))
}

/// A string, raw string or character at the beginning of `rest`. `before` tells `r` the prefix from the
/// `r` at the end of a name.
fn literal(rest: &str, before: &str) -> Option<usize> {
    let in_name = before.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_name && rest.starts_with('r') {
        let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let inside = 2 + hashes;
            return Some(rest[inside..].find(&close).map_or(rest.len(), |end| inside + end + close.len()));
        }
    }
    match rest.chars().next()? {
        '"' => Some(quoted(rest)),
        // A lifetime has no closing quote after one character.
        '\'' if rest[1..].starts_with('\\') => {
            Some(2 + rest[2..].char_indices().nth(1)?.0 + rest[3..].find('\'')?)
        }
        '\'' => {
            let (end, _) = rest.char_indices().nth(2).filter(|(_, c)| *c == '\'')?;
            Some(end + 1)
        }
        _ => None,
    }
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}
