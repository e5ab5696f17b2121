//! `kms man`.
use crate::{
    args::{Args, ManArgs},
    failure::Failure,
    output::print,
};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use libkms::NewFile;
use std::{io::Write, path::Path, process::ExitCode};

pub(crate) fn run(args: &ManArgs) -> Result<ExitCode, Failure> {
    // Without the subcommand `help`: there are pages.
    let mut program = Args::command().disable_help_subcommand(true);
    program.build();
    match &args.directory {
        None => print(&text(&Man::new(program))?)?,
        Some(directory) => write(program, directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(page: &Man) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    page.render(&mut text).map_err(|e| Failure::io("cannot write a manual page", &e))?;
    Ok(text)
}

/// A page for the command, and for each one below it.
fn write(command: Command, directory: &Path) -> Result<(), Failure> {
    for below in command.get_subcommands() {
        write(below.clone(), directory)?;
    }
    let page = Man::new(command);
    let path = directory.join(page.get_filename());
    let mut file = NewFile::create(&path, false)?;
    let written = file.write_all(&text(&page)?);
    written.map_err(|e| Failure::io(&format!("cannot write {}", path.display()), &e))?;
    Ok(file.commit(true)?)
}
