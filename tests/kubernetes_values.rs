//! Values of Kubernetes' encryption at rest: what the API server's own packages wrote opens here, and
//! what is written here opens there. The program that asks them is in tests/kubernetes/go; what it
//! wrote, by `values write 120`, is in tests/kubernetes/values.jsonl.gz.
use libkms::{
    ErrorKind, Wait,
    kubernetes::{Key, Provider, Transformer, ValueFormat},
};
use proptest::prelude::*;
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

#[allow(dead_code, reason = "each test uses some of it")]
#[path = "kubernetes/remote.rs"]
mod remote;
use remote::{Line, providers, recorded, sha256, transformer, writers};

/// What one line says, by the rules of its format.
fn check(by: &Transformer, line: &Line) {
    let Line { by: writer, path, value, .. } = line;
    let read = by.read(path, value).wait().unwrap_or_else(|e| panic!("{writer} {path:?}: {e}"));
    assert_eq!((read.plaintext.len(), sha256(&read.plaintext)), (line.len, line.sha256.clone()), "{writer}");
    assert_eq!(read.stale, line.stale, "{writer}");
    assert_eq!((read.format, &*read.name), format(writer), "{writer}");
    let is_v2 = read.format == ValueFormat::KmsV2;
    assert_eq!(read.key_id.as_deref(), is_v2.then(|| format!("kek/{}", read.name)).as_deref());
    match by.try_read(path, value).unwrap() {
        Some(again) => {
            assert!(
                again.plaintext == read.plaintext && (again.stale, again.key_id) == (read.stale, read.key_id)
            );
        }
        // The KMS "one" may have made a value of "one:two" that is long enough: it is asked each time.
        None => assert!(writer == "kms/one:two" && line.len > 0x7477, "{writer}: its DEK is remembered"),
    }
}

fn format(writer: &str) -> (ValueFormat, &str) {
    let (kind, name) = writer.split_once('/').unwrap_or((writer, ""));
    let format = match (kind, name) {
        ("identity", _) => ValueFormat::Identity,
        ("aesgcm", _) => ValueFormat::AesGcm,
        ("aescbc", _) => ValueFormat::AesCbc,
        ("secretbox", _) => ValueFormat::Secretbox,
        (_, "vault" | "plain") => ValueFormat::KmsV2,
        _ => ValueFormat::KmsV1,
    };
    (format, name.trim_end_matches("/cbc"))
}

#[test]
fn what_the_api_servers_packages_wrote_opens() {
    let reader = transformer("");
    let mut count = 0;
    for line in recorded() {
        check(&reader, &line);
        count += 1;
    }
    assert_eq!(count, 15 * 120 + 1);
}

/// Row 6: what is not bound to its path is taken for another's, and the documentation says which.
#[test]
fn f06_a_value_opens_at_its_path_alone_where_its_format_binds_it() {
    let reader = transformer("");
    let mut seen = std::collections::BTreeMap::new();
    for line in recorded().step_by(3) {
        let other = [&line.path[..], b"x"].concat();
        let read = reader.read(&other, &line.value).wait();
        let is_bound = read.is_err();
        if let Err(e) = read {
            assert!(matches!(e.kind(), ErrorKind::Authentication | ErrorKind::Malformed), "{}: {e}", line.by);
        }
        assert_eq!(*seen.entry(line.by.clone()).or_insert(is_bound), is_bound, "{}", line.by);
    }
    let bound = seen.iter().filter(|(_, is_bound)| **is_bound).map(|(by, _)| &**by).collect::<Vec<_>>();
    let expected = [
        "aesgcm/a",
        "aesgcm/a:b",
        "aesgcm/k16",
        "aesgcm/k24",
        "kms/one",
        "kms/one:two",
        "kms/plain",
        "kms/vault",
    ];
    assert_eq!(bound, expected);
    assert_eq!(seen.len(), 15, "all others were swapped");
}

#[test]
fn what_is_written_opens_and_is_told_by_its_prefix() {
    for writer in writers() {
        let (by, reader) = (transformer(&writer), transformer(""));
        let (format, name) = format(&writer);
        assert_eq!(by.writes(), (format, name));
        for len in [0, 1, 15, 16, 17, 100, 4096, 1 << 20] {
            let (path, plaintext) = (format!("/registry/secrets/default/{len}"), vec![len as u8 | 1; len]);
            let value = by.write(&path, &plaintext).wait().unwrap();
            let read = by.read(&path, &value).wait().unwrap();
            let is_plain = writer == "kms/plain";
            assert!(read.plaintext == plaintext && !read.stale, "{writer}");
            let read = reader.read(&path, &value).wait().unwrap();
            assert_eq!((read.plaintext == plaintext, read.stale), (true, writer != "kms/vault"), "{writer}");
            assert!(is_plain || (read.format, &*read.name) == (format, name));
            assert_ne!(by.write(&path, &plaintext).wait().unwrap() == value, format != ValueFormat::Identity);
        }
    }
}

