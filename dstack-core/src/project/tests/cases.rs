use crate::model::Program;

use super::*;

const CASE_02: &str = r#"variables:
  show:
    title: "say \"hi\" \\ it's $HOME `id`\nsecond ; line"
    lr: 0.00002
    py: 3.10
    flag: no
"#;
const TITLE: &str = "say \"hi\" \\ it's $HOME `id`\nsecond ; line";

#[test]
fn case_02_values_arrive_byte_for_byte_in_their_spelling() {
    let text = "workflows:\n  - name: show\n    commands: ['printf \"%s|%s|%s|%s\" \"$TITLE\" \"$LR\" \"$PY\" \"$FLAG\" | od -c']\n";
    let planned = planned(text, Some(CASE_02), &[]).expect("it is fine");
    let env = &planned.workflows[0].env;
    for (name, value) in [("TITLE", TITLE), ("title", TITLE), ("LR", "0.00002"), ("py", "3.10"), ("FLAG", "no")] {
        assert_eq!(env[name], value);
    }
    assert_eq!(
        planned.workflows[0].args,
        ["--title", TITLE, "--lr", "0.00002", "--py", "3.10", "--flag", "no"].map(str::to_owned)
    );
}

#[test]
fn case_02_an_override_arrives_byte_for_byte() {
    let text = "workflows:\n  - name: show\n    commands: [env]\n    env: {COPY: '${{ title }}'}\n";
    let odd = "  a\t'\"\\ $x ${{ lr }} `b`\r\n\u{1f600} ";
    let planned = planned(text, Some(CASE_02), &[("title", odd)]).expect("it is fine");
    assert_eq!(planned.workflows[0].env["TITLE"], odd);
    assert_eq!(planned.workflows[0].env["COPY"], odd, "what was filled in is not read again");
}

#[test]
fn case_02_a_value_that_a_shell_would_act_on_is_refused_with_the_line_to_write() {
    let text = "workflows:\n  - name: show\n    commands:\n      - echo ok\n      - echo ${{ title }}\n";
    let error = error_with(text, Some(CASE_02));
    assert_eq!(
        error,
        format!("{FILE}:5:9: a shell would act on the value of `title`: write \"$TITLE\" instead of ${{{{ title }}}}")
    );
    let text = "workflows:\n  - name: show\n    commands: ['echo ${{ lr }} ${{py}}']\n";
    let planned = planned(text, Some(CASE_02), &[]).expect("plain values are fine");
    assert_eq!(planned.workflows[0].program, Program::Commands(vec!["echo 0.00002 3.10".to_owned()]));
}

#[test]
fn case_02_one_check_of_names_in_both_forms_of_env() {
    refused("env: {VAR-1: x}", "4:11", &["\"VAR-1\"", "VAR_1"]);
    refused("env: [VAR-1=x]", "4:11", &["\"VAR-1\"", "VAR_1"]);
    refused("env: [VAR-1]", "4:11", &["\"VAR-1\"", "VAR_1"]);
    let message = |text: &str| error(&workflow(text)).split_once(": ").expect("a place and a message").1.to_owned();
    assert_eq!(message("env: {VAR-1: x}"), message("env: [VAR-1=x]"));
    for name in ["LD_PRELOAD", "BASH_ENV", "DSTACK_RUN", "1A", "A B", ""] {
        assert_eq!(message(&format!("env: {{\"{name}\": x}}")), message(&format!("env: [\"{name}=x\"]")), "{name}");
    }
}

#[test]
fn case_03_names_are_refused_with_one_that_would_pass() {
    let long = "a".repeat(64);
    for (given, proposal) in [
        ("train:v2", Some("train-v2")),
        ("Train", Some("train")),
        ("-x", Some("x")),
        ("träin", Some("train")),
        ("a/b", Some("a-b")),
        (long.as_str(), Some(&long[..63])),
        ("\"\"", None),
    ] {
        let text = format!(
            "workflows:\n  - name: good\n    commands: [\"true\"]\n  - name: {given}\n    commands: [\"true\"]\n"
        );
        let error = error(&text);
        assert!(error.starts_with(".dstack/workflows.yaml:4:11: "), "{error}");
        match proposal {
            Some(proposal) => assert!(error.contains(&format!("for example: {proposal})")), "{error}"),
            None => assert!(!error.contains("for example"), "{error}"),
        }
    }
    assert_eq!(only("workflows:\n  - name: 2024\n    commands: [\"true\"]\n").name.as_str(), "2024");
    let twice = "workflows:\n  - {name: a, commands: [x]}\n  - {name: a, commands: [x]}\n";
    assert!(error(twice).starts_with(".dstack/workflows.yaml:3:12: two workflows are named `a` (the other in line 2)"));
}

#[test]
fn case_06_commands_stay_as_they_are_written() {
    let lines = ["no-such-tool --train  # why", "cd sub", "pwd", "false || true", "false | cat", "  a: b"];
    let quoted: Vec<String> = lines.iter().map(|line| format!("      - '{line}'\n")).collect();
    let text = format!("workflows:\n  - name: w\n    commands:\n{}", quoted.concat());
    assert_eq!(only(&text).program, Program::Commands(lines.map(str::to_owned).to_vec()));
    let block = "workflows:\n  - name: w\n    commands: |\n      if true; then\n        echo '$x'\n      fi\n";
    assert_eq!(only(block).program, Program::Commands(vec!["if true; then\n  echo '$x'\nfi\n".to_owned()]));
}

