//! A KMS of which one kind of call fails, while the others answer.
mod common;

use common::context;
use libkms::{
    Aad, Dek, EncryptionContext, Error, ErrorKind, KeyId, Kms, Result, WrappedDek, async_trait,
    kek::{KmsBackend, Mock},
    rt::{Runtime, Simulated},
};
use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

const S: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq)]
enum Call {
    Wrap,
    Unwrap,
    Question,
}

/// Calls of one kind fail, or hang.
#[derive(Clone)]
struct Partly(Mock, Arc<Mutex<Option<(Call, bool)>>>);

impl Partly {
    async fn meets(&self, call: Call) -> Result<()> {
        let fails = *self.1.lock().unwrap();
        match fails {
            Some((fails, true)) if fails == call => pending().await,
            Some((fails, _)) if fails == call => Err(Error::new(ErrorKind::Unavailable, "on purpose")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl KmsBackend for Partly {
    fn scheme(&self) -> &str {
        "mock"
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.0.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        self.meets(Call::Wrap).await?;
        self.0.wrap_dek(dek, context).await
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.meets(Call::Unwrap).await?;
        self.0.unwrap_dek(wrapped, context).await
    }
    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.meets(Call::Question).await?;
        self.0.current_key().await
    }
}

/// A hundred seconds in which each second something new is sealed, and something else opened
/// that nobody remembers.
struct Rounds {
    /// How many of them, and how long all of them took.
    sealed: u32,
    sealing: Duration,
    opened: u32,
    opening: Duration,
    /// Calls that failed.
    failed: u64,
}

fn rounds(fails: Call, hangs: bool) -> Rounds {
    let clock = Simulated::seeded(7);
    let kek = Partly(Mock::on(clock.clone(), "k"), Arc::default());
    let kms = || Kms::builder().kek(kek.clone()).runtime(clock.clone()).build().unwrap();
    let seal = |kms: &Kms, n: u32| {
        let scope = kms.scope(context(&[("t", &n.to_string())]));
        clock.block_on(scope.seal(Aad::empty(), b"x"))
    };
    let writer = kms();
    let sealed: Vec<_> = (0..100).map(|n| seal(&writer, n).unwrap()).collect();
    *kek.1.lock().unwrap() = Some((fails, hangs));
    let kms = kms();
    let mut done =
        Rounds { sealed: 0, sealing: Duration::ZERO, opened: 0, opening: Duration::ZERO, failed: 0 };
    for (n, sealed) in (0..).zip(&sealed) {
        let begun = clock.now();
        done.sealed += u32::from(seal(&kms, 1000 + n).is_ok());
        done.sealing += clock.now() - begun;
        let begun = clock.now();
        let scope = kms.scope(context(&[("t", &n.to_string())]));
        done.opened += u32::from(clock.block_on(scope.open(Aad::empty(), sealed)).is_ok());
        done.opening += clock.now() - begun;
        clock.advance(S);
    }
    done.failed = kms.health().backends[0].failed;
    done
}

/// As when the quota of one kind is used up, or the key that wraps now cannot be used, and
/// those before it can.
#[test]
fn what_fails_is_left_alone_and_what_answers_is_not() {
    for hangs in [false, true] {
        let unwraps = rounds(Call::Unwrap, hangs);
        assert_eq!((unwraps.sealed, unwraps.sealing, unwraps.opened), (100, Duration::ZERO, 0));
        assert!(unwraps.failed <= 25 && unwraps.opening < 90 * S, "{:?}", unwraps.opening);
        let wraps = rounds(Call::Wrap, hangs);
        assert_eq!((wraps.opened, wraps.opening, wraps.sealed), (100, Duration::ZERO, 0));
        assert!(wraps.failed <= 25 && wraps.sealing < 90 * S, "{:?}", wraps.sealing);
        let questions = rounds(Call::Question, hangs);
        assert_eq!((questions.sealed, questions.sealing), (100, Duration::ZERO));
        assert_eq!((questions.opened, questions.opening), (100, Duration::ZERO));
    }
}
