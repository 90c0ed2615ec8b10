//! The one check of environment variables' names, whatever form they are given in.

use super::ProjectError;
use super::yaml::Text;

/// Whether a POSIX shell takes it as a variable's name.
pub(super) fn is_shell_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(allowed) && !name.as_bytes()[0].is_ascii_digit()
}

/// Why the name may not be given in `env`, if it may not.
fn reserved(name: &str) -> Option<&'static str> {
    match name {
        "BASH_ENV" => Some("it would run a file before the commands"),
        _ if name.starts_with("LD_") => Some("it would change which libraries every program loads"),
        _ if name.starts_with("DSTACK_") => Some("names that begin with DSTACK_ are set by dstack"),
        _ => None,
    }
}

/// Names that a variable may not be exported under, since the commands would then not be found, or find something else.
const SHELLS_OWN: [&str; 8] = ["HOME", "IFS", "PATH", "PWD", "RUN_NAME", "JOB_ID", "run_name", "job_id"];

/// Checks a name of `env`.
pub(super) fn check_env_name(name: &Text) -> Result<(), ProjectError> {
    if !is_shell_name(&name.text) {
        let near: String = name.text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let hint = if is_shell_name(&near) { format!(" (for example: {near})") } else { String::new() };
        return Err(name.error(format!(
            "{:?} is not the name of an environment variable: letters, digits and _, not beginning with a digit{hint}",
            name.text
        )));
    }
    match reserved(&name.text) {
        Some(reason) => Err(name.error(format!("{} cannot be set: {reason}", name.text))),
        None => Ok(()),
    }
}

/// The names that a variable is exported under: upper case first, then its own spelling where a shell can say it.
pub(super) fn exported(variable: &str) -> Vec<String> {
    let mut names = vec![variable.to_ascii_uppercase().replace('-', "_")];
    if is_shell_name(variable) && variable != names[0] {
        names.push(variable.to_owned());
    }
    names
}

/// Checks a variable's name and those that it is exported under.
pub(super) fn check_variable_name(name: &Text) -> Result<(), ProjectError> {
    if !is_shell_name(&name.text.replace('-', "_")) || name.text.starts_with('-') {
        return Err(name.error(format!(
            "{:?} is not a valid variable name: letters, digits, _ and -, beginning with a letter",
            name.text
        )));
    }
    for exported in exported(&name.text) {
        if SHELLS_OWN.contains(&exported.as_str()) {
            return Err(name.error(format!("variable `{}` would replace ${exported}: give it another name", name.text)));
        }
        if let Some(reason) = reserved(&exported) {
            return Err(name.error(format!("variable `{}` would be exported as {exported}: {reason}", name.text)));
        }
    }
    Ok(())
}
