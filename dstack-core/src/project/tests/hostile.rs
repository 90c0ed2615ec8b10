use proptest::prelude::*;

use super::*;

#[test]
fn deep_nesting_is_refused_at_once() {
    for open in ["[", "{a: ", "- ", "? "] {
        let error = error(&open.repeat(200_000 / open.len()));
        assert!(error.starts_with(FILE), "{error}");
    }
}

#[test]
fn anchors_aliases_merges_and_tags_are_refused_with_their_place() {
    assert!(error("workflows:\n  - &a x\n").starts_with(&format!("{FILE}:2:")));
    let wrong = |text: &str| error(&format!("workflows:\n  - {text}\n"));
    assert!(wrong("&a x").contains("anchors"));
    assert!(wrong("&a [x, y]").contains("anchors"));
    assert!(wrong("*a").contains(":2:5: "));
    assert!(wrong("<<: {a: b}").contains("merge keys"));
    assert!(wrong("!!python/object:x y").contains("tags"));
    assert!(wrong("{name: w, commands: [!!str x]}").contains("tags"));
    let bomb: String = (1..2000).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1)).collect();
    assert!(error(&format!("a0: &a0 x\n{bomb}")).contains("anchors"));
}

#[test]
fn one_document_and_no_key_twice() {
    let one = workflow("help: x");
    only(&format!("---\n{one}"));
    only(&format!("# first\n---\n{one}...\n"));
    assert!(error(&format!("{one}---\n{one}")).contains(":5:1: a second document begins here"));
    refused("help: y\nhelp: z", "5:5", &["`help` is given twice"]);
    refused("env: {A: 1, A: 2}", "4:17", &["`A` is given twice"]);
    assert!(error(&format!("{one}workflows: []\n")).contains(":5:1: `workflows` is given twice"));
}

#[test]
fn what_editors_leave_behind_is_harmless() {
    let text = workflow("env:\n  A: \"b\"\n  C: d");
    let spec = only(&text);
    assert_eq!(only(&format!("\u{feff}{text}")), spec);
    assert_eq!(only(&text.replace('\n', "\r\n")), spec);
    let error = error(&text.replace("      A", "\tA"));
    assert!(error.starts_with(&format!("{FILE}:5:")), "{error}");
}

#[test]
fn empty_and_other_files_say_what_is_expected() {
    for text in ["", "# nothing\n", "---\n", "~", "[]", "x", "workflows:\n", "workflows: []", "workflows: [x]", "a: b"]
    {
        assert!(
            error(text).starts_with(&format!("{FILE}:1:")) || error(text).starts_with(&format!("{FILE}:2:")),
            "{text}"
        );
    }
    assert!(error("workflows: []").contains("there is no workflow"));
    assert!(error("? [a]\n: b\n").contains("a key should be a word"));
    refused("artifacts: [${{ out }}]", "4:18", &["quotes"]);
}

#[test]
fn a_file_over_the_bound_is_refused() {
    let text = format!("{}#{}", workflow("help: x"), "x".repeat(16 << 20));
    assert!(error(&text).contains("at most 16777216 are read"));
}

#[test]
fn a_file_of_two_thousand_workflows_in_a_chain_is_read_and_planned() {
    let entry = |n: u32| match n {
        0 => "  - {name: w0, commands: [x]}\n".to_owned(),
        n => format!("  - {{name: w{n}, commands: [x], depends-on: [w{}]}}\n", n - 1),
    };
    let text = format!("workflows:\n{}", (0..2_000).rev().map(entry).collect::<String>());
    let planned = planned(&text, None, &[]).expect("it is fine");
    assert_eq!(planned.workflows.len(), 2_000);
    assert_eq!(planned.workflows[1_999].depends_on, [1_998]);
    let ring = text.replace("name: w0, commands: [x]", "name: w0, commands: [x], depends-on: [w1999]");
    assert!(error(&ring).contains("wait for each other"));
}

/// Pieces that make texts which are almost right.
fn almost() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("workflows:\n"),
        Just("  - name: "),
        Just("w"),
        Just("\n    "),
        Just("commands: "),
        Just("[x]"),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just("'"),
        Just("\""),
        Just("${{ "),
        Just(" }}"),
        Just(": "),
        Just("- "),
        Just("|\n"),
        Just("&a "),
        Just("*a"),
        Just("!!x "),
        Just("---\n"),
        Just("depends-on: "),
        Just("env: "),
        Just("resources: "),
        Just("gpu: "),
        Just("A10:"),
        Just("1.."),
        Just("\t"),
        Just("\r\n"),
        Just("\u{feff}"),
        Just("ä"),
        Just("#"),
        Just("~"),
        Just("artifacts: "),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_it_panic(text in almost(), variables in almost(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (text, variables) in [(&text, Some(variables.as_str())), (&String::from_utf8_lossy(&bytes).into_owned(), None)] {
            if let Err(error) = planned(text, variables, &[]) {
                let error = error.to_string();
                prop_assert!(error.starts_with(".dstack/") && !error.contains('\n'), "{}", error);
            }
        }
    }
}
