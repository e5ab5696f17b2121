//! Values of Kubernetes: what opens was written, and whatever else is told from it.
#![no_main]
use libfuzzer_sys::fuzz_target;
use libkms::{
    ErrorKind, Wait,
    kubernetes::{Read, ValueFormat},
};
use libkms_fuzz::kubernetes::{NAMES, transformer};

const PATH: &str = "/registry/secrets/default/db";

thread_local!(static BY: Vec<libkms::kubernetes::Transformer> = (0..NAMES.len()).map(transformer).collect());

fuzz_target!(|data: &[u8]| {
    let [how, rest @ ..] = data else { return };
    let behind = |prefix: &str| any(&[prefix.as_bytes(), rest].concat());
    match how % 5 {
        0 => any(rest),
        1 => behind("k8s:enc:kms:v2:v:"),
        2 => behind("k8s:enc:kms:v1:o:"),
        3 => behind("k8s:enc:aescbc:v1:a:"),
        _ => written(rest),
    }
});

/// The same warm and cold, and nothing opens that nobody wrote.
fn any(value: &[u8]) {
    BY.with(|by| {
        let read = by[0].read(PATH, value).wait();
        let again = by[0].try_read(PATH, value);
        match (&read, &again) {
            (Ok(read), Ok(Some(again))) => assert!(is_same(read, again)),
            (Ok(_) | Err(_), Ok(None)) => {}
            (Err(e), Err(again)) => assert_eq!(e.kind(), again.kind()),
            other => panic!("{other:?}"),
        }
        match read {
            Ok(read) if read.format == ValueFormat::Identity => {
                assert!(read.plaintext == value && !value.starts_with(b"k8s:enc:"));
            }
            // CBC is not authenticated; the seeds have values of the others.
            Ok(read) => assert!(read.plaintext.len() < value.len()),
            Err(e) => {
                use ErrorKind::{Authentication, BadReply, Denied, Malformed, NoMatchingKek};
                let kinds = [Authentication, BadReply, Denied, Malformed, NoMatchingKek];
                assert!(kinds.contains(&e.kind()), "{e:?}");
                assert!(!e.to_string().contains(char::is_control), "{e}");
            }
        }
    });
}

/// By one of the keys, and then one byte altered.
fn written(data: &[u8]) {
    let [key, at, by_what, plaintext @ ..] = data else { return };
    let key = usize::from(*key) % NAMES.len();
    BY.with(|by| {
        let mut value = by[key].write(PATH, plaintext).wait().unwrap();
        let is_lost = value == plaintext && plaintext.starts_with(b"k8s:enc:");
        if !is_lost {
            let read = by[key].read(PATH, &value).wait().unwrap();
            assert!(read.plaintext == plaintext && !read.stale && *read.name == *NAMES[key]);
            let read = by[0].read(PATH, &value).wait().unwrap();
            assert!(read.plaintext == plaintext && read.stale == (key != 0));
        }
        let at = usize::from(*at) % value.len().max(1);
        if let Some(byte) = value.get_mut(at) {
            *byte ^= by_what;
        }
        any(&value);
    });
}

fn is_same(a: &Read, b: &Read) -> bool {
    a.plaintext == b.plaintext
        && (a.stale, a.format, &a.name) == (b.stale, b.format, &b.name)
        && a.key_id == b.key_id
}
