//! Output of several workflows on one standard output.

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};
use dstack_core::secret::Secret;

use super::decode::Decoder;
use super::line::Line;
use super::mask::Mask;

/// Longest line that is held back in a pipe until it is complete.
const PIPE_LINE_MAX: usize = 64 * 1024;
const COLORS: [AnsiColor; 6] =
    [AnsiColor::Cyan, AnsiColor::Yellow, AnsiColor::Green, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::BrightCyan];

/// How output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The bytes as they were printed.
    Raw,
    /// The bytes, with the workflow before each line.
    Prefixed,
    /// For a terminal: whole lines without control sequences.
    Terminal {
        /// Whether the workflow stands before each line.
        prefix: bool,
        /// Whether that is coloured.
        color: bool,
    },
}

#[derive(Debug, Default)]
struct Stream {
    prefix: String,
    mask: Mask,
    decoder: Decoder,
    line: Line,
    held: Vec<u8>,
}

/// Turns output into what is written to standard output.
#[derive(Debug)]
pub(crate) struct OutputView {
    form: Form,
    width: usize,
    streams: BTreeMap<u32, Stream>,
}

impl OutputView {
    /// A view for workflows with these names; they are told apart by their place in the list.
    pub(crate) fn new<'a>(form: Form, names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let width = names.clone().map(str::len).max().unwrap_or(0);
        let mut view = Self { form, width, streams: BTreeMap::new() };
        for (index, name) in (0..).zip(names) {
            let prefix = view.prefix(index, name);
            view.streams.insert(index, Stream { prefix, ..Stream::default() });
        }
        view
    }

    /// Masks these values from now on, wherever they are printed.
    pub(crate) fn mask(&mut self, secrets: Vec<Secret>) {
        let mask = Mask::new(secrets);
        for stream in self.streams.values_mut() {
            stream.mask.mask_as(&mask);
        }
    }

    fn prefix(&self, index: u32, name: &str) -> String {
        let plain = format!("{name:<width$} | ", width = self.width);
        match self.form {
            Form::Raw | Form::Terminal { prefix: false, .. } => String::new(),
            Form::Prefixed | Form::Terminal { color: false, .. } => plain,
            Form::Terminal { color: true, .. } => {
                let color = COLORS[usize::try_from(index).unwrap_or(0) % COLORS.len()];
                let style = Style::new().fg_color(Some(color.into()));
                format!("{style}{plain}{style:#}")
            }
        }
    }

    /// What is written now that the workflow printed this.
    pub(crate) fn push(&mut self, workflow: u32, bytes: &[u8]) -> Vec<u8> {
        let Some(stream) = self.streams.get_mut(&workflow) else { return Vec::new() };
        let bytes = stream.mask.push(bytes);
        stream.push(self.form, bytes)
    }

    /// What is written now that the workflow's attempt prints no more.
    pub(crate) fn end(&mut self, workflow: u32) -> Vec<u8> {
        let Some(stream) = self.streams.get_mut(&workflow) else { return Vec::new() };
        let bytes = stream.mask.end();
        let mut out = stream.push(self.form, bytes);
        out.extend(stream.end(self.form));
        out
    }

    /// Lines that are not complete yet: shown below the others and drawn again as they change.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        self.streams.values().filter_map(|stream| Some(format!("{}{}", stream.prefix, stream.line.text()?))).collect()
    }
}

fn push_line(out: &mut String, prefix: &str, text: &str) {
    out.push_str(prefix);
    out.push_str(text);
    out.push('\n');
}

impl Stream {
    fn push(&mut self, form: Form, bytes: Vec<u8>) -> Vec<u8> {
        match form {
            Form::Raw => bytes,
            Form::Prefixed => self.push_bytes(&bytes),
            Form::Terminal { .. } => self.push_text(&bytes),
        }
    }

