//! EncryptionConfigurations: right, or told where not; and edited right, or not at all.
#![no_main]
use libfuzzer_sys::fuzz_target;
use libkms::{
    Error, ErrorKind,
    kubernetes::{
        ConfigurationText, EncryptionConfiguration, Gate, KeyRef, NewProvider, ProviderKind, Survey,
    },
};

fuzz_target!(|data: &[u8]| {
    let gate = Gate::default();
    let strict = EncryptionConfiguration::parse(data, Gate { kms_v1: false, reload: true });
    let mut file = match ConfigurationText::new(data, gate) {
        Ok(file) => file,
        Err(e) => {
            assert!(strict.is_err(), "refused only where more may be there: {e}");
            return told(data, &e);
        }
    };
    let config = file.config();
    assert!(
        config.entries().iter().all(|entry| !entry.resources().is_empty() && !entry.providers().is_empty())
    );
    let first = config.entries()[0].resources()[0].clone();
    let before: Vec<_> = config.for_resource(&first).unwrap().iter().flat_map(|p| p.prefixes()).collect();
    config.remarks().unwrap();
    let new = KeyRef { kind: ProviderKind::Secretbox, name: "fuzzed".into() };
    if file.add(&first, &NewProvider::Key(new.clone())).is_err() {
        assert_eq!(file.text().as_bytes(), data);
        return;
    }
    let survey = Survey::new(file.config());
    if file.promote(&first, &new).is_ok() {
        assert_eq!(writer(&file, &first), "k8s:enc:secretbox:v1:fuzzed:");
        assert!(file.drop_key(&first, &new, &survey).is_err(), "it writes");
    } else if file.drop_key(&first, &new, &survey).is_ok() {
        assert_eq!(writer(&file, &first), before[0]);
    }
});

fn writer(file: &ConfigurationText, resource: &str) -> String {
    file.config().for_resource(resource).unwrap()[0].prefixes()[0].clone()
}

/// A line that there is, and nothing that a terminal would obey.
fn told(data: &[u8], error: &Error) {
    let said = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error:?}");
    assert!(!said.contains(char::is_control), "{said:?}");
    let rest = said.split("line ").nth(1).and_then(|rest| rest.split(',').next()?.parse::<usize>().ok());
    let lines = data.split(|b| *b == b'\n').count();
    assert!(
        rest.is_some_and(|line| (1..=lines).contains(&line)) || said.contains("longer than 1 MiB"),
        "{said}"
    );
}
