use proptest::prelude::*;

use super::*;

const VARIABLES: &str = ".dstack/variables.yaml";

fn text(lines: &str) -> String {
    workflow(lines)
}

#[test]
fn a_workflows_own_value_wins_and_an_override_wins_over_both() {
    let variables = "variables:\n  global: {epochs: 1, batch-size: 32}\n  w: {epochs: 2}\n";
    let plain = planned(&text("help: x"), Some(variables), &[]).expect("it is fine");
    let env = &plain.workflows[0].env;
    assert_eq!((env["EPOCHS"].as_str(), env["epochs"].as_str(), env["BATCH_SIZE"].as_str()), ("2", "2", "32"));
    assert!(!env.contains_key("batch-size"));
    assert_eq!(plain.workflows[0].args, ["--batch-size", "32", "--epochs", "2"]);
    let given =
        planned(&text("help: x"), Some(variables), &[("batch_size", "64"), ("epochs", "x y")]).expect("it is fine");
    assert_eq!(given.variables, [("batch-size".into(), "64".into()), ("epochs".into(), "x y".into())]);
    let file = WorkflowsFile::load_str(FILE, &text("help: x"), Some(variables)).expect("it is fine");
    let declared = file.declared_variables(&name("w")).expect("it is there");
    assert_eq!(declared[1], Declared { name: "epochs".into(), default: "2".into(), is_global: false });
}

#[test]
fn an_override_reaches_dependencies_only_where_the_variable_is_global() {
    let workflows = "workflows:\n  - {name: a, commands: [x], depends-on: [b]}\n  - {name: b, commands: [x]}\n";
    let variables = "variables: {global: {g: 1}, a: {o: 1}, b: {o: 1}}";
    let planned = planned(workflows, Some(variables), &[("g", "2"), ("o", "3")]).expect("it is fine");
    let values = |at: usize| (planned.workflows[at].env["G"].as_str(), planned.workflows[at].env["O"].as_str());
    assert_eq!((values(0), values(1)), (("2", "1"), ("2", "3")));
}

#[test]
fn an_unknown_variable_names_the_nearest() {
    let error = planned(&text("help: x"), Some("variables: {w: {epochs: 1}}"), &[("epoch", "1")]).expect_err("unknown");
    assert_eq!(error.to_string(), "workflow `w` has no variable `epoch`: did you mean `epochs`?");
    let error = error_with(&text("env: {A: '${{ epoch }}'}"), Some("variables: {w: {epochs: 1}}"));
    assert!(error.ends_with(":4:14: there is no variable `epoch`: did you mean `epochs`?"), "{error}");
}

#[test]
fn variables_are_filled_in_everywhere_and_checked_after_that() {
    let variables = "variables: {w: {n: 2, size: 8GB, out: o/p, gpu: A10G}}";
    let lines = "artifacts: ['${{ out }}/q']\nresources:\n  cpu: ${{ n }}\n  memory: ${{ size }}\n  gpu: ${{ gpu }}:${{n}}\ntimeout: ${{ n }}h";
    let planned = planned(&text(lines), Some(variables), &[]).expect("it is fine");
    let spec = &planned.workflows[0];
    assert_eq!(spec.artifacts, ["o/p/q"]);
    assert_eq!(spec.needs.to_string(), "2 CPU, 8GB memory, 2 A10G GPU");
    assert_eq!(spec.timeout.map(|span| span.as_secs()), Some(7200));
    let error = error_with(&text("artifacts: ['${{ out }}/q']"), Some("variables: {w: {out: ../x}}"));
    assert!(error.contains(":4:17: artifact \"../x/q\" climbs"), "{error}");
}

#[test]
fn the_old_spelling_of_variables_is_refused_where_no_shell_reads_it() {
    let variables = Some("variables: {w: {model: m, batch-size: 1}}");
    for (lines, dollar, name) in [
        ("artifacts: [out/$model]", "$model", "model"),
        ("artifacts: [out/$MODEL/x]", "$MODEL", "model"),
        ("artifacts: ['${model}']", "${model}", "model"),
        ("env: {A: $BATCH_SIZE}", "$BATCH_SIZE", "batch-size"),
        ("resources: {gpu: $model}", "$model", "model"),
    ] {
        let error = error_with(&text(lines), variables);
        assert!(error.contains(&format!("no shell reads `{dollar}` here: write `${{{{ {name} }}}}`")), "{error}");
    }
    // Not ours, or read by a shell.
    for lines in ["env: {A: $HOME, B: $models, C: 5$, D: '${model'}", "help: $model"] {
        planned(&text(lines), variables, &[]).expect("it is fine");
    }
    let commands = "workflows:\n  - name: w\n    commands: ['train $model \"$BATCH_SIZE\"']\n";
    planned(commands, variables, &[]).expect("a shell reads it");
    let old = "workflows:\n  - name: w\n    commands: [train $variables_as_args]\n";
    assert!(error_with(old, variables).contains(":3:16: `$variables_as_args` is written `\"$@\"` here"));
}

