//! XML as the APIs write it: elements with text or elements in them, no attributes but the name space.

/// A document that grows from its beginning.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

impl Xml {
    /// A whole document with this element as its root.
    pub(super) fn document(root: &str, namespace: &str, fill: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        xml.0.push_str(&format!("<{root} xmlns=\"{namespace}\">"));
        fill(&mut xml);
        xml.close(root);
        xml.0
    }

    /// A document whose root has no name space: an EC2 or S3 error.
    pub(super) fn bare_document(root: &str, fill: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        xml.group(root, fill);
        xml.0
    }

    /// An element with elements in it.
    pub(super) fn group(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.0.push_str(&format!("<{name}>"));
        fill(self);
        self.close(name);
    }

    /// An element with text in it.
    pub(super) fn leaf(&mut self, name: &str, text: impl AsRef<str>) {
        self.0.push_str(&format!("<{name}>"));
        self.text(text);
        self.close(name);
    }

    /// Text by itself.
    pub(super) fn text(&mut self, text: impl AsRef<str>) {
        for character in text.as_ref().chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\r' => self.0.push_str("&#13;"),
                // What XML 1.0 cannot say at all.
                '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
    }

    /// An element with text, where there is one.
    pub(super) fn leaf_if(&mut self, name: &str, text: Option<impl AsRef<str>>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    /// A list in EC2's form: an element with an `item` for each.
    pub(super) fn items<T>(&mut self, name: &str, all: impl IntoIterator<Item = T>, fill: impl Fn(&mut Self, T)) {
        self.group(name, |xml| {
            for one in all {
                xml.group("item", |xml| fill(xml, one));
            }
        });
    }

    fn close(&mut self, name: &str) {
        self.0.push_str(&format!("</{name}>"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_looks_like_xml_stays_text() {
        let text = Xml::bare_document("a", |xml| xml.leaf("b", "<c>&\"\u{1}"));
        assert!(text.ends_with("<a><b>&lt;c&gt;&amp;&quot;\u{fffd}</b></a>"), "{text}");
    }
}
