use crate::model::{Bytes, MilliCpu, Purchase, Retry, Shell, Span};

use super::*;

#[test]
fn every_key_reaches_the_spec() {
    let spec = only(&workflow(
        "help: trains\nshell: bash\nworking-dir: ./src/\nenv: {A: 1.0, B: \"\", C: no}\nartifacts: [out]\nresources: {cpu: 0.5, \
         memory: 1.5GB, disk: 100GB.., purchase: on-demand, instance-type: m5.large}\nretry: {max: 3, on-exit-codes: [75, 1]}\n\
         timeout: 1h 30m\npriority: -5",
    ));
    assert_eq!(spec.shell, Shell::Bash);
    assert_eq!(spec.working_dir.as_deref(), Some("src"));
    let env: Vec<(&str, &str)> = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(env, [("A", "1.0"), ("B", ""), ("C", "no")]);
    assert_eq!(spec.artifacts, ["out"]);
    assert_eq!(spec.needs.cpu, Some(MilliCpu(500)));
    assert_eq!(spec.needs.memory, Some(Bytes(3 << 29)));
    assert_eq!(spec.needs.disk, Some(Bytes::from_gib(100)));
    assert_eq!(spec.needs.purchase, Some(Purchase::OnDemand));
    assert_eq!(spec.needs.instance_type.as_deref(), Some("m5.large"));
    assert_eq!(spec.retry, Some(Retry { max: 3, on_exit_codes: vec![1, 75] }));
    assert_eq!(spec.timeout, Some(Span::from_mins(90)));
    assert_eq!(spec.priority, -5);
}

#[test]
fn older_forms_are_taken() {
    assert_eq!(only(&workflow("resources: {cpu: {count: 2}}")).needs.cpu, Some(MilliCpu(2000)));
    assert_eq!(only(&workflow("resources: {cpu: 16..}")).needs.cpu, Some(MilliCpu(16_000)));
    assert_eq!(only(&workflow("resources: {interruptible: true}")).needs.purchase, Some(Purchase::Spot));
    assert_eq!(only(&workflow("resources: {interruptible: false}")).needs.purchase, None);
    assert_eq!(only(&workflow("timeout: off")).timeout, None);
    assert_eq!(only(&workflow("env: [A=b=c, 'D=']")).env, [("A".into(), "b=c".into()), ("D".into(), "".into())].into());
}

#[test]
fn wrong_values_are_refused_in_their_place() {
    refused("resources: {memory: 16}", "4:25", &["write 16GB"]);
    refused("resources: {memory: lots}", "4:25", &["is not a size"]);
    refused("resources: {memory: 4GB..8GB}", "4:25", &["minimums: write 4GB"]);
    refused("resources: {memory: 0GB}", "4:25", &["is 0"]);
    refused("resources: {cpu: 0}", "4:22", &["number of processors"]);
    refused("resources: {cpu: 4..8}", "4:22", &["minimums: write 4"]);
    refused("resources: {purchase: on_demand}", "4:27", &["did you mean `on-demand`?"]);
    refused("resources: {purchase: on-demand, interruptible: true}", "4:53", &["remove one"]);
    refused("resources: {instance-type: 'a b'}", "4:32", &["m5.large"]);
    refused("retry: 3", "4:12", &["{max: 3}"]);
    refused("retry: {max: often}", "4:18", &["write one like 3"]);
    refused("retry: {on-exit-codes: [1]}", "4:12", &["no `max`"]);
    refused("retry: {max: 1, on-exit-codes: [0]}", "4:37", &["1 to 255"]);
    refused("timeout: 600", "4:14", &["write 600s or 600m"]);
    refused("timeout: 0s", "4:14", &["off"]);
    refused("priority: high", "4:15", &["whole number"]);
    refused("shell: zsh", "4:12", &["sh or bash"]);
    refused("working-dir: ../x", "4:18", &["inside the project"]);
    refused("env: {A: [1]}", "4:14", &["text or number"]);
    refused("env: {A: }", "4:12", &["A: \"\""]);
    refused("env: [A=1, A=2]", "4:16", &["given twice"]);
    refused("env: [A]", "4:11", &["A is not set"]);
    refused("env: x", "4:10", &["a map of names"]);
}

