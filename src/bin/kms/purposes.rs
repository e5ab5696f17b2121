//! `kms purposes`.
use crate::{
    args::PurposesArgs,
    failure::Failure,
    output::print,
    text::{json, visible},
};
use libkms::{EncryptionContext, KeySet, Wait};
use serde::Serialize;
use std::{collections::BTreeMap, process::ExitCode};

pub(crate) fn run(args: &PurposesArgs) -> Result<ExitCode, Failure> {
    let keys = KeySet::load(&args.config).wait()?;
    let text = if args.json {
        let all: Vec<_> = keys.iter().map(|(name, scope)| Report::of(name, scope.context())).collect();
        json(&all)
    } else {
        keys.iter().map(|(name, scope)| line(name, scope.context())).collect()
    };
    print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The members are told in the help: their names stay.
#[derive(Serialize)]
struct Report<'a> {
    purpose: &'a str,
    context: BTreeMap<&'a str, &'a str>,
}

impl<'a> Report<'a> {
    fn of(purpose: &'a str, context: &'a EncryptionContext) -> Self {
        Self { purpose, context: context.iter().collect() }
    }
}

fn line(name: &str, context: &EncryptionContext) -> String {
    let pairs = context.iter().map(|(k, v)| format!("  {}", visible(&format!("{k}={v}"))));
    format!("{name}{}\n", pairs.collect::<String>())
}
