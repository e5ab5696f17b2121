//! `kms inspect`.
use crate::{
    args::InspectArgs,
    failure::{Failure, Tally},
    input::Input,
    plan::{Source, sources},
    text::{visible, visible_json},
};
use libkms::{Damage, Header, Suite};
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
    suite: u8,
    suite_name: &'static str,
    copies: u8,
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

impl Report {
    fn of(source: &Source) -> Result<Self, Failure> {
        let mut input = Input::open(source)?;
        let header = Header::read(&mut input)?;
        let sealed_size = match input.len {
            Some(len) => len,
            None => {
                let before = header.len() + header.read_ahead().len();
                let after = io::copy(&mut input, &mut io::sink()).map_err(libkms::Error::from)?;
                before as u64 + after
            }
        };
        let recipient = |r: &libkms::Recipient| Recipient {
            scheme: r.scheme.clone(),
            key_id: r.wrapped.key_id.to_string(),
            wrapped_length: r.wrapped.ciphertext.len(),
        };
        Ok(Self {
            file: match source {
                Source::Stdin => "-".into(),
                Source::File(path) => path.to_string_lossy().into_owned(),
            },
            suite: header.suite() as u8,
            suite_name: if header.suite() == Suite::OneShot { "one-shot" } else { "chunked" },
            copies: header.copies() as u8,
            damage: header.damage().map(|d| match d {
                Damage::FirstLost => "first_lost",
                Damage::SecondLost => "second_lost",
                _ => "differ",
            }),
            damage_text: header.damage().map(|d| d.to_string()),
            header_length: header.len(),
            commitment: header.commitment().iter().map(|b| format!("{b:02x}")).collect(),
            recipients: header.recipients().iter().map(recipient).collect(),
            stored_context: header
                .stored_context()
                .map(|c| c.iter().map(|(k, v)| (k.into(), v.into())).collect()),
            sealed_size,
            plaintext_size: header.plaintext_len(sealed_size).ok(),
            plaintext_size_authenticated: false,
        })
    }

    fn text(&self) -> String {
        let mut lines = vec![
            ("suite", format!("{}, {}", self.suite, self.suite_name)),
            ("header copies", self.copies.to_string()),
            ("header length", self.header_length.to_string()),
            ("commitment", self.commitment.clone()),
        ];
        lines.extend(self.damage_text.iter().map(|d| ("damage", d.clone())));
        for r in &self.recipients {
            lines.push((
                "recipient",
                format!("{} {}, {} bytes wrapped", r.scheme, r.key_id, r.wrapped_length),
            ));
        }
        match &self.stored_context {
            None => lines.push(("stored context", "none".into())),
            Some(c) if c.is_empty() => lines.push(("stored context", "empty".into())),
            Some(c) => lines.extend(c.iter().map(|(k, v)| ("stored context", format!("{k}={v}")))),
        }
        lines.push(("sealed size", self.sealed_size.to_string()));
        lines.push((
            "plaintext size",
            match self.plaintext_size {
                Some(n) => format!("{n}, told by the sealed size: not authenticated"),
                None => "unknown: no envelope has this size".into(),
            },
        ));
        let line = |(name, value): &(&str, String)| format!("  {name:<14}  {}\n", visible(value));
        visible(&self.file) + "\n" + &lines.iter().map(line).collect::<String>()
    }
}

fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("numbers and strings");
    visible_json(&text) + "\n"
}
