//! `kms plugin check`.
use crate::{
    args::CheckArgs,
    failure::Failure,
    output::print,
    text::{json, visible},
};
use libkms::{
    Wait,
    plugin::{Rule, check},
};
use serde::Serialize;
use std::{env, path::PathBuf, process::ExitCode};

pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let rules = check(&endpoint(&args.socket)?, args.timeout).wait()?;
    let text = if args.json {
        json(&rules.iter().map(Report::of).collect::<Vec<_>>())
    } else {
        rules.iter().map(line).collect()
    };
    print(text.as_bytes())?;
    let all = rules.iter().all(|rule| rule.passed);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A path is one, too.
fn endpoint(socket: &str) -> Result<String, Failure> {
    if socket.starts_with("unix:") {
        return Ok(socket.into());
    }
    let here = || env::current_dir().map_err(|e| Failure::io("the working directory", &e));
    let path = PathBuf::from(socket);
    let path = if path.is_absolute() { path } else { here()?.join(path) };
    let path = path.to_str().ok_or_else(|| Failure::usage("a socket's path is UTF-8"))?;
    Ok(format!("unix://{}", path.replace('%', "%25").replace('?', "%3F").replace('#', "%23")))
}

/// The members are told in the help: their names stay.
#[derive(Serialize)]
struct Report<'a> {
    rule: &'a str,
    passed: bool,
    told: &'a str,
}

impl<'a> Report<'a> {
    fn of(rule: &'a Rule) -> Self {
        Self { rule: rule.name, passed: rule.passed, told: &rule.told }
    }
}

fn line(rule: &Rule) -> String {
    let mark = if rule.passed { "ok    " } else { "FAILED" };
    format!("{mark} {:<22} {}\n", rule.name, visible(&rule.told))
}
