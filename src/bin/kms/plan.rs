//! Which files become which.
use crate::{
    args::Files,
    failure::{Failure, Tally, say},
    text::visible_path,
};
use libkms::fleet::{SUFFIX, files_below};
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

#[derive(Clone)]
pub(crate) enum Target {
    Stdout,
    /// What -o names: a device or a fifo will do.
    Named(PathBuf),
    /// A usual name. Whoever put a fifo there would be given what is written.
    File(PathBuf),
    /// Of a tree that is rebuilt elsewhere: the directories above it are made.
    Below(PathBuf),
    Nowhere,
}

/// What outputs there are, and what they are called where nobody says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    Sealed,
    Opened,
    /// On standard output unless there is -o.
    Part,
    Nothing,
}

pub(crate) struct Job {
    from: Source,
    to: Result<Target, Failure>,
}

/// What the selectors name. What is wrong with one file fails that file alone.
pub(crate) fn jobs(files: &Files, outputs: Outputs) -> Result<Vec<Job>, Failure> {
    let place = Place::of(files)?;
    let mut jobs = Vec::new();
    if files.recursive.is_empty() || !files.files.is_empty() {
        let job = |from| Job { to: place.target(&from, None, outputs), from };
        jobs.extend(sources(&files.files)?.into_iter().map(job));
    }
    for directory in &files.recursive {
        for found in files_below(directory) {
            let (path, read) = match found {
                Ok(path) => (path, Ok(())),
                Err(failed) => (failed.path, Err(failed.error)),
            };
            let is_sealed = path.as_os_str().as_encoded_bytes().ends_with(SUFFIX.as_bytes());
            if read.is_ok() && is_sealed == (outputs == Outputs::Sealed) {
                if is_sealed {
                    // Whoever goes on to delete DIR must know.
                    say(&format!("{}: skipped, since it ends in .kms", visible_path(&path)));
                }
                continue;
            }
            let below = path.strip_prefix(directory).unwrap_or(&path).to_owned();
            let from = Source::File(path);
            let to = match read {
                Ok(()) => place.target(&from, Some(&below), outputs),
                Err(e) => Err(e.into()),
            };
            jobs.push(Job { from, to });
        }
    }
    let mut targets = HashSet::new();
    for job in &jobs {
        if let Ok(Target::File(path) | Target::Below(path)) = &job.to
            && !targets.insert(path)
        {
            return Err(Failure::usage(&format!("two inputs would become {}", path.display())));
        }
    }
    Ok(jobs)
}

/// The files named, or standard input.
pub(crate) fn sources(files: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    if files.is_empty() && io::stdin().is_terminal() {
        return Err(Failure::usage("name a FILE, or - for standard input; --help tells more"));
    }
    if files.iter().filter(|f| is_dash(f)).count() > 1 {
        return Err(Failure::usage("- stands twice: standard input can be read once"));
    }
    let source = |f: &PathBuf| if is_dash(f) { Source::Stdin } else { Source::File(f.clone()) };
    Ok(if files.is_empty() { vec![Source::Stdin] } else { files.iter().map(source).collect() })
}

/// Tries every job. The exit code is that of the failures if they agree.
pub(crate) fn each(jobs: Vec<Job>, work: impl Fn(&Source, &Target) -> Result<(), Failure>) -> ExitCode {
    let mut tally = Tally::default();
    for job in jobs {
        if let Err(failure) = job.to.and_then(|to| work(&job.from, &to)) {
            tally.add(&failure, &job.from.name());
        }
    }
    tally.code()
}

impl Job {
    pub(crate) fn reads_stdin(&self) -> bool {
        matches!(self.from, Source::Stdin)
    }
}

impl Source {
    /// To be shown.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "-".into(),
            Self::File(path) => visible_path(path),
        }
    }
}

/// Where outputs go.
enum Place {
    Beside,
    Directory(PathBuf),
    Exactly(Target),
}

impl Place {
    fn of(files: &Files) -> Result<Self, Failure> {
        let several = files.files.len() > 1 || !files.recursive.is_empty();
        match &files.output {
            None => Ok(Self::Beside),
            Some(output) if is_dash(output) && !several => Ok(Self::Exactly(Target::Stdout)),
            Some(output) if output.is_dir() => Ok(Self::Directory(output.clone())),
            Some(_) if several => Err(Failure::usage("several inputs: -o must name an existing directory")),
            Some(output) => Ok(Self::Exactly(Target::Named(output.clone()))),
        }
    }

    /// `below`: where it stands in its tree.
    fn target(&self, from: &Source, below: Option<&Path>, outputs: Outputs) -> Result<Target, Failure> {
        match (self, from) {
            (_, Source::File(path)) if path.is_dir() => {
                Err(Failure::usage("is a directory: -r takes what is below it"))
            }
            _ if outputs == Outputs::Nothing => Ok(Target::Nowhere),
            (Self::Exactly(target), _) => Ok(target.clone()),
            (Self::Beside, Source::File(path)) if outputs != Outputs::Part => {
                Ok(Target::File(path.with_file_name(new_name(path, outputs)?)))
            }
            (Self::Beside, _) => Ok(Target::Stdout),
            (Self::Directory(_), Source::Stdin) => {
                Err(Failure::usage("standard input has no name: -o must name a file"))
            }
            (Self::Directory(directory), Source::File(path)) => {
                let name = new_name(path, outputs)?;
                Ok(match below {
                    Some(below) => Target::Below(directory.join(below).with_file_name(name)),
                    None => Target::File(directory.join(name)),
                })
            }
        }
    }
}

fn new_name(path: &Path, outputs: Outputs) -> Result<OsString, Failure> {
    let name = path.file_name().ok_or_else(|| Failure::usage("names no file"))?;
    if outputs == Outputs::Sealed {
        return Ok([name, OsStr::new(SUFFIX)].into_iter().collect());
    }
    // What is left must be a name: `..` is none.
    let left = path.file_stem().filter(|s| Path::new(s).file_name() == Some(s));
    let is_sealed = path.extension() == Some(OsStr::new(&SUFFIX[1..]));
    let said = || Failure::usage("its name does not end in .kms: name the output with -o");
    left.filter(|_| is_sealed).map(Into::into).ok_or_else(said)
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}
