//! The contract of a backend, as a suite that any implementation runs.
//!
//! ```
//! # use libkms::{Wait, kek::{Mock, contract}};
//! # let backend = Mock::new("orders");
//! // Opens the same KEK each time: a second one is what a restarted process would have.
//! contract::check(|| async { Ok(backend.clone()) }).wait();
//! ```
use super::{Kek, KmsBackend, OutagePolicy, Role};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Recipient, Result, WrappedDek,
    envelope::check_scheme,
    rt::{Background, Runtime, wait},
};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    thread,
    time::Duration,
};

/// Long enough for a KMS far away.
const PATIENCE: Duration = Duration::from_secs(30);

/// Too short for any call that is not answered at once.
const HASTE: Duration = Duration::from_nanos(1);

/// Runs the whole contract. `open` connects to the same KEK each time it is called.
///
/// # Panics
/// At the first clause that the backend breaks, with what it did.
pub async fn check<B, F>(open: impl Fn() -> F)
where
    B: KmsBackend,
    F: Future<Output = Result<B>>,
{
    let backend: Arc<dyn KmsBackend> = Arc::new(open().await.expect("the backend opens"));
    names(&*backend).await;
    round_trip(&*backend).await;
    wrong_context(&*backend).await;
    foreign_key_ids(&*backend).await;
    altered_wraps(&*backend).await;
    dropped_half_way(&*backend).await;
    on_bare_threads(&backend);
    time_outs(&backend).await;
    let again = open().await.expect("the backend opens a second time");
    restart(&*backend, &again).await;
}

fn contexts() -> [EncryptionContext; 3] {
    let pairs = |p: &[(&str, &str)]| EncryptionContext::new(p.iter().copied()).expect("a context");
    [
        EncryptionContext::empty(),
        pairs(&[("purpose", "contract")]),
        pairs(&[("purpose", "contract"), ("tenant", "naïve = & \" \\ 東京"), ("empty", "")]),
    ]
}

async fn wrapped(backend: &dyn KmsBackend, context: &EncryptionContext) -> (Dek, WrappedDek) {
    let dek = Dek::generate().expect("key memory");
    let wrapped = backend.wrap_dek(&dek, context).await.expect("wrap_dek");
    (dek, wrapped)
}

fn same(a: &Dek, b: &Dek) -> bool {
    a.expose().expect("not forked") == b.expose().expect("not forked")
}

/// The scheme is one, and the key that wraps is one that is accepted.
async fn names(backend: &dyn KmsBackend) {
    check_scheme(backend.scheme().as_bytes()).expect("scheme() has 1 to 32 of a-z 0-9 -");
    let (_, wrapped) = wrapped(backend, &EncryptionContext::empty()).await;
    assert!(backend.accepts(&wrapped.key_id), "it does not accept {}, under which it wraps", wrapped.key_id);
    assert!(wrapped.has_a_valid_length(), "a wrapped DEK of {} bytes", wrapped.ciphertext.len());
    if let Some(current) = backend.current_key().await.expect("current_key") {
        assert_eq!(current, wrapped.key_id, "current_key() names another key than wrap_dek()");
    }
}

async fn round_trip(backend: &dyn KmsBackend) {
    for context in contexts() {
        let (dek, wrap) = wrapped(backend, &context).await;
        let back = backend.unwrap_dek(&wrap, &context).await.expect("unwrap_dek");
        assert!(same(&dek, &back), "unwrap_dek gave another DEK than was wrapped");
        let (dek, wrap) = backend.generate_dek(&context).await.expect("generate_dek");
        let back = backend.unwrap_dek(&wrap, &context).await.expect("unwrap_dek of a generated DEK");
        assert!(same(&dek, &back), "unwrap_dek gave another DEK than was generated");
        assert!(backend.accepts(&wrap.key_id), "it generates under a key that it does not accept");
        let (other, _) = backend.generate_dek(&context).await.expect("generate_dek");
        assert!(!same(&dek, &other), "generate_dek gave one DEK twice");
        let bytes = dek.expose().expect("not forked");
        assert!(!wrap.ciphertext.windows(32).any(|w| w == bytes), "the DEK lies open in its wrap");
    }
}

/// Refused, or the same DEK where the KMS binds no context; never another one.
async fn wrong_context(backend: &dyn KmsBackend) {
    let all = contexts();
    for (i, context) in all.iter().enumerate() {
        let (dek, wrap) = wrapped(backend, context).await;
        match backend.unwrap_dek(&wrap, &all[(i + 1) % all.len()]).await {
            Ok(back) => assert!(same(&dek, &back), "another context gave another DEK"),
            Err(e) => refused("another context", &e),
        }
    }
}

