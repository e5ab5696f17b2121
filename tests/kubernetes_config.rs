//! EncryptionConfigurations: judged as kube-apiserver's own code judges them.
#[path = "kubernetes/mutate.rs"]
mod mutate;

use libkms::kubernetes::{
    ConfigurationText, EncryptionConfiguration, Gate, KeyRef, NewProvider, Provider, ProviderKind, Survey,
};
use mutate::{Random, mutated};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const RESOURCES: [&str; 8] = [
    "secrets",
    "configmaps",
    "pods",
    "deployments.apps",
    "statefulsets.apps",
    "widgets.example.com",
    "*.apps",
    "",
];
const ON: Gate = Gate { kms_v1: true, reload: false };
const OFF: Gate = Gate { kms_v1: false, reload: false };

#[test]
fn the_servers_own_files_are_judged_as_by_the_server() {
    let verdicts = recorded("verdicts.jsonl");
    let names: Vec<_> = files().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() == 22 && verdicts.iter().map(|v| v["name"].as_str().unwrap()).eq(&names));
    for (verdict, (name, bytes)) in verdicts.iter().zip(files()) {
        assert_eq!(verdict["on"], name.starts_with("valid"));
        assert_eq!(disagreement(verdict, &bytes), None, "{name}");
    }
}

#[test]
fn what_was_made_of_them_is_judged_as_by_the_server() {
    let verdicts = recorded("mutated.jsonl");
    let valid = verdicts.iter().filter(|v| v["on"] == true).count();
    assert!(verdicts.len() >= 300 && valid >= 100 && verdicts.len() - valid >= 100);
    for verdict in &verdicts {
        let text = verdict["text"].as_str().unwrap();
        assert_eq!(disagreement(verdict, text.as_bytes()), None, "{text}");
    }
}

#[test]
fn f35_neither_an_error_nor_debug_quotes_a_key() {
    let own: Vec<_> = files().into_iter().map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect();
    let is_key =
        |word: &&str| word.len() >= 20 && word.chars().all(|c| c.is_alphanumeric() || "+/=".contains(c));
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| c.is_whitespace() || "'\"{},".contains(c));
        words.filter(is_key).map(Into::into).collect()
    };
    let (mut random, mut refused) = (Random::new(35), 0);
    for _ in 0..4_000 {
        let text = mutated(&own, &mut random);
        let said = match EncryptionConfiguration::parse(text.as_bytes(), ON) {
            Ok(config) => format!("{config:?}"),
            Err(e) => {
                refused += 1;
                format!("{e} {e:?}")
            }
        };
        // EncryptionConfiguration is a word of that kind, too.
        for key in words(&text).iter().filter(|word| word.ends_with('=') || word.contains(char::is_numeric)) {
            assert!(!said.contains(&key[..12]), "{said}\n{text}");
        }
    }
    assert!((1_000..4_000).contains(&refused));
}

#[test]
fn a_key_that_comes_and_goes_leaves_every_byte() {
    let own: Vec<_> = files().into_iter().map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect();
    let (mut random, mut valid, mut same) = (Random::new(7), 0, 0);
    for _ in 0..6_000 {
        let text = mutated(&own, &mut random);
        let Ok(mut file) = ConfigurationText::new(text.as_bytes(), ON) else { continue };
        let resource = file.config().entries()[0].resources()[0].clone();
        let (new, before) = (new_key(), lists(file.config()));
        valid += 1;
        // Refused where the list has an anchor, as the comma behind a last item.
        if file.add(&resource, &NewProvider::Key(new.clone())).is_err() {
            assert_eq!(file.text(), text);
            continue;
        }
        let line = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        assert!(
            line(&text).is_subset(&line(file.text())) || text.contains(['{', '[']),
            "{text}\n{}",
            file.text()
        );
        file.drop_key(&resource, &new, &Survey::new(file.config())).unwrap();
        assert_eq!(lists(file.config()), before);
        assert_eq!(file.text().trim_end(), text.trim_end());
        same += 1;
    }
    eprintln!("{same} of {valid}");
    assert!(valid > 500 && same > valid * 8 / 10, "{same} of {valid}");
}

/// `LIBKMS_CONFIGS` files of the seed `LIBKMS_SEED`; with `LIBKMS_RECORD` the first of them, and the
/// verdicts on the server's own, become test data.
#[test]
#[ignore = "builds the server's packages with Go"]
fn the_servers_parser_agrees() {
    let folder = env::temp_dir().join(format!("libkms-configs-{}", std::process::id()));
    let number = |name, usual| env::var(name).map_or(usual, |n| n.parse().unwrap());
    let (count, mut random) = (number("LIBKMS_CONFIGS", 5_000), Random::new(number("LIBKMS_SEED", 1)));
    let own = files();
    let bases: Vec<_> = own.iter().map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap()).collect();
    let mut made: Vec<_> = (0..count).map(|_| mutated(&bases, &mut random)).collect();
    made.extend(made.iter().filter_map(|text| edited(text)).collect::<Vec<_>>());
    let program = program(&folder);
    let verdicts = judge(&program, &folder.join("made"), made.iter().map(String::as_bytes));
    let on_own = judge(&program, &folder.join("own"), own.iter().map(|(_, bytes)| &bytes[..]));
    fs::remove_dir_all(&folder).unwrap();
    if env::var_os("LIBKMS_RECORD").is_some() {
        record(&own, &on_own, &made, &verdicts);
    }
    let mut found = Vec::new();
    for (text, verdict) in made.iter().zip(&verdicts) {
        if let Some(said) = disagreement(verdict, text.as_bytes()).filter(|said| !is_known(said, verdict)) {
            found.push(format!("{said}\n{}\n{text}", verdict["why"]));
        }
    }
    let valid = verdicts.iter().filter(|v| v["on"] == true).count();
    eprintln!("{} configurations, {valid} of them valid, {} judged otherwise", verdicts.len(), found.len());
    assert!(valid > verdicts.len() / 10);
    let first = found.iter().take(10).cloned().collect::<Vec<_>>().join("\n=====\n");
    assert!(found.is_empty(), "{}\n{first}", found.len());
}

