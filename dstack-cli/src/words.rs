//! Words of older and other command lines, each with one line that names what there is instead.

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
    fn our_own_words_have_no_such_line() {
        assert_eq!(answer(&["run".to_owned(), "train".to_owned()]), None);
        assert_eq!(answer(&[]), None);
    }
}
