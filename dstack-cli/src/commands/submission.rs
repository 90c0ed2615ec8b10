//! What `dstack run` submits: workflows of a file, or a command without one.

use std::path::PathBuf;

use dstack_core::blob::Payload;
use dstack_core::model::{Name, Program, WorkflowSpec};
use dstack_core::project::{
    FileList, Project, ProjectError, WorkflowsFile, check_size, list_files_without, pack_files, plan,
};

use crate::app::{App, shown};
use crate::cli::{RunArgs, RunResources};
use crate::failure::{Failure, refused};
use crate::print;

/// A file of this many bytes is named before it is sent.
const LARGE_FILE_BYTES: u64 = 100 * 1024 * 1024;

/// Workflows to be submitted, and the folder that travels with them.
pub(crate) struct Work {
    pub workflows: Vec<WorkflowSpec>,
    pub root: PathBuf,
}

/// The workflows that the command line names.
pub(crate) fn work(app: &App, args: &RunArgs, mut variables: Vec<(String, String)>) -> Result<Work, Failure> {
    let project = Project::find(&app.folder)?;
    match (&args.workflow, args.argv.split_first()) {
        (Some(workflow), None) => {
            if let Some(flag) = args.resources.given() {
                return Err(Failure::Usage(format!(
                    "`{flag}` belongs to `dstack run {flag} ... -- CMD`; what a workflow needs is said by its \
                     `resources` in .dstack/workflows.yaml"
                )));
            }
            let Some(project) = project else {
                return Err(refused(format!(
                    "no .dstack/workflows.yaml here or above ({}): write one, or `dstack run -- CMD` runs a command",
                    app.folder.display()
                )));
            };
            if app.folder.canonicalize()? != project.root() {
                print::say(&format!("project: {}", project.root().display()));
            }
            let name: Name = workflow.parse().map_err(|error| refused(format!("{error}")))?;
            variables.extend(args.variables.iter().cloned());
            let file = project.load()?;
            let planned = plan(&file, &name, &variables, &|name| std::env::var(name).ok())?;
            planned.warnings.iter().for_each(|warning| print::warn(&warning.to_string()));
            let workflows = planned.workflows.into_iter().map(with_output_at_once).collect();
            Ok(Work { workflows, root: project.root().to_owned() })
        }
        (None, Some((program, _))) => {
            if let Some((name, _)) = args.variables.first() {
                return Err(Failure::Usage(format!(
                    "`--var {name}=...` belongs to a WORKFLOW; a command gets variables as `-- env {name}=VALUE CMD`"
                )));
            }
            let root = project.map_or_else(|| app.folder.clone(), |project| project.root().to_owned());
            let spec = command(program, args)?;
            Ok(Work { workflows: vec![with_output_at_once(spec)], root })
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(Failure::Usage("either a WORKFLOW or `-- CMD` is run: `dstack run --help`".to_owned()))
        }
    }
}

/// Output goes to a file, which Python fills in large pieces: a run that is followed would show nothing for long. Whoever
/// sets the variable decides.
fn with_output_at_once(mut spec: WorkflowSpec) -> WorkflowSpec {
    spec.env.entry("PYTHONUNBUFFERED".to_owned()).or_insert_with(|| "1".to_owned());
    spec
}

/// A command as a workflow. What it needs is read by the same rules as in a file.
fn command(program: &str, args: &RunArgs) -> Result<WorkflowSpec, Failure> {
    let text = as_file(&args.resources);
    let file = WorkflowsFile::load_str("command line", &text, None).map_err(without_place)?;
    let name: Name = "command".parse().expect("it is a name");
    let planned = plan(&file, &name, &[], &|_| None).map_err(without_place)?;
    let mut spec = planned.workflows.into_iter().next().expect("the target is planned");
    spec.name = command_name(program).unwrap_or(name);
    spec.program = Program::Argv(args.argv.clone());
    Ok(spec)
}

/// What a command is called: like its program, as far as that makes a name.
fn command_name(program: &str) -> Option<Name> {
    let last = program.rsplit('/').next()?;
    let letters =
        last.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
    let text: String = letters.take(30).collect();
    text.trim_matches('-').parse().ok()
}