/// Each bit of a value under a key that authenticates. Annotations of kms v2 are for the KMS to look at,
/// and this one does not.
#[test]
fn no_altered_value_opens_as_another() {
    let plaintext = b"two pounds of tea";
    for writer in ["aesgcm/k16", "aesgcm/k24", "aesgcm/a:b", "secretbox/a:b", "kms/vault", "kms/one"] {
        let by = transformer(writer);
        let value = by.write("/registry/x", plaintext).wait().unwrap();
        let mut opened = 0;
        for bit in 0..8 * value.len() {
            let mut altered = value.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            match by.read("/registry/x", &altered).wait() {
                // Without its prefix it is a plaintext.
                Ok(read) if read.format == ValueFormat::Identity => assert!(bit < 64, "{writer}, bit {bit}"),
                Ok(read) => {
                    assert!(writer == "kms/vault" && read.plaintext == plaintext, "{writer}, bit {bit}");
                    opened += 1;
                }
                Err(e) => assert_ne!(e.kind(), ErrorKind::Misuse, "{writer}, bit {bit}: {e}"),
            }
        }
        assert!(opened < 8 * 45, "{writer}: {opened}");
        for cut in 8..value.len() {
            let read = by.read("/registry/x", &value[..cut]).wait();
            // The type and annotations are at the end of a kms v2 value; and what is cut to whole blocks
            // may be taken for CBC by kms v1.
            let may_open = writer == "kms/vault" || (writer == "kms/one" && (value.len() - cut) % 16 == 13);
            assert!(read.is_err() || may_open, "{writer}, cut at {cut}");
        }
    }
}

/// Row 1: kube-apiserver panics on an IV alone, takes padding of more than one block, and tells two
/// errors apart.
#[test]
fn f01_every_failure_of_cbc_is_one_error() {
    let by = transformer("aescbc/a");
    let value = by.write("/registry/x", &[7; 40]).wait().unwrap();
    let start = b"k8s:enc:aescbc:v1:a:".len();
    let of_v1 = recorded().find(|line| line.by == "kms/one/cbc").unwrap();
    let start_of_v1 = b"k8s:enc:kms:v1:one:".len() + 2 + 60;
    for (value, start) in [(value, start), (of_v1.value, start_of_v1)] {
        let mut bodies: Vec<_> = (0..value.len() - start).map(|len| value[start..][..len].to_vec()).collect();
        // What one bit of the block before the last changes.
        for bit in 0..128 {
            let mut body = value[start..].to_vec();
            let at = body.len() - 32 + bit / 8;
            body[at] ^= 1 << (bit % 8);
            bodies.push(body);
        }
        let mut failed = 0;
        for body in bodies {
            if let Err(e) = by.read("/registry/x", &[&value[..start], &body].concat()).wait() {
                assert_eq!(e.kind(), ErrorKind::Authentication);
                assert_eq!(e.to_string(), "not authentic under this key, context and aad");
                failed += 1;
            }
        }
        assert!(failed > 20, "{failed}");
    }
}

#[test]
fn kms_v2_without_a_path_is_refused_where_the_api_server_breaks() {
    let by = transformer("kms/vault");
    assert_eq!(by.write("", b"x").wait().unwrap_err().kind(), ErrorKind::Misuse);
    let value = by.write("/x", b"x").wait().unwrap();
    assert_eq!(by.read("", &value).wait().unwrap_err().kind(), ErrorKind::Authentication);
}

#[test]
fn identity_takes_what_is_not_encrypted_and_no_more() {
    let by = transformer("");
    let read = by.read("/x", b"k8s\0plain").wait().unwrap();
    assert!(read.plaintext == b"k8s\0plain" && read.stale && read.format == ValueFormat::Identity);
    for value in [&b"k8s:enc:"[..], b"k8s:enc:other:v1:a:x", b"k8s:enc:aesgcm:v1:none:xxxx"] {
        let e = by.read("/x", value).wait().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NoMatchingKek, "{e}");
    }
    // As the API server has it: written, and never read again.
    let by = transformer("identity");
    let value = by.write("/x", b"k8s:enc:mine").wait().unwrap();
    assert_eq!(value, b"k8s:enc:mine");
    assert_eq!(by.read("/x", &value).wait().unwrap_err().kind(), ErrorKind::NoMatchingKek);
}