fn new_key() -> KeyRef {
    KeyRef { kind: ProviderKind::Secretbox, name: "new".into() }
}

/// With a key more that writes, if the text is valid and can be edited.
fn edited(text: &str) -> Option<String> {
    let mut file = ConfigurationText::new(text.as_bytes(), ON).ok()?;
    let resource = file.config().entries()[0].resources()[0].clone();
    file.add(&resource, &NewProvider::Key(new_key())).ok()?;
    file.promote(&resource, &new_key()).ok()?;
    Some(file.text().to_owned())
}

/// YAML that is none by any standard: refused here and not there, or the other way round.
fn is_known(said: &str, verdict: &Value) -> bool {
    let why = verdict["why"].as_str().unwrap_or_default();
    // `{}#` and `[#`.
    said.contains("comments must be separated from other tokens by whitespace")
        // A byte order mark in a comment or a text.
        || said.contains("refused") && said.contains("a control character")
        // A colon behind the last bracket. Most of what is there the server does not look at either.
        || said.contains("not refused") && why.contains("mapping values are not allowed in this context")
}

/// What libkms says otherwise.
fn disagreement(verdict: &Value, bytes: &[u8]) -> Option<String> {
    for (gate, name) in [(OFF, "off"), (ON, "on")] {
        let ours = EncryptionConfiguration::parse(bytes, gate);
        match (&ours, verdict[name].as_bool().unwrap()) {
            (Ok(config), true) if gate == ON => {
                let (ours, theirs) = (lists(config), &verdict["lists"]);
                let theirs = if theirs.is_null() { &json!({}) } else { theirs };
                if ours != *theirs {
                    return Some(format!("{ours} and not {theirs}"));
                }
            }
            (Err(e), true) => return Some(format!("{name}: refused: {e}")),
            (Ok(_), false) => return Some(format!("{name}: not refused")),
            _ => {}
        }
    }
    None
}

/// What the values of each provider begin with, in order.
fn lists(config: &EncryptionConfiguration) -> Value {
    let of = |resource| Some((resource, config.for_resource(resource)?));
    let prefixes = |list: Vec<&Provider>| list.into_iter().flat_map(Provider::prefixes).collect::<Vec<_>>();
    let lists = RESOURCES.into_iter().filter_map(of);
    json!(lists.map(|(resource, list)| (resource, prefixes(list))).collect::<BTreeMap<_, _>>())
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes").join(name)
}

fn recorded(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(data("configs").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The server's, by their path.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in ["invalid", "invalid/kms", "valid", "valid/aes", "valid/kms"] {
        for entry in fs::read_dir(data("configs").join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
                all.push((name, fs::read(entry.path()).unwrap()));
            }
        }
    }
    all.sort();
    all
}

/// The server's code, built: `GO` names the Go there is.
fn program(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let (go, program) = (env::var_os("GO").unwrap_or("go".into()), folder.join("config-go"));
    let mut build = Command::new(go);
    build.args(["build", "-mod=readonly", "-trimpath", "-o"]).arg(&program).arg(".");
    assert!(build.current_dir(data("config-go")).status().expect("Go 1.26, or GO=PATH").success());
    program
}

fn judge<'a>(program: &Path, folder: &Path, files: impl Iterator<Item = &'a [u8]>) -> Vec<Value> {
    fs::create_dir_all(folder).unwrap();
    let written =
        files.enumerate().map(|(i, bytes)| fs::write(folder.join(format!("{i:06}")), bytes).unwrap());
    let count = written.count();
    let output = Command::new(program).arg(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verdicts.len(), count, "{}", String::from_utf8_lossy(&output.stderr));
    verdicts
}

fn record(own: &[(String, Vec<u8>)], on_own: &[Value], made: &[String], verdicts: &[Value]) {
    let line = |verdict: &Value, name: &str, value: &str| {
        let mut verdict = verdict.clone();
        let fields = verdict.as_object_mut().unwrap();
        fields.remove("why");
        fields.insert(name.into(), value.into());
        verdict.to_string() + "\n"
    };
    let own = on_own.iter().zip(own).map(|(verdict, (name, _))| line(verdict, "name", name));
    fs::write(data("configs/verdicts.jsonl"), own.collect::<String>()).unwrap();
    let mut most = [200, 200];
    let mut wanted = |verdict: &Value| {
        let left = &mut most[usize::from(verdict["on"].as_bool().unwrap())];
        *left -= i32::from(*left > 0);
        *left > 0
    };
    let known = |text: &str, verdict: &Value| disagreement(verdict, text.as_bytes()).is_some();
    let all = verdicts.iter().zip(made).filter(|(verdict, text)| !known(text, verdict) && wanted(verdict));
    let all = all.map(|(verdict, text)| line(verdict, "text", text));
    fs::write(data("configs/mutated.jsonl"), all.collect::<String>()).unwrap();
}
