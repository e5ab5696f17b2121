//! Writes `fuzz/seeds`: what the targets start from.
//!
//!     RUSTFLAGS='--cfg libkms_raw' cargo run --manifest-path fuzz/Cargo.toml --example seeds
//!
//! Keys, nonces and salts are fresh, so that each run writes other bytes.
use libkms::{Copies, EncryptionContext, Header, Kms, SealOptions, Wait, kek::Mock, raw::Served};
use libkms_fuzz::{
    AAD, KEYRING, PLAINTEXT, header, keyring,
    kubernetes::{NAMES, transformer},
    scope,
};
use std::{fs, path::Path};

fn main() {
    headers();
    configs();
    kubernetes_configs();
    contexts();
    keyrings();
    values();
    plugins();
    streams();
    messages();
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(name), bytes).unwrap();
}

/// An envelope of [`PLAINTEXT`], suite 2.
fn sealed(kms: &Kms, options: &SealOptions) -> Vec<u8> {
    let mut out = Vec::new();
    scope(kms).seal_stream(AAD, options, PLAINTEXT, &mut out).unwrap();
    out
}

fn with_copies(copies: Copies) -> SealOptions {
    SealOptions::new().len(PLAINTEXT.len() as u64).copies(copies)
}

fn headers() {
    let one = Kms::builder().kek(keyring()).build().unwrap();
    let three = Kms::builder().kek(keyring()).kek(Mock::new("m")).kek(Mock::new("other")).build().unwrap();
    write("header", "one-copy", sealed(&one, &with_copies(Copies::One)));
    write("header", "stored-context", sealed(&three, &with_copies(Copies::One).store_context()));
    write("header", "reference", scope(&one).seal_reference(AAD, PLAINTEXT).wait().unwrap().record);
    for n in [0, 16, 17] {
        write("header", &format!("recipients-{n}"), header(n, &[0, 0]).unwrap());
    }

    let two = sealed(&three, &SealOptions::new().store_context());
    let place = Header::parse(&two).unwrap().len() / 2;
    let changed = |at: usize| {
        let mut bytes = two.clone();
        bytes[at] ^= 0x80;
        bytes
    };
    write("header", "first-lost", changed(0));
    write("header", "second-lost", changed(place));
    write("header", "copies-differ", changed(2 * place - 1));
    write("header", "two-copies", two);
}

fn plugins() {
    let served = Served::new(&Kms::builder().kek(keyring()).build().unwrap());
    write("plugin", "decrypt", served.request(PLAINTEXT).wait().unwrap());
    for version in [b'1', b'2'] {
        // Field 1 a ciphertext of aws-encryption-provider, field 3 an ARN.
        let arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let body = [&[0x0a, 5, version][..], b"blob", &[0x1a, arn.len() as u8], arn.as_bytes()].concat();
        write("plugin", &format!("foreign-{}", version - b'0'), body);
    }
    write("plugin", "annotations", b"\x0a\x01x\x22\x0f\x0a\x0da.example.com");
    write("plugin", "stored", b"\x02\0\x02ab\0\x0da.example.com\0\x01x");
}

fn configs() {
    let cluster = include_str!("../examples/cluster.toml");
    write("config", "cluster", cluster.replace("local:/etc/kms/", "mock:"));
    let one = "[purpose.a]\nkeks = ['mock:a']\nopens_with = ['mock:b']\ncontext.\"a b\" = 'c'\n";
    write("config", "one", one);
    write("config", "policy", format!("{one}dek = {{ messages = 0x10, bytes = '1 KiB', time = '1h' }}\n"));
    write("config", "duplicate", format!("{one}{one}"));
    write("config", "no-end", format!("{one}dek = {{ messages = ["));
    write("config", "arrays", "[[purpose]]\nkeks = [[], {}, 1.5, 2026-11-24, inf, '''\n''']\n");
}

fn kubernetes_configs() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kubernetes/configs/valid");
    for (name, path) in
        [("legacy", "legacy.yaml"), ("first", "kmsv2-first.yaml"), ("json", "aes/aes-cbc-multiple-keys.json")]
    {
        write("kubernetes_config", name, fs::read(own.join(path)).unwrap());
    }
    let head = "kind: EncryptionConfig\napiVersion: v1\nresources:\n";
    let flow = "- {resources: ['*.apps', \"a.b\"], providers: [{identity: {}}, {kms: {<<: {name: p}, endpoint: unix:///a}}]}\n";
    write("kubernetes_config", "flow", format!("# a\n{head}{flow}"));
    let anchors = "- resources: &r\n  - !!str secrets\n  providers: &p\n  - identity:\n      {}\n- resources: [pods]\n  providers: *p\n";
    write("kubernetes_config", "anchors", format!("%YAML 1.1\n---\n{head}{anchors}---\nb: [\n"));
}

