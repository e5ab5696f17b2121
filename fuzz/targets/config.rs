//! Configuration files: right, or told where not.
#![no_main]
use libfuzzer_sys::fuzz_target;
use libkms::{
    Aad, Error, ErrorKind, KeySet, Wait, inspect,
    kek::{Mock, Schemes},
};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    // No file of this machine is touched.
    let schemes = Schemes::default().with("local", |_| async { Ok(Mock::new("no-file")) });
    let keys = match KeySet::parse(&text, &schemes).wait() {
        Ok(keys) => keys,
        Err(e) => return told(&text, &e),
    };
    let mut contexts = Vec::new();
    for (name, scope) in keys.iter() {
        assert!(keys.purpose(name).is_ok());
        assert!(!contexts.contains(scope.context()), "two purposes have one context");
        contexts.push(scope.context().clone());
    }
    let (_, scope) = keys.iter().next().expect("there is a purpose");
    let sealed = scope.seal(Aad::empty(), b"text").wait().unwrap();
    assert!((1..=16).contains(&inspect(&sealed).unwrap().recipients().len()));
    assert_eq!(scope.open(Aad::empty(), &sealed).wait().unwrap().plaintext, b"text");
});

/// A line that there is, and nothing that a terminal would obey.
fn told(text: &str, error: &Error) {
    let said = error.to_string();
    assert!(matches!(error.kind(), ErrorKind::Misuse | ErrorKind::Malformed | ErrorKind::Limit), "{error:?}");
    assert!(!said.contains(char::is_control), "{said:?}");
    let rest = said.strip_prefix("configuration:").expect("it begins with the file");
    // Nested too deep to say where.
    let Some(line) = rest.split(':').next().and_then(|n| n.parse().ok()) else { return };
    assert!((1..=text.split('\n').count()).contains(&line), "{said}");
}
