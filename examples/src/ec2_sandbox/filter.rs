//! Filters and pages of the Describe calls.

use super::query::{Query, from_base64, to_base64};
use super::reply::Failure;

/// The filters of a call: each has a name and values of which one must fit.
#[derive(Debug)]
pub(super) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Reads `Filter.1.Name`, `Filter.1.Value.1` and so on. A name ending with `:` in `known` stands for all that begin so.
    pub(super) fn parse(query: &Query, known: &[&str]) -> Result<Self, Failure> {
        let mut filters = Vec::new();
        for member in query.members("Filter") {
            let name = member.required("Name")?.to_owned();
            let fits = |known: &str| known == name || known.ends_with(':') && name.starts_with(known);
            if !known.iter().any(|one| fits(one)) {
                return Err(Failure::client("InvalidParameterValue", format!("The filter '{name}' is invalid")));
            }
            filters.push((name, member.list("Value").into_iter().map(str::to_owned).collect()));
        }
        Ok(Self(filters))
    }

    /// Whether a row fits all filters; `values` gives what the row has under a filter's name.
    pub(super) fn fit(&self, values: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|(name, wanted)| {
            let there = values(name);
            wanted.iter().any(|pattern| there.iter().any(|value| matches(pattern, value)))
        })
    }
}

/// Whether the text fits a pattern, in which `*` is any text and `?` any character.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut place, mut star) = (0, 0, None);
    while place < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == text[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                None => return false,
                Some((star_at, begun)) => {
                    star = Some((star_at, begun + 1));
                    at = star_at + 1;
                    place = begun + 1;
                }
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// One page of a listing, and the token of the next.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    pub(super) next: Option<String>,
}

/// How large pages may be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageSize {
    pub(super) least: u64,
    pub(super) most: u64,
}

impl<T> Page<T> {
    /// Cuts the page out that is asked for, in the order of the keys. A page begins behind the key that its token holds, so
    /// that rows which come or go between two pages move no others.
    pub(super) fn cut(
        query: &Query,
        mut rows: Vec<T>,
        size: PageSize,
        key: impl Fn(&T) -> String,
    ) -> Result<Self, Failure> {
        let asked = query.number("MaxResults")?;
        if let Some(asked) = asked.filter(|asked| *asked < size.least || *asked > size.most) {
            let words = format!(
                "Value ( {asked} ) for parameter maxResults is invalid. Expecting a value between {} and {}.",
                size.least, size.most
            );
            return Err(Failure::client("InvalidParameterValue", words));
        }
        rows.sort_by_key(|row| key(row));
        if let Some(token) = query.text("NextToken") {
            let after = from_base64(token).and_then(|bytes| String::from_utf8(bytes).ok());
            let bad = || Failure::client("InvalidNextToken", "The token is not valid.");
            let after = after.as_deref().and_then(|text| text.strip_prefix("after ")).ok_or_else(bad)?.to_owned();
            rows.retain(|row| key(row) > after);
        }
        let most = usize::try_from(asked.unwrap_or(size.most)).unwrap_or(usize::MAX);
        let is_last = rows.len() <= most;
        rows.truncate(most);
        let next = rows.last().filter(|_| !is_last).map(|row| to_base64(format!("after {}", key(row)).as_bytes()));
        Ok(Self { rows, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_matched_as_a_whole() {
        for (pattern, text) in [("al2023-*-x86_64", "al2023-ami-1-x86_64"), ("*", ""), ("a?c", "abc"), ("*b*", "abab")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("al2023", "al2023-x"), ("a?c", "ac"), ("", "a"), ("*x", "xy")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn pages_hold_every_row_once_though_rows_go_between_them() {
        let rows: Vec<u32> = (100..150).collect();
        let size = PageSize { least: 1, most: 1_000 };
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let left = rows.iter().copied().filter(|row| *row != 100 || token.is_empty()).collect();
            let query = Query::parse(&format!("MaxResults=7&NextToken={}", token.replace('=', "%3D")));
            let page = Page::cut(&query, left, size, u32::to_string).expect("it is a page");
            seen.extend(page.rows);
            match page.next {
                Some(next) => token = next,
                None => break,
            }
        }
        assert_eq!(seen, rows);
        assert!(Page::cut(&Query::parse("NextToken=xyz"), rows, size, u32::to_string).is_err());
    }
}
