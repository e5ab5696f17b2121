//! The manual's review of failures says the truth of this tree.
use std::{fs, path::Path};

/// Every Rust file below `folder`, with its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let name = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
        if path.is_dir() {
            found.extend(sources(&name));
        } else if name.ends_with(".rs") {
            found.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    found
}

#[test]
fn every_test_that_the_review_names_is_there() {
    let code = [sources("src"), sources("tests")].concat();
    let is_there = |name: &str| code.iter().any(|(_, text)| text.contains(&format!("fn {name}(")));
    for page in ["src/manual/failures.md", "SECURITY.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        let names: Vec<_> = quoted.filter(|q| q.contains('_') && !q.contains(['/', '*', ' ', ':'])).collect();
        assert!(names.len() >= 40, "{page} names {} tests", names.len());
        for name in names {
            assert!(is_there(name), "{page} names {name}, which is no test of this tree");
        }
    }
    assert!(!is_there("f99_no_such_test"));
}

#[test]
fn every_numbered_test_stands_in_the_review() {
    let review =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual/failures.md")).unwrap();
    for (file, text) in [sources("src"), sources("tests")].concat() {
        for name in text.split("fn f").skip(1).map(|rest| rest.split(['(', '<']).next().unwrap()) {
            let numbered = name.len() > 3 && name.as_bytes()[..2].iter().all(u8::is_ascii_digit);
            let row = numbered.then(|| name[..2].trim_start_matches('0'));
            assert!(row.is_none_or(|n| review.contains(&format!("| {n} |"))), "{file}: f{name}");
        }
    }
}

/// Row 13: nonces, IVs and salts are the library's own.
#[test]
fn f13_no_public_function_takes_a_nonce() {
    let takes_one = |signature: &str| {
        let arguments = signature.split_once('(').map_or("", |s| s.1);
        arguments.split([',', '(', ')']).any(|a| {
            let name = a.trim().split(':').next().unwrap_or("").trim();
            ["nonce", "iv", "salt"].contains(&name)
        })
    };
    let public = |text: &str| -> Vec<String> {
        let starts = text.match_indices("pub fn ").chain(text.match_indices("pub async fn "));
        starts.map(|(at, _)| text[at..].split('{').next().unwrap().to_owned()).collect()
    };
    assert!(public("pub fn seal(key: u8, nonce: &[u8; 12]) {").iter().any(|s| takes_one(s)));
    // One file is no part of the library.
    let is_raw = |file: &str| file.ends_with("src/raw.rs");
    let lib = sources("src").into_iter().find(|(file, _)| file.ends_with("src/lib.rs")).unwrap().1;
    assert!(lib.contains("#[cfg(libkms_raw)]\n#[doc(hidden)]\n"));
    let sources = sources("src").into_iter().filter(|(file, _)| !is_raw(file));
    let all: Vec<_> = sources.flat_map(|(_, text)| public(&text)).collect();
    assert!(all.len() > 100);
    for signature in all {
        assert!(!takes_one(&signature), "{signature}");
    }
}
