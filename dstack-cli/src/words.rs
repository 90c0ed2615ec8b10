//! Words of older and other command lines, each with one line that names what there is instead.

use clap::{Arg, CommandFactory as _};

use crate::Cli;

/// A word that is not ours, alone or after another, and the line for it.
const WORDS: &[(&str, &str)] = &[
    ("on-demand", "it is `dstack autoscale` here: `dstack autoscale allow TYPE --max N --on-demand`"),
    (
        "init",
        "nothing to set up: there is no server and no key; next is `dstack aws configure`, or `dstack run --local`",
    ),
    ("config", "nothing to configure: there is no server and no token; an AWS account is `dstack aws configure`"),
    ("login", "no login is needed: there is no server; next is `dstack aws configure`, or `dstack run --local`"),
    ("logout", "no login is needed: there is no server; `dstack aws clear` forgets an account"),
    ("token", "no token is needed: there is no server; next is `dstack aws configure`, or `dstack run --local`"),
    ("server", "no server is needed: `dstack run` starts what it needs by itself"),
    ("start", "no server is needed: `dstack run` starts what it needs by itself"),
    ("help", "it is `--help` here: after a command (`dstack run --help`), or alone for the list of them"),
    ("up", "it is `dstack run WORKFLOW` here, from .dstack/workflows.yaml"),
    ("down", "it is `dstack stop RUN` here; `dstack autoscale disable` shuts all runners down"),
    ("apply", "it is `dstack run WORKFLOW` here, from .dstack/workflows.yaml"),
    ("fleet", "it is `dstack autoscale` here: `dstack autoscale allow TYPE --max N --spot`"),
    ("attach", "it is `dstack logs RUN -f` here"),
    ("offer", "it is `dstack autoscale info` here; `dstack autoscale allow TYPE` checks whether a type is offered"),
    ("project", "there are no projects to manage: a folder with .dstack/workflows.yaml is one"),
    ("volume", "volumes are not supported: declare `artifacts`, which are kept when a workflow ends"),
    ("gateway", "gateways are not supported: there are no services"),
    ("metrics", "metrics are not shown: `dstack ps` and `dstack runners` show what runs"),
    ("runs", "it is `dstack ps` here"),
    ("list", "it is `dstack ps` here"),
    ("restart", "a workflow is not started again by hand yet: `dstack run WORKFLOW` runs it anew"),
    ("resume", "not built yet in this version: `dstack run WORKFLOW` runs it anew"),
    ("tag", "tags are not built yet in this version: `dstack artifacts download RUN` takes artifacts out"),
    ("untag", "tags are not built yet in this version"),
    ("tags", "tags are not built yet in this version: `dstack artifacts download RUN` takes artifacts out"),
    ("prune", "not built yet in this version: nothing that is kept is removed by itself"),
    ("delete", "runs are not deleted: the log keeps what happened; `dstack stop RUN` ends one"),
    ("rm", "runs are not deleted: the log keeps what happened; `dstack stop RUN` ends one"),
    ("explain", "not built yet in this version: `dstack ps` says why a workflow waits"),
    ("why", "not built yet in this version: `dstack ps` says why a workflow waits"),
    ("cost", "not built yet in this version: `dstack runners -a` shows what each runner cost"),
    ("what-if", "not built yet in this version: `dstack autoscale info` shows the rules"),
    ("report", "not built yet in this version: `dstack events --json` shows everything that happened"),
    ("pool", "it is `dstack autoscale` here, and `dstack runners` lists the machines"),
    ("cp", "it is `dstack artifacts download RUN` here"),
    ("autoscale clear", "it is `dstack autoscale remove --all` here"),
    ("autoscale limit", "it is `dstack autoscale allow TYPE --max N --spot` here"),
    ("autoscale limits", "it is `dstack autoscale info` here"),
    ("autoscale status", "it is `dstack autoscale info` here"),
    ("autoscale list", "it is `dstack autoscale info` here"),
    ("artifacts upload", "artifacts are not uploaded: files of the project travel with each run"),
    ("artifacts push", "artifacts are not uploaded: files of the project travel with each run"),
    ("secrets get", "a secret's value is never shown again; `dstack secrets set NAME` replaces it"),
];

/// Flags of other products, each with the line for it.
const FLAGS: &[(&str, &str)] = &[
    ("--tag", "tags are not built yet in this version: `dstack run WORKFLOW --name NAME` names a run"),
    ("--no-jobs", "there are no jobs to leave out: `dstack ps` shows a row for each workflow"),
    ("--aws-secret-access-key", "a secret is never an argument: `dstack aws configure` asks for it"),
    ("--env", "`dstack run -- env NAME=VALUE CMD` gives a command variables; a workflow's are in its `env`"),
    ("--gpus", "it is `--gpu` here: `dstack run --gpu 1 -- CMD`"),
];

/// The line for a flag of another product.
pub(crate) fn flag_answer(flag: &str) -> Option<String> {
    let name = flag.split('=').next().unwrap_or(flag);
    let (name, line) = FLAGS.iter().find(|(known, _)| *known == name)?;
    Some(format!("`{name}`: {line}"))
}

