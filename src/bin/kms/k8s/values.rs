//! `kms k8s decrypt` and `encrypt`.
use super::transformer::{config, transformer};
use crate::{args::ValueArgs, failure::Failure, text::visible_path};
use base64ct::{Base64, Encoding};
use libkms::{Error, Wait, kubernetes::Transformer};
use serde_json::{Map, Value};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
    process::ExitCode,
};
use zeroize::Zeroizing;

/// What is made of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Decrypt,
    Encrypt,
}

/// A line that is no value of etcd's: those have 1.5 MiB.
const MOST_LINE: u64 = 64 << 20;

pub(super) fn run(args: &ValueArgs, way: Way) -> Result<ExitCode, Failure> {
    let by = transformer(&config(&args.config)?, &args.resource)?;
    let input = open(&args.file)?;
    let mut output = BufWriter::new(io::stdout().lock());
    let wrote = |e: io::Error| Failure::io("cannot write standard output", &e);
    if args.lines {
        let some_failed = lines(&by, way, input, &mut output)?;
        output.flush().map_err(wrote)?;
        return Ok(ExitCode::from(u8::from(some_failed)));
    }
    let mut given = Zeroizing::new(Vec::new());
    let read = |e| Failure::io(&format!("cannot read {}", visible_path(&args.file)), &e);
    BufReader::new(input).read_to_end(&mut given).map_err(read)?;
    let (made, _) = make(&by, way, args.path.as_deref().unwrap_or_default(), &given)?;
    output.write_all(&made).and_then(|()| output.flush()).map_err(wrote)?;
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let opened = File::open(path);
    Ok(Box::new(opened.map_err(|e| Failure::io(&format!("cannot open {}", visible_path(path)), &e))?))
}

/// What was made, and whether what was read is stale.
fn make(by: &Transformer, way: Way, path: &str, given: &[u8]) -> Result<(Vec<u8>, bool), Error> {
    match way {
        Way::Decrypt => by.read(path, given).wait().map(|read| (read.plaintext, read.stale)),
        Way::Encrypt => by.write(path, given).wait().map(|value| (value, false)),
    }
}

/// An answer to each line, in order. Whether some were errors.
fn lines(by: &Transformer, way: Way, input: impl Read, output: &mut impl Write) -> Result<bool, Failure> {
    let (mut input, mut some_failed) = (BufReader::new(input), false);
    loop {
        let mut line = Zeroizing::new(String::new());
        let got = (&mut input).take(MOST_LINE).read_line(&mut line);
        if got.map_err(|e| Failure::io("cannot read the lines", &e))? == 0 {
            return Ok(some_failed);
        }
        if line.trim().is_empty() {
            continue;
        }
        let answer = answer(by, way, &line);
        some_failed |= answer.contains_key("error");
        let text = Zeroizing::new(Value::Object(answer).to_string());
        let wrote = |e: io::Error| Failure::io("cannot write standard output", &e);
        output.write_all(text.as_bytes()).and_then(|()| output.write_all(b"\n")).map_err(wrote)?;
        // Whoever asks line by line waits for the answer.
        if input.buffer().is_empty() {
            output.flush().map_err(wrote)?;
        }
    }
}

fn answer(by: &Transformer, way: Way, line: &str) -> Map<String, Value> {
    let mut object = match serde_json::from_str(line) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let told = told(by, way, &object);
    let (given, made) = names(way);
    match told {
        Ok((bytes, stale)) => {
            object.remove(given);
            object.insert(made.into(), Base64::encode_string(&bytes).into());
            if way == Way::Decrypt {
                object.insert("stale".into(), stale.into());
            }
        }
        Err(said) => {
            object.insert("error".into(), said.into());
        }
    }
    object
}

fn told(by: &Transformer, way: Way, object: &Map<String, Value>) -> Result<(Vec<u8>, bool), String> {
    let (given, _) = names(way);
    let text = |name| object.get(name).and_then(Value::as_str);
    let (Some(path), Some(bytes)) = (text("path"), text(given)) else {
        return Err(format!("a line is a JSON object with path and {given}"));
    };
    let bytes = Base64::decode_vec(bytes).map_err(|_| format!("{given} is not in base64"))?;
    make(by, way, path, &Zeroizing::new(bytes)).map_err(|e| e.to_string())
}

fn names(way: Way) -> (&'static str, &'static str) {
    match way {
        Way::Decrypt => ("value", "plaintext"),
        Way::Encrypt => ("plaintext", "value"),
    }
}
