//! `dstack secrets …`: values that workflows get and nobody else sees.

use std::io::{IsTerminal as _, Read as _};

use dstack_core::project::nearest;
use dstack_core::secret::{MASKED_BYTES_MIN, Secret};
use serde_json::json;

use crate::app::App;
use crate::cli::SecretsCommand;
use crate::failure::{Failure, refused};
use crate::print;

/// Longest value.
const VALUE_BYTES_MAX: u64 = 64 * 1024;

pub(crate) fn run(app: &App, command: SecretsCommand) -> Result<(), Failure> {
    match command {
        SecretsCommand::Set { name, refused: None } => set(app, &name),
        SecretsCommand::Set { name, refused: Some(_) } => Err(Failure::Usage(format!(
            "a value is never an argument, where everybody sees it: `printf %s \"$VALUE\" | dstack secrets set {name}`"
        ))),
        SecretsCommand::List { json: is_json } => {
            let names = app.home.secrets().list()?;
            if is_json {
                return print::json(&json!({ "secrets": names }));
            }
            let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
            print::results(lines.as_bytes())
        }
        SecretsCommand::Remove { name } => remove(app, &name),
    }
}

fn set(app: &App, name: &str) -> Result<(), Failure> {
    let value = if std::io::stdin().is_terminal() {
        rpassword::prompt_password(format!("Value of {name} (not shown): ")).map_err(Failure::Io)?
    } else {
        let mut value = String::new();
        let read = std::io::stdin().lock().take(VALUE_BYTES_MAX + 1).read_to_string(&mut value);
        read.map_err(|error| refused(format!("the value cannot be read from standard input: {error}")))?;
        if value.len() as u64 > VALUE_BYTES_MAX {
            return Err(refused(format!("a value holds at most {VALUE_BYTES_MAX} bytes")));
        }
        // The newline that `echo` adds is not meant.
        value.strip_suffix('\n').map(str::to_owned).unwrap_or(value)
    };
    if value.is_empty() {
        return Err(refused(format!("the value is empty: `printf %s \"$VALUE\" | dstack secrets set {name}`")));
    }
    let is_short = value.len() < MASKED_BYTES_MIN;
    app.home.create()?;
    app.home.secrets().set(name, &Secret::new(value))?;
    print::say(&format!("secret {name} is kept: workflows submitted from now on get it"));
    if is_short {
        print::warn(&format!(
            "a value of fewer than {MASKED_BYTES_MIN} bytes is never masked in output: {name} is shown wherever it is printed"
        ));
    }
    Ok(())
}

fn remove(app: &App, name: &str) -> Result<(), Failure> {
    let secrets = app.home.secrets();
    let names = secrets.list()?;
    if !names.contains(name) || !secrets.remove(name)? {
        return Err(refused(match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("there is no secret named {name}: did you mean {near}?"),
            None => format!("there is no secret named {name}: `dstack secrets list` shows those there are"),
        }));
    }
    print::say(&format!(
        "secret {name} is removed: no workflow gets it any more; output that it was printed in stays masked, for which {} \
         keeps it",
        secrets.retired_path().display()
    ));
    Ok(())
}
