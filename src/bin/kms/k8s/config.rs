//! `kms k8s config new`, `add-key`, `promote`, `drop-key`.
use super::file;
use crate::{
    args::{ChangedArgs, ConfigNewArgs, NewPluginArgs, SurveyArgs},
    failure::{Failure, say},
    text::{visible, visible_path},
};
use base64ct::{Base64, Encoding};
use libkms::kubernetes::{
    ConfigurationText, EncryptionConfiguration, Gate, KeyRef, NewProvider, ProviderKind, Survey,
};
use serde::Deserialize;
use std::{
    borrow::Cow,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};
use zeroize::Zeroizing;

pub(super) fn new(args: &ConfigNewArgs) -> Result<(), Failure> {
    let writer = wanted(&args.key, &args.plugin)?;
    let text = ConfigurationText::create(&args.resource, &writer, !args.no_identity)?;
    file::write(&text, args.as_secret.as_deref(), &args.file, args.force)?;
    if args.file != Path::new("-") {
        let shown = visible_path(&args.file);
        say(&format!("made {shown}: back it up, nothing else reads what is stored under its keys"));
    }
    Ok(())
}

pub(super) fn add(of: &ChangedArgs, plugin: &NewPluginArgs) -> Result<(), Failure> {
    let new = wanted(&of.key, plugin)?;
    change(of, "is added: once every server has this file, promote it", |text| {
        Ok(text.add(&of.resource, &new)?)
    })
}

pub(super) fn promote(of: &ChangedArgs) -> Result<(), Failure> {
    let key = of.key.parse()?;
    change(of, "writes: once every server has this file, rewrite what is stored", |text| {
        Ok(text.promote(&of.resource, &key)?)
    })
}

pub(super) fn drop_key(of: &ChangedArgs, by: &SurveyArgs) -> Result<(), Failure> {
    let key = of.key.parse()?;
    change(of, "is gone: backups of etcd may still need it", |text| {
        let survey = survey(by, text.config())?;
        Ok(text.drop_key(&of.resource, &key, &survey)?)
    })
}

fn change(
    of: &ChangedArgs,
    said: &str,
    change: impl FnOnce(&mut ConfigurationText) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let old = file::read(&of.file)?;
    let gate = Gate { kms_v1: !of.no_kms_v1, reload: false };
    let mut text = file::parse(&of.file, &old, gate)?;
    change(&mut text)?;
    match &of.output {
        None => file::replace(&of.file, &old, &text)?,
        Some(path) => file::write(&text, of.as_secret.as_deref(), path, of.force)?,
    }
    say(&format!("{} {said}", visible(&of.key)));
    Ok(())
}

fn wanted(key: &str, plugin: &NewPluginArgs) -> Result<NewProvider, Failure> {
    let key: KeyRef = key.parse()?;
    match (key.kind, &plugin.endpoint) {
        (ProviderKind::Kms, Some(endpoint)) => Ok(NewProvider::Kms {
            name: key.name,
            endpoint: endpoint.clone(),
            timeout: plugin.timeout.clone(),
        }),
        (ProviderKind::Kms, None) => Err(Failure::usage("a plugin needs its --endpoint")),
        (_, Some(_)) => Err(Failure::usage("only a plugin, kms:NAME, has an --endpoint")),
        (ProviderKind::Identity, _) => Ok(NewProvider::Identity),
        (ProviderKind::AesCbc, _) if !plugin.legacy => Err(Failure::usage(
            "values under aescbc are neither authenticated nor bound to their place: secretbox:NAME is better, \
             kms:NAME best; --legacy makes an aescbc key all the same",
        )),
        _ => Ok(NewProvider::Key(key)),
    }
}

fn survey(by: &SurveyArgs, config: &EncryptionConfiguration) -> Result<Survey, Failure> {
    if let Some(path) = &by.survey {
        let json = file::read(path)?;
        return Survey::from_json(&json).map_err(|e| Failure::from(e).about(&visible_path(path)));
    }
    let path = by.values.as_deref().unwrap_or(Path::new("-"));
    let cannot = |e| Failure::io(&format!("cannot read {}", path.display()), &e);
    let (mut survey, mut some) = (Survey::new(config), false);
    let values = File::open(path).map_err(cannot)?;
    for (line, n) in BufReader::new(values).lines().zip(1..) {
        // What is stored plain is nobody else's.
        let line = Zeroizing::new(line.map_err(cannot)?);
        let value = value_of(&line).ok_or_else(|| {
            Failure::usage("no JSON object with a value in base64")
                .about(&format!("{}:{n}", visible_path(path)))
        })?;
        survey.count(&value);
        some = true;
    }
    if !some {
        let said = "no value in it: what made it may have failed";
        return Err(Failure::usage(said).about(&visible_path(path)));
    }
    Ok(survey)
}

#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    value: Cow<'a, str>,
}

fn value_of(line: &str) -> Option<Zeroizing<Vec<u8>>> {
    let stored: Stored<'_> = serde_json::from_str(line).ok()?;
    Base64::decode_vec(&stored.value).ok().map(Zeroizing::new)
}
