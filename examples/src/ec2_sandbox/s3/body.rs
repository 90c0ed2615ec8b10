//! Bodies as clients send them, and the little XML that they send.

use bytes::Bytes;
use hyper::HeaderMap;

use super::store::Refusal;

/// A header's text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The bytes that are meant, with the chunks of a signed stream put together.
pub(super) fn content(headers: &HeaderMap, body: &Bytes) -> Result<Bytes, Refusal> {
    let is_streamed = header(headers, "x-amz-content-sha256").is_some_and(|text| text.starts_with("STREAMING-"));
    let is_chunked = header(headers, "content-encoding").is_some_and(|text| text.contains("aws-chunked"));
    if !is_streamed && !is_chunked {
        return Ok(body.clone());
    }
    joined(body).ok_or_else(|| Refusal::new(400, "IncompleteBody", "The chunks of the body do not fit together"))
}

fn joined(mut rest: &[u8]) -> Option<Bytes> {
    let mut all = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(all.into());
        }
        all.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// Headers of a PUT that come back with the object.
pub(super) fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    const KEPT: [&str; 6] =
        ["content-type", "cache-control", "content-disposition", "content-language", "expires", "content-encoding"];
    let mut kept = Vec::new();
    for (name, value) in headers {
        let Ok(text) = value.to_str() else { continue };
        let name = name.as_str();
        let text = match name {
            "content-encoding" => {
                text.split(',').map(str::trim).filter(|part| *part != "aws-chunked").collect::<Vec<_>>().join(",")
            }
            _ => text.to_owned(),
        };
        if (KEPT.contains(&name) || name.starts_with("x-amz-meta-")) && !text.is_empty() {
            kept.push((name.to_owned(), text));
        }
    }
    kept
}

/// The texts of all elements of a name, in their order.
pub(super) fn texts(body: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let pieces = text.split(&open).skip(1);
    let unescaped = |text: &str| {
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#34;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&")
    };
    pieces.filter_map(|piece| Some(unescaped(piece.split_once(&close)?.0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_broken_ones_refused() {
        let whole = b"5;chunk-signature=abc\r\nhello\r\n3\r\n\r\nx\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
        assert_eq!(joined(whole).as_deref(), Some(&b"hello\r\nx"[..]));
        assert_eq!(joined(b"5\r\nhel"), None);
        assert_eq!(joined(b"zz\r\nhello\r\n0\r\n\r\n"), None);
    }

    #[test]
    fn elements_are_found_and_unescaped() {
        let body = b"<Delete><Object><Key>a&amp;b</Key></Object><Object><Key>c</Key></Object></Delete>";
        assert_eq!(texts(body, "Key"), ["a&b", "c"]);
    }
}
