//! `kms inspect`.
use crate::{
    args::InspectArgs,
    failure::{Failure, Tally},
    header::{Begun, begin},
    input::Input,
    plan::{Source, sources},
    text::{json, visible},
};
use libkms::{Copies, Damage, Header, Reference, Suite};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
};

pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let (mut tally, mut reports) = (Tally::default(), Vec::new());
    let sources = sources(&args.files)?;
    for source in &sources {
        match Report::of(source) {
            Ok(report) => reports.push(report),
            Err(failure) => tally.add(&failure, &source.name()),
        }
    }
    let text = match &reports[..] {
        reports if !args.json => reports.iter().map(Report::text).collect(),
        [] if sources.len() == 1 => String::new(),
        [report] if sources.len() == 1 => json(report),
        reports => json(&reports),
    };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::io("cannot write standard output", &e))?;
    Ok(tally.code())
}

/// The members are told in the help: their names stay.
#[derive(Serialize)]
struct Report {
    file: String,
    kind: &'static str,
    suite: u8,
    suite_name: &'static str,
    copies: Option<u8>,
    damage: Option<&'static str>,
    #[serde(skip)]
    damage_text: Option<String>,
    header_length: usize,
    commitment: String,
    recipients: Vec<Recipient>,
    stored_context: Option<BTreeMap<String, String>>,
    sealed_size: u64,
    plaintext_size: Option<u64>,
    plaintext_size_authenticated: bool,
}

#[derive(Serialize)]
struct Recipient {
    scheme: String,
    key_id: String,
    wrapped_length: usize,
}

/// As JSON has it.
pub(crate) fn damage_name(damage: Damage) -> &'static str {
    match damage {
        Damage::FirstLost => "first_lost",
        Damage::SecondLost => "second_lost",
        _ => "differ",
    }
}

impl Report {
    fn of(source: &Source) -> Result<Self, Failure> {
        let mut input = Input::open(source)?;
        let file = match source {
            Source::Stdin => "-".into(),
            Source::File(path) => path.to_string_lossy().into_owned(),
        };
        match begin(&mut input)? {
            Begun::Envelope(begun) => {
                let header = Header::read(begun)?;
                let size = size(input, header.len() + header.read_ahead().len())?;
                Ok(Self::of_header(file, &header, size))
            }
            Begun::Reference(begun) => {
                let reference = Reference::read(begun)?;
                Ok(Self::of_reference(file, &reference, size(input, Reference::LEN)?))
            }
        }
    }

    fn of_header(file: String, header: &Header, sealed_size: u64) -> Self {
        let recipient = |r: &libkms::Recipient| Recipient {
            scheme: r.scheme.clone(),
            key_id: r.wrapped.key_id.to_string(),
            wrapped_length: r.wrapped.ciphertext.len(),
        };
        let is_alone = header.copies() == Copies::One && header.len() as u64 == sealed_size;
        Self {
            file,
            kind: if is_alone { "header" } else { "envelope" },
            suite: header.suite() as u8,
            suite_name: name(header.suite()),
            copies: Some(header.copies() as u8),
            damage: header.damage().map(damage_name),
            damage_text: header.damage().map(|d| d.to_string()),
            header_length: header.len(),
            commitment: hex(header.commitment()),
            recipients: header.recipients().iter().map(recipient).collect(),
            stored_context: header
                .stored_context()
                .map(|c| c.iter().map(|(k, v)| (k.into(), v.into())).collect()),
            sealed_size,
            plaintext_size: header.plaintext_len(sealed_size).ok(),
            plaintext_size_authenticated: false,
        }
    }

    fn of_reference(file: String, reference: &Reference, sealed_size: u64) -> Self {
        Self {
            file,
            kind: "reference",
            suite: reference.suite as u8,
            suite_name: name(reference.suite),
            copies: None,
            damage: None,
            damage_text: None,
            header_length: Reference::LEN,
            commitment: hex(&reference.commitment),
            recipients: Vec::new(),
            stored_context: None,
            sealed_size,
            plaintext_size: reference.plaintext_len(sealed_size).ok(),
            plaintext_size_authenticated: false,
        }
    }

    fn text(&self) -> String {
        let kind = match self.kind {
            "header" => "a header alone, kept for reference records",
            "reference" => "a reference record, whose header is kept elsewhere",
            kind => kind,
        };
        let mut lines =
            vec![("kind", kind.into()), ("suite", format!("{}, {}", self.suite, self.suite_name))];
        lines.extend(self.copies.map(|n| ("header copies", n.to_string())));
        lines.push(("header length", self.header_length.to_string()));
        lines.push(("commitment", self.commitment.clone()));
        lines.extend(self.damage_text.iter().map(|d| ("damage", d.clone())));
        for r in &self.recipients {
            lines.push((
                "recipient",
                format!("{} {}, {} bytes wrapped", r.scheme, r.key_id, r.wrapped_length),
            ));
        }
        match &self.stored_context {
            None if self.kind == "reference" => {}
            None => lines.push(("stored context", "none".into())),
            Some(c) if c.is_empty() => lines.push(("stored context", "empty".into())),
            Some(c) => lines.extend(c.iter().map(|(k, v)| ("stored context", format!("{k}={v}")))),
        }
        lines.push(("sealed size", self.sealed_size.to_string()));
        let plaintext = match self.plaintext_size {
            Some(n) => format!("{n}, told by the sealed size: not authenticated"),
            None => "unknown: no payload has this size".into(),
        };
        lines.extend((self.kind != "header").then_some(("plaintext size", plaintext)));
        let line = |(name, value): &(&str, String)| format!("  {name:<14}  {}\n", visible(value));
        visible(&self.file) + "\n" + &lines.iter().map(line).collect::<String>()
    }
}

/// Of all that is there, of which so much was read.
fn size(mut input: Input, read: usize) -> Result<u64, Failure> {
    let rest = |input: &mut Input| io::copy(input, &mut io::sink()).map_err(libkms::Error::from);
    Ok(match input.len {
        Some(len) => len,
        None => read as u64 + rest(&mut input)?,
    })
}

fn name(suite: Suite) -> &'static str {
    if suite == Suite::OneShot { "one-shot" } else { "chunked" }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