#[test]
fn providers_that_are_none_are_refused() {
    let refused = |providers| Transformer::without_kms(providers).unwrap_err().kind();
    let keys = |name: &str, len: usize| vec![Key::new(name, &vec![1; len]).unwrap()];
    assert_eq!(refused(vec![]), ErrorKind::Misuse);
    assert_eq!(refused(vec![Provider::AesGcm(vec![])]), ErrorKind::Misuse);
    assert_eq!(refused(vec![Provider::AesCbc(keys("", 32))]), ErrorKind::Misuse);
    assert_eq!(refused(vec![Provider::Secretbox(keys("a", 16))]), ErrorKind::Misuse);
    let named = |version, name| vec![Provider::Kms(remote::kms(version, name))];
    let of = |providers| Transformer::new(providers, |kms| Ok(remote::Remote::new(kms))).map(drop);
    use libkms::kubernetes::KmsVersion::{V1, V2};
    assert!(of(named(V1, "a:b")).is_ok());
    assert_eq!(of(named(V2, "a:b")).unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(of(named(V2, "")).unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn f35_neither_keys_nor_plaintexts_are_shown() {
    let by = transformer("");
    let value = by.write("/x", b"a plaintext to be hidden").wait().unwrap();
    let shown = format!("{by:?} {:?} {:?}", by.read("/x", &value).wait().unwrap(), providers("kms/vault"));
    assert!(shown.contains("vault") && shown.contains("kek/vault"), "{shown}");
    assert!(!shown.contains("hidden") && !shown.contains("[97"), "{shown}");
}

proptest! {
    /// The names of keys are matched as the API server's nested loops match them.
    #[test]
    fn names_are_matched_as_prefixes_in_order(
        lists in prop::collection::vec((any::<bool>(), prop::collection::vec("[ab:]{1,4}", 1..4)), 1..4),
        at in any::<prop::sample::Index>(),
    ) {
        let all: Vec<_> = lists.iter().enumerate()
            .flat_map(|(i, (_, names))| (0..names.len()).map(move |j| (i, j)))
            .collect();
        // Keys of one name in one format are one key, so that more than one opens a value.
        let key = |is_gcm: bool, name: &str| Key::new(name, &remote::secret(if is_gcm { "g" } else { "s" }, name, 32)).unwrap();
        let listed = |order: &[(usize, usize)]| order.iter().map(|(i, j)| {
            let (is_gcm, names) = &lists[*i];
            let keys = vec![key(*is_gcm, &names[*j])];
            if *is_gcm { Provider::AesGcm(keys) } else { Provider::Secretbox(keys) }
        }).collect::<Vec<_>>();
        let writer = all[at.index(all.len())];
        let value = Transformer::without_kms(listed(&[writer])).unwrap().try_write("/x", b"text").unwrap().unwrap();
        let grouped = lists.iter().map(|(is_gcm, names)| {
            let keys = names.iter().map(|name| key(*is_gcm, name)).collect();
            if *is_gcm { Provider::AesGcm(keys) } else { Provider::Secretbox(keys) }
        }).collect();
        let read = Transformer::without_kms(grouped).unwrap().try_read("/x", &value).unwrap().unwrap();

        let wrote = &lists[writer.0].1[writer.1];
        let expected = all.iter().find(|(i, j)| lists[*i].0 == lists[writer.0].0 && lists[*i].1[*j] == *wrote).unwrap();
        prop_assert_eq!(&read.plaintext, b"text");
        prop_assert_eq!(&*read.name, &**wrote);
        prop_assert_eq!(read.stale, *expected != (0, 0));
    }
}

/// Builds the Go program and has it read and write 500 values of each key anew.
#[test]
#[ignore = "needs Go 1.26 and its module proxy: tests/long runs it"]
fn go_reads_what_is_written_here_and_the_other_way_round() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes/go");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubernetes-values");
    let go = std::env::var_os("GO").unwrap_or("go".into());
    let mut build = Command::new(go);
    build
        .current_dir(folder)
        .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".");
    assert!(build.status().expect("go").success());
    let run = |arguments: &[&str], input: String| {
        let pipes =
            |c: &mut Command| c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = pipes(Command::new(&program).args(arguments)).unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().lines().map(Line::parse).collect::<Vec<_>>()
    };

    let written = run(&["write", "500"], String::new());
    assert_eq!(written.len(), 15 * 500);
    let reader = transformer("");
    written.iter().for_each(|line| check(&reader, line));

    // The same paths and plaintexts, by each of our writers.
    let mut ours = Vec::new();
    for writer in writers().filter(|writer| writer != "kms/plain") {
        let by = transformer(&writer);
        for theirs in written.iter().filter(|line| line.by == writer) {
            let plaintext = reader.read(&theirs.path, &theirs.value).wait().unwrap().plaintext;
            let value = by.write(&theirs.path, &plaintext).wait().unwrap();
            ours.push(Line { value, ..theirs.clone() });
        }
    }
    // What breaks it, and does not break libkms.
    let of_cbc = Line {
        by: "aescbc/a".into(),
        value: b"k8s:enc:aescbc:v1:a:0123456789abcdef".into(),
        ..Line::default()
    };
    let no_path = Line { path: vec![], ..ours[0].clone() };
    let breaking = [Line { path: b"/x".into(), ..of_cbc }, no_path];
    let input: String = ours.iter().chain(&breaking).map(|line| line.to_json() + "\n").collect();
    let read = run(&["read"], input);
    assert_eq!(read.len(), 13 * 500 + 2);
    for (given, read) in ours.iter().zip(&read) {
        assert_eq!((&read.error, &read.panic), (&String::new(), &String::new()), "{}", given.by);
        assert_eq!(
            (read.len, &read.sha256, read.stale),
            (given.len, &given.sha256, given.stale),
            "{}",
            given.by
        );
    }
    for (given, read) in breaking.iter().zip(&read[13 * 500..]) {
        assert_ne!(read.panic, "", "{}", given.by);
        assert_eq!(
            reader.read(&given.path, &given.value).wait().unwrap_err().kind(),
            ErrorKind::Authentication
        );
    }
}