fn as_file(resources: &RunResources) -> String {
    let mut text = "workflows:\n- name: command\n  commands: [\"true\"]\n".to_owned();
    let needs = [
        ("cpu", &resources.cpu),
        ("memory", &resources.memory),
        ("gpu", &resources.gpu),
        ("disk", &resources.disk),
        ("purchase", &resources.purchase),
        ("instance-type", &resources.instance_type),
    ];
    let needs: Vec<_> = needs.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
    if !needs.is_empty() {
        text += "  resources:\n";
        for (key, value) in needs {
            text += &format!("    {key}: {}\n", scalar(value));
        }
    }
    if let Some(timeout) = &resources.timeout {
        text += &format!("  timeout: {}\n", scalar(timeout));
    }
    if !resources.artifacts.is_empty() {
        let paths: Vec<_> = resources.artifacts.iter().map(|path| quoted(path)).collect();
        text += &format!("  artifacts: [{}]\n", paths.join(", "));
    }
    text
}

/// Numbers as numbers, everything else as text.
fn scalar(value: &str) -> String {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number { value.to_owned() } else { quoted(value) }
}

fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// What is wrong with a flag stands in no file.
fn without_place(error: ProjectError) -> Failure {
    match error {
        ProjectError::At { message, .. } => refused(message),
        other => other.into(),
    }
}

/// The folder's files: says how many and how large they are, and refuses too many.
pub(crate) fn files(app: &App, work: &Work) -> Result<FileList, Failure> {
    // A home within the project is nobody's input: it holds secrets, and the blobs of what was sent before.
    let files = list_files_without(&work.root, app.home.path())?;
    print::say(&files_line(app, work, &files));
    if let Some(largest) = files.largest().filter(|file| file.size > LARGE_FILE_BYTES) {
        let size = dstack_core::model::Bytes(largest.size);
        print::warn(&format!("{} has {size}: a line in .gitignore leaves it out", largest.path.display()));
    }
    check_size(&files)?;
    Ok(files)
}

/// The files, packed.
pub(crate) fn pack(app: &App, work: &Work, files: &FileList) -> Result<Payload, Failure> {
    let packed = pack_files(&work.root, files, app.home.blobs().writer()?)?;
    if !packed.left_behind.is_empty() {
        print::warn(&format!("links that lead out of the folder are left out: {}", some(&packed.left_behind)));
    }
    Ok(packed.bytes.finish()?)
}

fn files_line(app: &App, work: &Work, files: &FileList) -> String {
    let size = dstack_core::model::Bytes(files.size);
    let plural = if files.files.len() == 1 { "file" } else { "files" };
    let ignored = if files.ignored > 0 { format!(", {} ignored", files.ignored) } else { String::new() };
    let root = if work.root == app.folder { ".".to_owned() } else { shown(&work.root, &app.folder) };
    format!("sending {} {plural} of {root} ({size}{ignored})", files.files.len())
}

/// The first few of a list.
pub(crate) fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(resources: RunResources) -> RunArgs {
        RunArgs {
            workflow: None,
            argv: vec!["/usr/bin/My_Tool.py".to_owned(), "a b".to_owned()],
            variables: Vec::new(),
            detach: false,
            follow: false,
            local: false,
            name: None,
            queue: false,
            raw: false,
            resources,
        }
    }

    #[test]
    fn a_command_is_a_workflow_named_like_its_program() {
        let resources = RunResources {
            cpu: Some("2".to_owned()),
            memory: Some("4GB".to_owned()),
            gpu: Some("a10g:2".to_owned()),
            artifacts: vec!["out dir".to_owned()],
            ..RunResources::default()
        };
        let args = args(resources);
        let spec = command(&args.argv[0], &args).expect("it is right");
        assert_eq!(spec.name.as_str(), "my-tool-py");
        assert_eq!(spec.program, Program::Argv(args.argv));
        assert_eq!(spec.needs.to_string(), "2 CPU, 4GB memory, 2 a10g GPU");
        assert_eq!(spec.artifacts, ["out dir"]);
    }

    #[test]
    fn what_a_command_needs_is_held_to_the_rules_of_the_file() {
        for wrong in ["16", "four", "4GB\n  image: x", "\""] {
            let args = args(RunResources { memory: Some(wrong.to_owned()), ..RunResources::default() });
            let failure = command(&args.argv[0], &args).expect_err("it is wrong");
            assert!(!failure.to_string().contains("command line:"), "{failure}");
        }
    }
}