#[test]
fn commands_must_be_there_and_be_text() {
    let with = |commands: &str| error(&format!("workflows:\n  - name: w\n    {commands}\n"));
    assert!(with("help: x").starts_with(&format!("{FILE}:2:11: workflow `w` has no `commands`")));
    assert!(with("commands: []").contains(":3:15: there is no command"));
    assert!(with("commands: ['', ' ']").contains(":3:15: there is no command"));
    assert!(with("commands:\n      - echo a: b").contains(":4:9: a command that holds `: ` reads as a map"));
    assert!(with("commands:\n      -").contains("an empty command"));
    assert!(with("commands: {a: b}").contains("a list of commands, or one block of text"));
    assert!(error("workflows:\n  - commands: [x]\n").contains("no `name`"));
}

#[test]
fn a_name_alone_in_env_takes_the_callers_value_of_submitted_workflows_only() {
    let text = "workflows:\n  - {name: a, commands: [x], env: [TOKEN]}\n  - {name: b, commands: [x], env: [OTHER]}\n";
    let file = WorkflowsFile::load_str(FILE, text, None).expect("it is fine");
    let environment = |name: &str| (name == "TOKEN").then(|| " odd\n".to_owned());
    let planned = plan(&file, &name("a"), &[], &environment).expect("OTHER is not asked for");
    assert_eq!(planned.workflows[0].env["TOKEN"], " odd\n");
    let error = plan(&file, &name("b"), &[], &environment).expect_err("OTHER is not set").to_string();
    assert_eq!(error, format!("{FILE}:3:36: OTHER is not set: set it, or write OTHER=VALUE"));
}

#[test]
fn what_once_fed_a_cache_is_one_warning() {
    let text = "workflows:\n  - name: a\n    commands: [x]\n    depends-on: {workflows: [b], repo: {include: [train.py]}, \
                variables: [x]}\n  - {name: b, commands: [x]}\n";
    let planned = planned(text, None, &[]).expect("it is accepted");
    assert_eq!(planned.warnings.len(), 1);
    assert!(planned.warnings[0].to_string().starts_with(&format!("{FILE}:4:34: `repo` has no effect")));
    assert_eq!(planned.workflows.len(), 2);
}

#[test]
fn two_dependencies_with_the_same_artifact_are_refused_also_far_from_the_target() {
    let text = "workflows:\n  - {name: t, commands: [x]}\n  - {name: a, commands: [x], artifacts: [out]}\n  \
                - {name: b, commands: [x], artifacts: [./out/]}\n  - {name: c, commands: [x], depends-on: [a, b]}\n";
    let error = error(text);
    assert!(error.starts_with(&format!("{FILE}:5:46: workflows `a` and `b` both have the artifact `out`")), "{error}");
}

#[test]
fn an_unknown_target_names_the_nearest() {
    let file =
        WorkflowsFile::load_str(FILE, &workflow("help: x").replace("name: w", "name: train"), None).expect("fine");
    let error = plan(&file, &name("trian"), &[], &nobody).expect_err("there is none").to_string();
    assert_eq!(error, "there is no workflow `trian`: did you mean `train`?");
    assert_eq!(file.workflows().map(|(_, help)| help).collect::<Vec<_>>(), [Some("x")]);
}

#[test]
fn a_project_is_found_upwards_and_dstacks_own_folder_is_passed_by() {
    let top = tempfile::tempdir().expect("a folder can be made");
    let root = std::fs::canonicalize(top.path()).expect("it is there");
    let deep = root.join("a/b");
    std::fs::create_dir_all(&deep).expect("folders can be made");
    std::fs::create_dir_all(root.join("a/.dstack")).expect("folders can be made");
    std::fs::create_dir_all(root.join(".dstack")).expect("folders can be made");
    let text = workflow("env: {X: '${{ x }}'}");
    std::fs::write(root.join(".dstack/workflows.yaml"), text).expect("it can be written");
    std::fs::write(root.join(".dstack/variables.yaml"), "variables: {w: {x: 1.0}}").expect("it can be written");
    let project = Project::find(&deep).expect("it can be looked for").expect("it is there");
    assert_eq!(project.root(), root);
    let planned = plan(&project.load().expect("it is fine"), &name("w"), &[], &nobody).expect("it is fine");
    assert_eq!(planned.workflows[0].env["X"], "1.0");
    std::fs::write(root.join(".dstack/workflows.yaml"), b"workflows:\n  - n\xff").expect("it can be written");
    let error = project.load().expect_err("it is no text").to_string();
    assert_eq!(error, ".dstack/workflows.yaml:2:6: not UTF-8 text: save the file as UTF-8");
}