/// Whole ids are accepted, and nothing that only looks like one.
async fn foreign_key_ids(backend: &dyn KmsBackend) {
    let (_, wrap) = wrapped(backend, &EncryptionContext::empty()).await;
    let id = wrap.key_id.as_str();
    let less = &id[..id.len() - id.chars().last().map_or(0, char::len_utf8)];
    let foreign = [
        "nobody".to_owned(),
        format!("{id}{}", '\u{2060}'),
        format!("{id} "),
        format!(" {id}"),
        format!("{id}/../{id}"),
        format!("x{id}"),
        less.to_owned(),
        "../../etc/passwd".to_owned(),
        "k".repeat(1024),
    ];
    for text in foreign {
        let Ok(id) = KeyId::new(&text) else { continue };
        assert!(!backend.accepts(&id), "it accepts {text:?}, under which it never wrapped");
        let forged = WrappedDek::new(id, wrap.ciphertext.clone());
        // libkms does not ask for it; a backend that is asked all the same must stand.
        let _ = backend.unwrap_dek(&forged, &EncryptionContext::empty()).await;
    }
}

/// Noise, cut, longer, or with a bit flipped: refused, by a kind that says so.
async fn altered_wraps(backend: &dyn KmsBackend) {
    let context = EncryptionContext::empty();
    let (_, wrap) = wrapped(backend, &context).await;
    let good = &wrap.ciphertext;
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let altered = [
        vec![],
        vec![0],
        vec![0xa5; good.len()],
        vec![7; 32],
        vec![7; 40],
        vec![0xff; 32768],
        good[..good.len() - 1].to_vec(),
        good[1..].to_vec(),
        [good, &[0][..]].concat(),
        [good, good.as_slice()].concat(),
        flip(0),
        flip(good.len() / 2),
        flip(good.len() - 1),
    ];
    for bytes in altered {
        let what = format!("a wrap of {} bytes that nobody made", bytes.len());
        let forged = WrappedDek::new(wrap.key_id.clone(), bytes);
        match backend.unwrap_dek(&forged, &context).await {
            Ok(_) => panic!("{what}: unwrapped"),
            Err(e) => refused(&what, &e),
        }
    }
}

/// Not a time-out, not a programming error: the KMS, or the backend, said no.
fn refused(what: &str, error: &Error) {
    use ErrorKind::{Authentication, BadReply, Denied, Limit, Malformed};
    let kinds = [Authentication, Denied, Malformed, BadReply, Limit];
    assert!(kinds.contains(&error.kind()), "{what}: the kind is {:?}: {error}", error.kind());
}

async fn dropped_half_way(backend: &dyn KmsBackend) {
    let context = EncryptionContext::empty();
    for _ in 0..20 {
        let dek = Dek::generate().expect("key memory");
        let mut call = pin!(backend.wrap_dek(&dek, &context));
        let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    round_trip(backend).await;
}

/// No async runtime around, many calls at once.
fn on_bare_threads(backend: &Arc<dyn KmsBackend>) {
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let backend = backend.clone();
            thread::spawn(move || {
                for context in contexts() {
                    let (dek, wrap) = wait(wrapped(&*backend, &context));
                    let back = wait(backend.unwrap_dek(&wrap, &context)).expect("unwrap_dek");
                    assert!(same(&dek, &back), "concurrent calls mixed up their DEKs");
                }
            })
        })
        .collect();
    for t in threads {
        t.join().expect("a call on a bare thread panicked");
    }
}

/// Under libkms's own time-out: kept, and no harm done where it strikes.
async fn time_outs(backend: &Arc<dyn KmsBackend>) {
    let context = EncryptionContext::empty();
    let kek = |timeout| {
        let policy = OutagePolicy::default().call_timeout(timeout);
        Kek::new(backend.clone(), Role::Wraps, Arc::new(Background), &policy).expect("a scheme")
    };
    let by = || Background.now() + PATIENCE;
    let (dek, recipient) = kek(PATIENCE).generate(&context, by()).await.expect("generate_dek in time");
    for _ in 0..5 {
        // Either it was quicker than that, or it was too slow: nothing else.
        let hasty = kek(HASTE).unwrap(&recipient, &context, Background.now() + HASTE).await;
        if let Err(e) = hasty {
            assert_eq!(e.kind(), ErrorKind::Unavailable, "a call that was given up: {e}");
        }
    }
    let back = kek(PATIENCE).unwrap(&recipient, &context, by()).await.expect("after time-outs");
    assert!(same(&dek, &back));
}

/// What one process wrapped, another one unwraps.
async fn restart(first: &dyn KmsBackend, second: &dyn KmsBackend) {
    for context in contexts() {
        let (dek, wrap) = wrapped(first, &context).await;
        let recipient = Recipient::new(first.scheme(), wrap);
        assert_eq!(second.scheme(), recipient.scheme);
        // As libkms asks where a record names a key that is not yet accepted.
        if !second.accepts(&recipient.wrapped.key_id) {
            second.current_key().await.expect("current_key");
        }
        assert!(
            second.accepts(&recipient.wrapped.key_id),
            "a second process does not accept the first one's key"
        );
        let back =
            second.unwrap_dek(&recipient.wrapped, &context).await.expect("unwrap_dek in a second process");
        assert!(same(&dek, &back));
    }
}