#[test]
fn case_10_artifacts_are_literal_paths_inside_the_project() {
    for (path, words) in [
        ("/opt/out", "is absolute"),
        ("../out", "climbs with `..`"),
        ("out/../../x", "climbs with `..`"),
        ("\"\"", "is empty"),
        (".", "is the whole project"),
        ("./", "is the whole project"),
        ("\"*.txt\"", "paths are literal"),
        ("\"a/?\"", "paths are literal"),
        ("\"[ab]\"", "paths are literal"),
        ("~/out", "home folder"),
        ("\"a\\nb\"", "control character"),
    ] {
        refused(&format!("artifacts: [{path}]"), "4:17", &[words]);
        refused(&format!("artifacts:\n  - path: {path}"), "5:15", &[words]);
    }
    refused("artifacts: [out, out/sub]", "4:22", &["`out/sub` is inside artifact `out`"]);
    refused("artifacts: [out/sub, other, out]", "4:33", &["`out/sub` is inside artifact `out`"]);
    refused("artifacts: [out, ./out/]", "4:22", &["given twice"]);
    refused("artifacts:\n  - path: out\n    mount: true", "6:16", &["saved when the workflow ends"]);
    let spec = only(&workflow("artifacts: [missing, out-2, out/, {path: ./a//b, mount: false}, a b]"));
    assert_eq!(spec.artifacts, ["missing", "out-2", "out", "a/b", "a b"]);
}

#[test]
fn case_13_gpus_in_every_form() {
    use crate::model::{Bytes, GpuNeed};
    let need = |names: &[&str], count, gib: Option<u64>| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Some(GpuNeed { names, count, memory: gib.map(Bytes::from_gib) })
    };
    for (text, expected) in [
        ("3", need(&[], 3, None)),
        ("2..", need(&[], 2, None)),
        ("0", None),
        ("a10g", need(&["a10g"], 1, None)),
        ("A100:40GB:2", need(&["A100"], 2, Some(40))),
        ("A100:2", need(&["A100"], 2, None)),
        ("24GB", need(&[], 1, Some(24))),
        ("24GB..:2", need(&[], 2, Some(24))),
        ("\"A10G,A100\"", need(&["A10G", "A100"], 1, None)),
        ("[A10G, A100]", need(&["A10G", "A100"], 1, None)),
        ("{name: A10}", need(&["A10"], 1, None)),
        ("{name: [T4, T4G], count: 2, memory: 16GB}", need(&["T4", "T4G"], 2, Some(16))),
        ("{count: 1}", need(&[], 1, None)),
    ] {
        assert_eq!(only(&workflow(&format!("resources: {{gpu: {text}}}"))).needs.gpu, expected, "{text}");
    }
    refused("resources: {v100/gpu: 1}", "4:17", &["gpu: {name: v100, count: 1}"]);
    for text in ["A100:40GB:2:1", "A100:B100", "\"\"", "'2:2'", "many!", "{name: T4, count: -1}", "-1", "4..8"] {
        refused(
            &format!("resources: {{gpu: {text}}}"),
            &format!("4:{}", if text.starts_with('{') { 40 } else { 22 }),
            &[],
        );
    }
    assert_eq!(nearest("A10", ["T4", "A10G", "V100"].into_iter()), Some("A10G"));
}

#[test]
fn case_15_what_can_never_start_is_refused() {
    let entry = |name: &str, before: &str| format!("  - name: {name}\n    commands: [x]\n    depends-on: [{before}]\n");
    for (entries, place, words) in [
        (vec![("a", "b"), ("b", "a")], "4:18", "a -> b -> a"),
        (vec![("a", "a")], "4:18", "depends on itself"),
        (vec![("a", "prepar"), ("prepare", "")], "4:18", "did you mean `prepare`?"),
        (vec![("a", "b, b"), ("b", "")], "4:21", "given twice"),
        // The ring is not among what the target needs, and still an error.
        (vec![("a", ""), ("b", "c"), ("c", "d"), ("d", "b")], "7:18", "b -> c -> d -> b"),
        (vec![("a", "b:latest"), ("b", "")], "4:18", "tags (NAME:TAG) are not built yet: write `b`"),
        (vec![("a", "'${{ x }}'")], "4:18", "variables are not filled in here"),
    ] {
        let text: String = entries.iter().map(|(name, before)| entry(name, before)).collect();
        let error = error(&format!("workflows:\n{text}"));
        assert!(error.starts_with(&format!("{FILE}:{place}: ")), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn case_15_dependencies_come_first_and_only_what_is_needed() {
    let text = "workflows:\n  - {name: report, commands: [x], depends-on: [train, other]}\n  - {name: unrelated, commands: [x]}\n  \
                - {name: train, commands: [x], depends-on: {workflows: [prepare]}}\n  - {name: other, commands: [x]}\n  \
                - {name: prepare, commands: [exit 3]}\n";
    let planned = planned(text, None, &[]).expect("it is fine");
    let names: Vec<&str> = planned.workflows.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["other", "prepare", "train", "report"]);
    let depends_on: Vec<&[u32]> = planned.workflows.iter().map(|spec| spec.depends_on.as_slice()).collect();
    assert_eq!(depends_on, [&[][..], &[], &[1], &[2, 0]]);
}