#[test]
fn collisions_of_exported_names_are_refused() {
    let wrong = |variables: &str| error_with(&text("help: x"), Some(variables));
    assert!(wrong("variables: {w: {a_b: 1, a-b: 2}}").starts_with(&format!("{VARIABLES}:1:25: ")));
    assert!(wrong("variables: {w: {model: 1, MODEL: 2}}").contains("would both be exported as MODEL"));
    assert!(wrong("variables: {global: {model: 1}, w: {Model: 2}}").contains("would both be exported as MODEL"));
    for (name, shown) in
        [("path", "PATH"), ("run-name", "RUN_NAME"), ("ld_preload", "LD_PRELOAD"), ("dstack-run", "DSTACK_RUN")]
    {
        assert!(wrong(&format!("variables: {{w: {{{name}: 1}}}}")).contains(shown), "{name}");
    }
    let both = error_with(&text("env: {MODEL: b}"), Some("variables: {w: {model: a}}"));
    assert!(both.starts_with(&format!("{FILE}:4:11: MODEL is also what a variable")), "{both}");
    planned(&text("env: {MODEL: '${{ model }}'}"), Some("variables: {w: {model: a}}"), &[]).expect("the same value");
}

#[test]
fn the_file_of_variables_is_checked() {
    let wrong = |variables: &str| error_with(&text("help: x"), Some(variables));
    assert!(wrong("variables: {ww: {a: 1}}").contains("there is no workflow `ww`"));
    assert!(wrong("variables: {globals: {a: 1}}").contains("did you mean `global`?"));
    assert!(wrong("variable: {w: {a: 1}}").contains("did you mean `variables`?"));
    assert!(wrong("variables: {w: {a: [1]}}").contains(":1:20: `a` should be a text or number"));
    assert!(wrong("variables: {w: {a b: 1}}").contains("not a valid variable name"));
    assert!(wrong("variables: {w: {a: 1, a: 2}}").contains("given twice"));
    assert!(wrong("variables: {w: {a: \"\\0\"}}").contains("NUL"));
    for nothing in ["", "~", "null", "Null"] {
        let error = wrong(&format!("variables: {{w: {{a: {nothing}}}}}"));
        assert!(error.contains("`a` has no value: write `\"\"`"), "{error}");
    }
    for fine in ["", "variables:", "variables: {global: , w: }", "variables: {global: {b: '~', c: \"null\", d: ''}}"] {
        planned(&text("help: x"), Some(fine), &[]).expect("it is fine");
    }
}

#[test]
fn every_character_that_a_shell_acts_on_is_refused_in_commands() {
    let commands = "workflows:\n  - name: w\n    commands: ['echo ${{ x }}']\n";
    for special in " \t\n|&;<>()$`\\\"'*?[]{}~#!^".chars() {
        let given = planned(commands, Some("variables: {w: {x: d}}"), &[("x", &format!("a{special}b"))]);
        assert!(given.is_err(), "{special:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_given_for_a_variable_arrives_or_is_refused_but_is_never_changed(value in "\\PC{0,30}|[ -~\n\t]{0,30}") {
        let variables = Some("variables: {w: {x: d}}");
        let out = planned(&text("env: {COPY: '<${{ x }}>'}"), variables, &[("x", &value)]).expect("env takes all but NUL");
        prop_assert_eq!(&out.workflows[0].env["COPY"], &format!("<{value}>"));
        prop_assert_eq!(&out.workflows[0].args[1], &value);
        let commands = "workflows:\n  - name: w\n    commands: ['echo ${{ x }}']\n";
        if planned(commands, variables, &[("x", &value)]).is_ok() {
            // A shell gives back exactly what was put in.
            let shell = std::process::Command::new("sh").args(["-c", &format!("printf %s {value}")]).output();
            prop_assert_eq!(shell.expect("there is a shell").stdout, value.into_bytes());
        }
    }
}
