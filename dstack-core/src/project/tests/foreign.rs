use super::super::words::{FOREIGN, Section};
use super::*;

/// Lines of a workflow with this key in its section.
fn with_key(section: Section, key: &str) -> String {
    match section {
        Section::Workflow => workflow(&format!("{key}: x")),
        Section::Resources => workflow(&format!("resources:\n  {key}: x")),
        Section::Gpu => workflow(&format!("resources:\n  gpu:\n    {key}: x")),
        Section::Retry => workflow(&format!("retry:\n  {key}: x")),
        Section::DependsOn => workflow(&format!("depends-on:\n  {key}: x")),
        Section::Artifact => workflow(&format!("artifacts:\n  - {key}: x")),
        Section::File => format!("{key}: x\n{}", workflow("help: x")),
        Section::Variables => panic!("the file of variables has one key"),
    }
}

#[test]
fn every_word_that_is_not_ours_gets_one_line_that_says_what_is() {
    for (section, word, instead) in FOREIGN {
        let text = with_key(*section, word);
        let error = error(&text);
        let line = 1 + text.lines().position(|line| line.contains(&format!("{word}: x"))).expect("it is there");
        assert!(error.starts_with(&format!("{FILE}:{line}:")), "{word}: {error}");
        assert!(error.contains(&format!("`{word}` is not a key here: {instead}")), "{word}: {error}");
        assert!(!section.keys().contains(word), "{word} is ours");
        assert_eq!(FOREIGN.iter().filter(|(s, w, _)| s == section && w == word).count(), 1, "{word} stands twice");
    }
    let needed = "image shm_size provider python requirements script ports nodes volumes ide deps dependencies environment \
                  spot_policy max_duration max_price regions instance_types idle_duration";
    for word in needed.split_whitespace() {
        assert!(FOREIGN.iter().any(|(_, known, _)| *known == word), "{word} is missing");
    }
}

#[test]
fn an_unknown_key_names_the_nearest() {
    for (section, key, near) in [
        (Section::Workflow, "comands", "commands"),
        (Section::Workflow, "depends_on", "depends-on"),
        (Section::Workflow, "working_dir", "working-dir"),
        (Section::Workflow, "Env", "env"),
        (Section::Resources, "mem", "memory"),
        (Section::Resources, "instance_type", "instance-type"),
        (Section::Retry, "on_exit_codes", "on-exit-codes"),
        (Section::Gpu, "counts", "count"),
        (Section::DependsOn, "workflow", "workflows"),
        (Section::Artifact, "paths", "path"),
        (Section::File, "workflow", "workflows"),
    ] {
        let error = error(&with_key(section, key));
        assert!(error.ends_with(&format!("unknown key `{key}`: did you mean `{near}`?")), "{error}");
    }
    refused("zzz: 1", "4:5", &["unknown key `zzz`: known here are name, help"]);
}