    fn end(&mut self, form: Form) -> Vec<u8> {
        match form {
            Form::Raw => Vec::new(),
            Form::Prefixed => {
                let mut out = Vec::new();
                if !self.held.is_empty() {
                    self.release(b"\n", &mut out);
                }
                out
            }
            Form::Terminal { .. } => {
                let mut out = String::new();
                let (prefix, line) = (&self.prefix, &mut self.line);
                self.decoder.end(|unit| {
                    if let Some(text) = line.take(unit) {
                        push_line(&mut out, prefix, &text);
                    }
                });
                if line.text().is_some() {
                    let text = line.end();
                    push_line(&mut out, prefix, &text);
                }
                out.into_bytes()
            }
        }
    }

    fn push_text(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = String::new();
        let (prefix, line) = (&self.prefix, &mut self.line);
        self.decoder.push(bytes, |unit| {
            if let Some(text) = line.take(unit) {
                push_line(&mut out, prefix, &text);
            }
        });
        out.into_bytes()
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.held.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.release(b"", &mut out);
            } else if self.held.len() >= PIPE_LINE_MAX {
                self.release(b"\n", &mut out);
            }
        }
        out
    }

    fn release(&mut self, end: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        out.append(&mut self.held);
        out.extend_from_slice(end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMINAL: Form = Form::Terminal { prefix: true, color: false };

    fn view(form: Form) -> OutputView {
        OutputView::new(form, ["a", "train"].into_iter())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn raw_output_is_the_bytes_that_were_printed(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let mut raw = view(Form::Raw);
            let mut out: Vec<u8> = pieces.iter().flat_map(|piece| raw.push(0, piece)).collect();
            out.extend(raw.end(0));
            prop_assert_eq!(out, pieces.concat());
        }

        #[test]
        fn no_line_in_a_pipe_mixes_two_workflows(
            pieces in prop::collection::vec((0_u32..2, "[xy\n]{0,6}"), 0..12),
            form in prop::sample::select(vec![Form::Prefixed, TERMINAL]),
        ) {
            let mut mixed = view(form);
            let mut out = Vec::new();
            for (workflow, piece) in &pieces {
                out.extend(mixed.push(*workflow, piece.as_bytes()));
            }
            out.extend(mixed.end(0));
            out.extend(mixed.end(1));
            let out = String::from_utf8(out).expect("it is text");
            for (workflow, prefix) in [(0, "a     | "), (1, "train | ")] {
                let printed: String = pieces.iter().filter(|(by, _)| *by == workflow).map(|(_, text)| &**text).collect();
                let seen: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix(prefix)).collect();
                prop_assert_eq!(seen, printed.lines().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_line_that_is_not_complete_is_shown_apart() {
        let mut terminal = view(TERMINAL);
        assert_eq!(terminal.push(1, b"one\n50%"), b"train | one\n");
        assert_eq!(terminal.unfinished(), ["train | 50%"]);
        assert_eq!(terminal.end(1), b"train | 50%\n");
        assert!(terminal.unfinished().is_empty());
    }

    #[test]
    fn secrets_are_masked_in_every_form_before_anything_else_is_done_with_them() {
        for (form, expected) in [
            (Form::Raw, "***\nhun"),
            (Form::Prefixed, "a     | ***\na     | hun\n"),
            (TERMINAL, "a     | ***\na     | hun\n"),
        ] {
            let mut masking = view(form);
            masking.mask(vec![Secret::new("hunter2".to_owned())]);
            let mut out = masking.push(0, b"hunt");
            assert!(out.is_empty() && masking.unfinished().is_empty(), "{form:?}");
            out.extend(masking.push(0, b"er2\nhun"));
            out.extend(masking.end(0));
            assert_eq!(String::from_utf8(out).expect("it is text"), expected);
        }
    }

    #[test]
    fn a_single_workflow_needs_no_prefix() {
        let mut terminal = OutputView::new(Form::Terminal { prefix: false, color: true }, ["a"].into_iter());
        assert_eq!(terminal.push(0, b"x\n"), b"x\n");
    }
}
