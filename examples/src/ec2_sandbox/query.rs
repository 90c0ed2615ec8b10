//! The query protocol's side of a request: a form with dotted names.

use std::collections::{BTreeMap, BTreeSet};

use super::reply::Failure;

/// The parameters of a request, by their dotted names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads `application/x-www-form-urlencoded` text, and query strings.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name, true), decode(value, true))
                })
                .collect(),
        )
    }

    /// A parameter's text; an empty one counts as given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter's text, unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|text| !text.is_empty())
    }

    /// A parameter that the action cannot do without.
    pub(super) fn required(&self, name: &str) -> Result<&str, Failure> {
        self.text(name).ok_or_else(|| {
            Failure::client("MissingParameter", format!("The request must contain the parameter {name}"))
        })
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(name, text))
    }

    /// True or false; false when it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.choice(name)?.unwrap_or(false))
    }

    /// True or false, if it is given.
    pub(super) fn choice(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.text(name) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(other) => Err(invalid(name, other)),
        }
    }

    /// The values of a list: `Name.1`, `Name.2` and so on, in the order of their numbers.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        self.indices(name).into_iter().filter_map(|index| self.get(&format!("{name}.{index}"))).collect()
    }

    /// The members of a list of structures, each as a request of its own.
    pub(super) fn members(&self, name: &str) -> Vec<Self> {
        self.indices(name).into_iter().map(|index| self.below(&format!("{name}.{index}"))).collect()
    }

    /// What stands below a name, with the name taken off.
    pub(super) fn below(&self, name: &str) -> Self {
        let prefix = format!("{name}.");
        let inside = self.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value)));
        Self(inside.map(|(key, value)| (key.to_owned(), value.clone())).collect())
    }

    /// The names of all parameters.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether nothing is given.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All parameters but these, as one text that is equal for equal requests.
    pub(super) fn canonical_without(&self, names: &[&str]) -> String {
        let kept = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        kept.map(|(name, value)| format!("{}:{name}={}:{value}\n", name.len(), value.len())).collect()
    }

    fn indices(&self, name: &str) -> BTreeSet<u64> {
        let prefix = format!("{name}.");
        let below = self.0.keys().filter_map(|key| key.strip_prefix(&prefix));
        below.filter_map(|rest| rest.split('.').next()?.parse().ok()).collect()
    }
}

fn invalid(name: &str, value: &str) -> Failure {
    Failure::client("InvalidParameterValue", format!("Value ({value}) for parameter {name} is invalid."))
}

/// Takes percent signs out, and in a form pluses. What is no UTF-8 afterwards is replaced.
pub(super) fn decode(text: &str, has_plus: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16).and_then(|value| u8::try_from(value).ok());
        match byte {
            b'+' if has_plus => bytes.push(b' '),
            b'%' => match (hex(ahead.next()), hex(ahead.next())) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = ahead;
                }
                _ => bytes.push(byte),
            },
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads base64, white space in it left out; `None` if it is none.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    let letters = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    for letter in letters {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => continue,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 255).expect("eight bits are a byte"));
        }
    }
    (held < 6).then_some(bytes)
}

/// Writes base64.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let joined = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = usize::try_from(joined >> (18 - 6 * place) & 63).expect("six bits are a letter");
            text.push(if place <= chunk.len() { char::from(LETTERS[index]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_structures_are_read_in_the_order_of_their_numbers() {
        let query = Query::parse("Id.10=j&Id.2=b&Tag.1.Key=a%20b&Tag.1.Value=c+d&Flag=true");
        assert_eq!(query.list("Id"), ["b", "j"]);
        let tags = query.members("Tag");
        assert_eq!((tags[0].get("Key"), tags[0].get("Value")), (Some("a b"), Some("c d")));
        assert!(query.flag("Flag").expect("it is a flag") && query.number("Flag").is_err());
    }

    #[test]
    fn base64_comes_back_as_it_went() {
        for length in 0..70_u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            assert_eq!(from_base64(&to_base64(&bytes)), Some(bytes));
        }
        assert_eq!(from_base64("a*b"), None);
        assert_eq!(to_base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
    }
}
