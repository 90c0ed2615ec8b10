//! The forms of shell that the laws' jobs are written in, understood without a shell.

use std::collections::BTreeMap;

use super::attempt::{Files, Simulated};
use super::files::normal;
use crate::host::Job;
use crate::model::{Exit, ExitCause, Program, Span};

/// What a job has done so far.
struct Shell<'a> {
    args: &'a [String],
    env: BTreeMap<&'a str, &'a str>,
    folder: &'a str,
    files: Files,
    done: Simulated,
}

/// What the job would do if left alone. A form that is not known is a command that is not found.
pub(super) fn interpret(job: &Job, secrets: &BTreeMap<String, String>, files: Files) -> Simulated {
    let both = job.env.iter().chain(secrets).map(|(name, value)| (name.as_str(), value.as_str()));
    let mut shell = Shell {
        args: &job.args,
        env: both.collect(),
        folder: job.working_dir.as_deref().unwrap_or_default(),
        files,
        done: Simulated {
            duration: Span::ZERO,
            exit: Exit::exited(0),
            output: Vec::new(),
            files: Vec::new(),
            deaf_from: None,
        },
    };
    let lines: Vec<String> = match &job.program {
        Program::Commands(lines) => lines.iter().flat_map(|line| line.lines().map(str::to_owned)).collect(),
        Program::Argv(words) => vec![words.join(" ")],
    };
    for line in lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match shell.line(line) {
            Ok(None) => {}
            Ok(Some(exit)) => {
                shell.done.exit = exit;
                break;
            }
            Err(Unknown) => {
                shell.print(format!("{line}: not found\n").into_bytes());
                shell.done.exit = Exit::exited(127);
                break;
            }
        }
    }
    shell.done
}

/// The line is none of the known forms.
struct Unknown;

impl Shell<'_> {
    /// Runs a line; says how the job ends, if it does so here.
    fn line(&mut self, line: &str) -> Result<Option<Exit>, Unknown> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "true" | ":" => Ok(None),
            "false" => Ok(Some(Exit::exited(1))),
            "exit" => rest.parse().map(|code| Some(Exit::exited(code))).map_err(|_| Unknown),
            "kill" => {
                let number = rest.strip_prefix('-').and_then(|rest| rest.strip_suffix(" $$")).ok_or(Unknown)?;
                let number = number.parse::<u8>().map_err(|_| Unknown)?;
                Ok(Some(Exit { code: number.wrapping_add(128), cause: ExitCause::Signal(number) }))
            }
            "sleep" => {
                let length = seconds(rest).ok_or(Unknown)?;
                let micros = self.done.duration.as_micros().saturating_add(length.as_micros());
                self.done.duration = Span::from_micros(u64::try_from(micros).unwrap_or(0));
                Ok(None)
            }
            "trap" if rest == "'' TERM" => {
                self.done.deaf_from = Some(self.done.duration);
                Ok(None)
            }
            "printf" => {
                let bytes = self.printed(rest)?;
                self.print(bytes);
                Ok(None)
            }
            "cat" => Ok(self.cat(rest)),
            "mkdir" => {
                let folder = normal(self.folder, rest.strip_prefix("-p ").ok_or(Unknown)?).ok_or(Unknown)?;
                self.write(format!("{folder}/"), Vec::new());
                Ok(None)
            }
            "echo" => {
                let (text, file) = rest.split_once(" > ").unwrap_or((rest, ""));
                let content = format!("{text}\n").into_bytes();
                if file.is_empty() {
                    self.print(content);
                } else {
                    let path = normal(self.folder, file).ok_or(Unknown)?;
                    self.write(path, content);
                }
                Ok(None)
            }
            _ => Err(Unknown),
        }
    }

    fn print(&mut self, bytes: Vec<u8>) {
        self.done.output.push((self.done.duration, bytes));
    }

    fn write(&mut self, path: String, content: Vec<u8>) {
        self.files.insert(path.clone(), content.clone());
        self.done.files.push((self.done.duration, path, content));
    }

    fn cat(&mut self, file: &str) -> Option<Exit> {
        let content = normal(self.folder, file).and_then(|path| self.files.get(&path).cloned());
        if let Some(content) = content {
            self.print(content);
            None
        } else {
            self.print(format!("cat: {file}: No such file or directory\n").into_bytes());
            Some(Exit::exited(1))
        }
    }

    fn printed(&self, rest: &str) -> Result<Vec<u8>, Unknown> {
        if let Some(name) = rest.strip_prefix("'%s' \"$").and_then(|rest| rest.strip_suffix('"')) {
            let argument = name.parse::<usize>().ok().map(|number| self.args.get(number.wrapping_sub(1)));
            let value = match argument {
                Some(argument) => argument.map_or("", String::as_str),
                None => self.env.get(name).copied().unwrap_or_default(),
            };
            return Ok(value.as_bytes().to_vec());
        }
        let text = rest.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).ok_or(Unknown)?;
        unescaped(text).ok_or(Unknown)
    }
}

/// The bytes that `printf` makes of a format without conversions.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' | b'\'' => return None,
            b'\\' => match bytes.next()? {
                b'n' => out.push(b'\n'),
                b'\\' => out.push(b'\\'),
                first @ b'0'..=b'7' => {
                    let digits = [first, bytes.next()?, bytes.next()?];
                    let number = u16::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()?;
                    out.push(u8::try_from(number).ok()?);
                }
                _ => return None,
            },
            plain => out.push(plain),
        }
    }
    Some(out)
}

/// Seconds with at most six decimals.
fn seconds(text: &str) -> Option<Span> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 6 {
        return None;
    }
    let micros = format!("{decimals:0<6}").parse::<u64>().ok()?;
    Some(Span::from_micros(whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?))
}
