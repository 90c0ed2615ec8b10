//! One line of an ignore file, read and matched as git does: on bytes, and in time that grows only with line times path.

/// A line that can match something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Whether it takes back what lines before it ignore.
    pub(super) is_negated: bool,
    folders_only: bool,
    /// Without a `/` inside, the last name of a path decides, in whatever folder.
    names_only: bool,
    /// What a path must begin with, letter for letter.
    start: Vec<u8>,
    rest: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `[...]`
    Class(Class),
    /// `*`: anything without a slash.
    Star,
    /// `**` at the end, or before an escaped slash: anything.
    Everything,
    /// `**/`: nothing, or anything that ends with a slash.
    Folders,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Class {
    is_negated: bool,
    ranges: Vec<(u8, u8)>,
    kinds: Vec<fn(&u8) -> bool>,
}

impl Pattern {
    /// `None` for a comment, an empty line and a line that can match nothing.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        if line.first() == Some(&b'#') {
            return None;
        }
        let line = without_spaces_at_end(line);
        let (is_negated, line) = line.strip_prefix(b"!").map_or((false, line), |line| (true, line));
        let (folders_only, line) = line.strip_suffix(b"/").map_or((false, line), |line| (true, line));
        let names_only = !line.contains(&b'/');
        let line = line.strip_prefix(b"/").unwrap_or(line);
        // Git compares what comes before the first special character by itself, so a `**` right after it counts as one
        // at the beginning.
        let special = line.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(line.len());
        let (start, rest) = line.split_at(special);
        if line.is_empty() {
            return None;
        }
        Some(Self { is_negated, folders_only, names_only, start: start.to_vec(), rest: tokens(rest)? })
    }

    /// Whether it matches this path, which is relative to the folder of the ignore file.
    pub(super) fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        if self.folders_only && !is_folder {
            return false;
        }
        let name = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) if self.names_only => &path[slash + 1..],
            Some(_) | None => path,
        };
        name.strip_prefix(&self.start[..]).is_some_and(|rest| run(&self.rest, rest))
    }
}

fn without_spaces_at_end(line: &[u8]) -> &[u8] {
    let (mut end, mut at) = (0, 0);
    while at < line.len() {
        match line[at] {
            b' ' => at += 1,
            // An escaped space stays; a backslash at the very end leaves all as it is.
            b'\\' if at + 1 == line.len() => return line,
            b'\\' => {
                at += 2;
                end = at;
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    &line[..end]
}

/// `None` when something has no end: then nothing matches.
fn tokens(pattern: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'?' => tokens.push(Token::One),
            b'[' => {
                let (class, end) = class(pattern, at + 1)?;
                tokens.push(Token::Class(class));
                at = end;
            }
            b'\\' => {
                at += 1;
                tokens.push(Token::Byte(*pattern.get(at)?));
            }
            b'*' => {
                let stars = pattern[at..].iter().take_while(|byte| **byte == b'*').count();
                let behind = &pattern[at + stars..];
                let begins = at == 0 || pattern[at - 1] == b'/';
                let ends = behind.is_empty() || behind.starts_with(b"/") || behind.starts_with(b"\\/");
                at += stars - 1;
                tokens.push(match (stars > 1 && begins && ends, behind.first()) {
                    (true, Some(b'/')) => {
                        at += 1;
                        Token::Folders
                    }
                    (true, _) => Token::Everything,
                    (false, _) => Token::Star,
                });
            }
            byte => tokens.push(Token::Byte(*byte)),
        }
        at += 1;
    }
    Some(tokens)
}

/// The class that begins at `at`, behind its bracket, and the place of its closing bracket.
fn class(pattern: &[u8], mut at: usize) -> Option<(Class, usize)> {
    let mut class = Class::default();
    if matches!(pattern.get(at), Some(b'!' | b'^')) {
        class.is_negated = true;
        at += 1;
    }
    let first = at;
    // The lower end of a range, if the last member can be one.
    let mut low = None;
    loop {
        let byte = *pattern.get(at)?;
        match byte {
            b']' if at > first => return Some((class, at)),
            b'-' if low.is_some() && pattern.get(at + 1).is_some_and(|next| *next != b']') => {
                at += 1;
                if pattern[at] == b'\\' {
                    at += 1;
                }
                class.ranges.extend(low.take().zip(pattern.get(at).copied()));
                pattern.get(at)?;
            }
            b'[' if pattern.get(at + 1) == Some(&b':') => {
                let end = at + 2 + pattern[at + 2..].iter().position(|byte| *byte == b']')?;
                if end > at + 2 && pattern[end - 1] == b':' {
                    class.kinds.push(kind(&pattern[at + 2..end - 1])?);
                    low = None;
                    at = end;
                } else {
                    class.ranges.push((b'[', b'['));
                    low = Some(b'[');
                }
            }
            _ => {
                if byte == b'\\' {
                    at += 1;
                }
                let byte = *pattern.get(at)?;
                class.ranges.push((byte, byte));
                low = Some(byte);
            }
        }
        at += 1;
    }
}

fn kind(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

impl Class {
    fn holds(&self, byte: u8) -> bool {
        let is_member = self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte))
            || self.kinds.iter().any(|is_kind| is_kind(&byte));
        byte != b'/' && is_member != self.is_negated
    }
}

/// Follows all ways through the tokens at once: `reached[n]` says whether the first `n` can match what was read.
fn run(tokens: &[Token], text: &[u8]) -> bool {
    let mut reached = vec![false; tokens.len() + 1];
    reached[0] = true;
    skip(tokens, &mut reached, None);
    for byte in text.iter().copied() {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match token {
                Token::Byte(expected) => next[at + 1] |= byte == *expected,
                Token::One => next[at + 1] |= byte != b'/',
                Token::Class(class) => next[at + 1] |= class.holds(byte),
                Token::Star => next[at] |= byte != b'/',
                Token::Everything | Token::Folders => next[at] = true,
            }
        }
        skip(tokens, &mut next, Some(byte));
        reached = next;
    }
    reached[tokens.len()]
}

/// Tokens that may match nothing more are passed. `last` is the byte before, none at the beginning.
fn skip(tokens: &[Token], reached: &mut [bool], last: Option<u8>) {
    for (at, token) in tokens.iter().enumerate() {
        let may_end = match token {
            Token::Star | Token::Everything => true,
            // It begins the path or follows a slash, and so do the names after it.
            Token::Folders => last.is_none_or(|byte| byte == b'/'),
            Token::Byte(_) | Token::One | Token::Class(_) => false,
        };
        reached[at + 1] |= reached[at] && may_end;
    }
}