/// Where the first word is that is neither a flag of `run` nor a flag's value.
fn first_word(words: &[String], from: usize) -> Option<usize> {
    let run = Cli::command().find_subcommand("run").cloned()?;
    let takes_value = |flag: &str| {
        let is_it = |arg: &&Arg| {
            let long = arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long));
            long || arg.get_short().is_some_and(|short| flag.strip_prefix('-') == Some(short.to_string().as_str()))
        };
        run.get_arguments().find(is_it).is_some_and(|arg| arg.get_action().takes_values())
    };
    let mut place = from;
    while words.get(place)?.starts_with('-') {
        place += if takes_value(&words[place]) { 2 } else { 1 };
    }
    Some(place)
}

/// The line for a command that does not stand after `--`, where clap found that it makes no sense.
pub(crate) fn command_answer(words: &[String]) -> Option<String> {
    if let Some(place) = words.iter().position(|word| word == "--") {
        let command = words.get(place + 1..)?.join(" ");
        return match words[..place].iter().find(|word| !word.starts_with('-')).map(String::as_str) {
            None if command.is_empty() => Some("a command is needed: `dstack --help` lists them".to_owned()),
            None => Some(format!("a command is run by `dstack run -- {command}`")),
            Some("run") if command.is_empty() => {
                Some("nothing stands after `--`: `dstack run -- CMD` runs a command".to_owned())
            }
            Some(_) => None,
        };
    }
    // The workflow's name would be the first word that is no flag, so what follows it is a command.
    let run = words.iter().position(|word| word == "run")?;
    let start = first_word(words, run + 1)?;
    let command = words.get(start..)?;
    let flags: String = words[run + 1..start].iter().map(|flag| format!("{flag} ")).collect();
    let is_command = command.get(1).is_some_and(|second| !second.starts_with("--"));
    is_command.then(|| {
        format!(
            "`{}` is taken for the name of a workflow: a command stands after `--`: `dstack run {flags}-- {}`",
            command[0],
            command.join(" ")
        )
    })
}

/// The line for a command line that begins with these words, if it is one of another product.
pub(crate) fn answer(words: &[String]) -> Option<String> {
    let find = |phrase: &str| WORDS.iter().find(|(word, _)| *word == phrase);
    let two = words.get(..2).and_then(|two| find(&two.join(" ")));
    let (word, line) = two.or_else(|| find(words.first()?))?;
    Some(format!("`dstack {word}`: {line}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_foreign_word_has_one_line_and_is_no_word_of_ours() {
        'table: for (phrase, _) in WORDS {
            let words: Vec<String> = phrase.split(' ').map(str::to_owned).collect();
            let line = answer(&words).expect("it is in the table");
            assert!(line.contains(phrase) && !line.contains('\n') && line.len() <= 160, "{line}");
            assert_eq!(WORDS.iter().filter(|(other, _)| other == phrase).count(), 1, "{phrase} stands there once");
            let mut command = Cli::command();
            for word in &words {
                let Some(next) = command.find_subcommand(word) else { continue 'table };
                command = next.clone();
            }
            panic!("{phrase} is a command of ours");
        }
    }

    #[test]
    fn each_line_names_only_commands_that_there_are() {
        for (_, line) in WORDS {
            for named in line.split("`dstack ").skip(1) {
                let words = named.split('`').next().unwrap_or_default().split(' ');
                let mut command = Cli::command();
                for word in words {
                    match command.find_subcommand(word) {
                        Some(next) => command = next.clone(),
                        None => break,
                    }
                }
                assert_ne!(command.get_name(), "dstack", "{line}");
            }
        }
    }

    #[test]
    fn flags_of_others_are_none_of_ours_and_have_one_line() {
        fn has(command: &clap::Command, flag: &str) -> bool {
            command.get_arguments().any(|arg| arg.get_long() == flag.strip_prefix("--"))
                || command.get_subcommands().any(|child| has(child, flag))
        }
        for (flag, _) in FLAGS {
            assert!(!has(&Cli::command(), flag), "{flag} is ours");
            let line = flag_answer(&format!("{flag}=x")).expect("it is in the table");
            assert!(line.contains(flag) && line.contains("`dstack ") && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_command_without_its_dashes_is_shown_where_they_stand() {
        let answer = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            command_answer(&words).unwrap_or_default()
        };
        assert!(answer("run --local echo hi").ends_with("`dstack run --local -- echo hi`"));
        assert!(answer("run python train.py --epochs 3").ends_with("`dstack run -- python train.py --epochs 3`"));
        assert!(answer("-- echo hi").ends_with("`dstack run -- echo hi`"));
        assert!(answer("run --").contains("`dstack run -- CMD`"));
        assert_eq!(answer("run train --nosuch 3"), "");
        assert_eq!(answer("ps x y"), "");
    }

    #[test]
    fn our_own_words_have_no_such_line() {
        assert_eq!(answer(&["run".to_owned(), "train".to_owned()]), None);
        assert_eq!(answer(&[]), None);
    }
}