fn contexts() {
    let encoding = |pairs: &[(&str, &str)]| {
        let context = EncryptionContext::new(pairs.iter().copied()).unwrap();
        context.encoding().to_vec()
    };
    write("context", "none", encoding(&[]));
    write("context", "one", encoding(&[("purpose", "orders")]));
    write("context", "several", encoding(&[("purpose", "orders"), ("tenant", "Zoë"), ("why", "")]));
    let mut reserved = encoding(&[("libkms_branch", "a/1")]);
    reserved.iter_mut().filter(|byte| **byte == b'_').for_each(|byte| *byte = b'-');
    write("context", "reserved", reserved);
    write("context", "texts", b"purpose\xfforders\xfftenant\xff");
}

fn keyrings() {
    let one = KEYRING.replace("\"fuzz\"", "\"a\"");
    let (start, end) = (one.find("{ \"version\"").unwrap(), one.rfind(" ] } ] }").unwrap());
    let first = &one[start..end];
    let second = first.replace("\"version\": 1", "\"version\": 2").replace("00Z", "00.5+01:00");
    let destroyed = format!("{}, \"state\": \"destroyed\" }}", second.split_once(", \"state\"").unwrap().0);
    let both = |second: &str| [&one[..end], ", ", second, &one[end..]].concat();
    write("keyring", "one", &one);
    write("keyring", "disabled", one.replace("enabled", "disabled"));
    write("keyring", "two-versions", both(&second).replace("\"primary\": 1", "\"primary\": 2"));
    write("keyring", "destroyed", both(&destroyed).replace("\"primary\": 1", "\"primary\": 2"));
    let other = format!("[ {{ \"name\": \"b\", \"primary\": 1, \"versions\": [ {first} ] }}, ");
    write("keyring", "two-keys", one.replacen("[ ", &other, 1));
    // A wrap has 8 bytes more.
    let (kdf, longer) = (
        r#"{ "kdf": { "name": "argon2id", "m": 65536, "t": 3, "p": 4, "salt": "c2FsdCBvZiAxNiBieXRlcw==" },"#,
        one.replace("IGtleSE=\"", "IGtleSFrZXkga2V5IQ==\""),
    );
    write("keyring", "passphrase", longer.replacen('{', kdf, 1));
}

/// A value of each key, bodies behind their prefixes, and what is to be written.
fn values() {
    for (at, name) in NAMES.iter().enumerate() {
        let value = transformer(at).write("/registry/secrets/default/db", PLAINTEXT).wait().unwrap();
        write("kubernetes_value", &format!("{at}-whole"), [&[0], &value[..]].concat());
        let body = format!(":{name}:");
        let begin = value.windows(body.len()).position(|part| part == body.as_bytes());
        if let (Some(begin), Some(how)) = (begin, [(0, 1), (5, 2), (3, 3)].iter().find(|how| how.0 == at)) {
            write(
                "kubernetes_value",
                &format!("{at}-body"),
                [&[how.1], &value[begin + body.len()..]].concat(),
            );
        }
        write("kubernetes_value", &format!("{at}-written"), [&[4, at as u8, 40, 1], PLAINTEXT].concat());
    }
    let fields =
        b"\x12\x03kek\x1a\x02\x07x\x22\x05\x0a\x03a.b\x0a\x01d\x28\x01\x33\x3a\x00\x34\x45\x00\x00\x00\x00";
    write("kubernetes_value", "fields", [&[1], &fields[..]].concat());
}

/// What the bytes choose, the target says: a stream, edits, a way to open.
fn streams() {
    for how in 0..5 {
        let bytes = [0, 12 + how % 2, 0, how, 200, 7, 3, 9, 1, 2, 3, 4, 5];
        write("stream", &format!("intact-{how}"), bytes);
    }
    let edits: [(&str, &[u8]); 7] = [
        ("flip", &[0, 3]),
        ("cut", &[1]),
        ("insert", &[2, 9]),
        ("append", &[[3].as_slice(), &[9; 40]].concat()),
        ("twice", &[4, 1, 2]),
        ("swap", &[5, 0, 1]),
        ("remove", &[6, 1]),
    ];
    for (how, (name, edit)) in (0..).zip(edits) {
        // The longest stream, one edit, where its third chunk begins.
        let begin = [0, 13, 1, 5, 2, 128];
        write("stream", name, [&begin, edit, &[how, 3, 200, 0]].concat());
    }
    let kms = Kms::builder().kek(keyring()).build().unwrap();
    let envelope = |bytes: Vec<u8>| [&[1], &bytes[..]].concat();
    write("stream", "one-shot", envelope(scope(&kms).seal(AAD, PLAINTEXT).wait().unwrap()));
    write("stream", "one-copy", envelope(sealed(&kms, &with_copies(Copies::One))));
    write("stream", "two-copies", envelope(sealed(&kms, &with_copies(Copies::Two).store_context())));
}

/// Key, flags, how often what ends them is repeated, length of the AAD, what is altered; then
/// nonce, AAD and text.
fn messages() {
    for (len, times, aad) in [(0, 0, 0), (1, 1, 1), (16, 1, 16), (100, 1, 13), (64, 8, 200), (250, 80, 20)] {
        let head = [7, len as u8, times, aad, len as u8, 1, aad];
        let rest = (0..12 + usize::from(aad) + len).map(|i| i as u8);
        write("gcm", &format!("{len}-{times}"), head.into_iter().chain(rest).collect::<Vec<_>>());
    }
}
