//! `kms k8s status` and `rotate`.
use super::transformer::{config, transformer};
use crate::{
    args::{EtcdArgs, RotateArgs, StatusArgs},
    failure::{Failure, Tally, say},
    progress,
    text::{visible, visible_json, visible_path},
};
use libkms::{
    Error,
    fleet::etcd::{Etcd, EtcdTls, Rotate, Stored, Survey, Under, prefix_of},
    kubernetes::{self, EncryptionConfiguration, Transformer},
};
use serde_json::{Map, Value, json};
use std::{fs, path::Path, process::ExitCode};
use zeroize::Zeroizing;

pub(super) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let config = config(&args.config)?;
    let of = places(&args.etcd, &config)?;
    let etcd = connect(&args.etcd)?;
    let mut begins = kubernetes::Survey::new(&config);
    let (mut tally, mut found, mut told) = (Tally::default(), 0, Vec::new());
    for place in &of {
        let stored = place.stored(&etcd)?;
        let bar = progress::values(&place.resource, stored.count()?, args.json);
        let survey = Survey::of(&stored, |_, value| {
            begins.count(value);
            bar.inc(1);
        });
        let survey = survey.map_err(|e| place.failed(e))?;
        bar.finish_and_clear();
        found += survey.stale;
        place.tell(&mut tally, &survey.failures, survey.unreadable);
        if args.json {
            told.push(json_of(place, &survey));
        } else {
            table(place, &survey);
        }
    }
    if args.json {
        let counts: Map<_, _> = begins.counts().map(|(begin, n)| (begin.into(), n.into())).collect();
        print(&json!({ "resources": told, "counts": counts, "plain": begins.of("") }));
    }
    Ok(tally.code_or_found(found))
}

pub(super) fn rotate(args: &RotateArgs) -> Result<ExitCode, Failure> {
    let config = config(&args.config)?;
    let of = places(&args.etcd, &config)?;
    let etcd = connect(&args.etcd)?;
    let mut rotate = Rotate::new().dry_run(args.dry_run);
    if let Some(rate) = args.rate {
        rotate = rotate.per_second(rate);
    }
    if let Some(jobs) = args.jobs {
        rotate = rotate.workers(jobs);
    }
    let (mut tally, mut told) = (Tally::default(), Vec::new());
    for place in &of {
        let stored = place.stored(&etcd)?;
        let bar = progress::values(&place.resource, stored.count()?, args.json);
        let done = rotate.run(&stored, |_| bar.inc(1)).map_err(|e| place.failed(e))?;
        bar.finish_and_clear();
        place.tell(&mut tally, &done.failures, done.failed);
        if args.json {
            told.push(json!({
                "resource": place.resource, "prefix": place.prefix, "rotated": done.rotated,
                "current": done.current, "conflicts": done.conflicts, "failed": done.failed,
                "failures": failures(&done.failures),
            }));
        } else {
            let what = if args.dry_run { "to rotate" } else { "rotated" };
            println!(
                "{}: {} {what}, {} current, {} failed",
                visible(&place.resource),
                done.rotated,
                done.current,
                done.failed
            );
        }
    }
    if args.json {
        print(&json!({ "resources": told }));
    }
    Ok(tally.code())
}

/// A resource in etcd.
struct Place {
    resource: String,
    prefix: String,
    transformer: Transformer,
}

impl Place {
    fn stored<'a>(&'a self, etcd: &'a Etcd) -> Result<Stored<'a>, Failure> {
        Ok(Stored::new(etcd, &*self.prefix, &self.transformer)?)
    }

    fn failed(&self, error: Error) -> Failure {
        Failure::from(error).about(&visible(&self.resource))
    }

    fn tell(&self, tally: &mut Tally, failures: &[(String, Error)], all: u64) {
        for (path, error) in failures {
            tally.add(&error.clone().into(), &visible(path));
        }
        let untold = all.saturating_sub(failures.len() as u64);
        if untold > 0 {
            say(&format!("{}: and {untold} more", visible(&self.resource)));
        }
    }
}

