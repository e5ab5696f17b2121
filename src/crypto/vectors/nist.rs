//! NIST CAVP: AES-256-GCM, and the reader of response files.
use super::{PASSED, account, unhex};
use crate::arch::Aes256Gcm;
use std::{collections::HashMap, path::Path};

const IV: &str = "an IV has 96 bits";
const TAG: &str = "a tag has 128 bits";

#[test]
#[ignore = "needs the NIST files: tests/run fetches them"]
fn gcm_encrypt() {
    run("gcmEncryptExtIV256.rsp");
}

#[test]
#[ignore = "needs the NIST files: tests/run fetches them"]
fn gcm_decrypt() {
    run("gcmDecrypt256.rsp");
}

fn run(file: &str) {
    let cases = read("LIBKMS_NIST_VECTORS", &format!("GCM/{file}"));
    account(7875, cases.iter().map(gcm), &[(PASSED, 375), (IV, 5250), (TAG, 2250)]);
}

fn gcm(case: &Case) -> &'static str {
    let Ok(nonce) = case["IV"].as_slice().try_into() else { return IV };
    let Ok(tag) = case["Tag"].as_slice().try_into() else { return TAG };
    let key = Aes256Gcm::new(case["Key"].as_slice().try_into().unwrap());
    let mut data = case["CT"].clone();
    let opened = key.open(nonce, &case["AAD"], &mut data, tag);
    if case.fields.contains_key("FAIL") {
        assert!(opened.is_err(), "{case:?}");
    } else {
        opened.unwrap();
        assert_eq!(data, case["PT"], "{case:?}");
        assert_eq!(key.seal(nonce, &case["AAD"], &mut data).unwrap(), *tag, "{case:?}");
        assert_eq!(data, case["CT"], "{case:?}");
    }
    PASSED
}

#[derive(Debug)]
pub(super) struct Case {
    /// The line in brackets above it.
    pub(super) section: String,
    /// By name. The word FAIL is a field without bytes.
    fields: HashMap<String, Vec<u8>>,
}

impl std::ops::Index<&str> for Case {
    type Output = Vec<u8>;

    fn index(&self, name: &str) -> &Vec<u8> {
        &self.fields[name]
    }
}

/// The cases of a file in the directory that an environment variable names.
pub(super) fn read(variable: &str, file: &str) -> Vec<Case> {
    let directory = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set"));
    let path = Path::new(&directory).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (mut section, mut cases) = (String::new(), Vec::<Case>::new());
    for line in text.lines().map(str::trim) {
        let (name, value) = line.split_once('=').map_or((line, ""), |(n, v)| (n.trim(), v.trim()));
        if line.starts_with('[') {
            section = line.into();
        } else if name.eq_ignore_ascii_case("count") {
            cases.push(Case { section: section.clone(), fields: HashMap::new() });
        } else if !line.is_empty() && !line.starts_with('#') {
            cases.last_mut().expect("a case begins with COUNT").fields.insert(name.into(), unhex(value));
        }
    }
    cases
}