fn places(args: &EtcdArgs, config: &EncryptionConfiguration) -> Result<Vec<Place>, Failure> {
    let mut names = args.resource.clone();
    if names.is_empty() {
        names = config.entries().iter().flat_map(|entry| entry.resources()).cloned().collect();
        names.dedup();
    }
    names
        .into_iter()
        .map(|resource| {
            let prefix = prefix_of(&args.etcd_prefix, &resource).ok_or_else(|| {
                Failure::usage(&format!(
                    "{resource}: name the resources that are meant, with --resource, and with their group, as \
                     deployments.apps"
                ))
            })?;
            Ok(Place { transformer: transformer(config, &resource)?, resource, prefix })
        })
        .collect()
}

fn connect(args: &EtcdArgs) -> Result<Etcd, Failure> {
    if args.cacert.is_none() && args.etcd.iter().any(|url| url.starts_with("https:")) {
        return Err(Failure::usage("etcd: https needs --cacert, the authority that signed its certificate"));
    }
    let tls = args.cacert.as_deref().map(|ca| tls(args, ca)).transpose()?;
    Ok(match (&args.user, &args.password_file) {
        (Some(name), Some(file)) => {
            let password = Zeroizing::new(String::from_utf8_lossy(&read(file)?).into_owned());
            let password = password.lines().next().unwrap_or_default();
            Etcd::connect_as(&args.etcd, tls.as_ref(), name, password)?
        }
        _ => Etcd::connect(&args.etcd, tls.as_ref())?,
    })
}

fn tls(args: &EtcdArgs, ca: &Path) -> Result<EtcdTls, Failure> {
    let client = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => Some((read(cert)?.to_vec(), read(key)?.to_vec())),
        _ => None,
    };
    Ok(EtcdTls { ca: read(ca)?.to_vec(), client })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let read = fs::read(path);
    read.map(Zeroizing::new).map_err(|e| Failure::io(&format!("cannot read {}", visible_path(path)), &e))
}

fn table(place: &Place, survey: &Survey) {
    for (under, count) in &survey.under {
        let Under { format, name, key_id, stale, .. } = under;
        let key_id = key_id.as_deref().map(|id| format!("  {}", visible(id))).unwrap_or_default();
        let stale = if *stale { "  stale" } else { "" };
        println!("{}  {format}  {}{key_id}  {count}{stale}", visible(&place.resource), visible(name));
    }
    let values: u64 = survey.under.values().sum();
    let (stale, plain, unreadable) = (survey.stale, survey.plain, survey.unreadable);
    let resource = visible(&place.resource);
    say(&format!("{resource}: {values} values read, {stale} stale, {plain} plain, {unreadable} unreadable"));
}

fn json_of(place: &Place, survey: &Survey) -> Value {
    let under = survey.under.iter().map(|(under, values)| {
        let Under { format, name, key_id, stale, .. } = under;
        json!({ "provider": format.to_string(), "key": name, "key_id": key_id, "stale": stale, "values": values })
    });
    json!({
        "resource": place.resource, "prefix": place.prefix,
        "values": survey.under.values().sum::<u64>() + survey.unreadable,
        "stale": survey.stale, "plain": survey.plain, "unreadable": survey.unreadable,
        "under": under.collect::<Vec<_>>(), "failures": failures(&survey.failures),
    })
}

fn failures(all: &[(String, Error)]) -> Vec<Value> {
    let told = |(path, error): &(String, Error)| {
        let (exit_code, error) = Failure::from(error.clone()).into_parts();
        json!({ "path": path, "error": error, "exit_code": exit_code })
    };
    all.iter().map(told).collect()
}

fn print(value: &Value) {
    let text = serde_json::to_string_pretty(value).expect("numbers and strings");
    println!("{}", visible_json(&text));
}
