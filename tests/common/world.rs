//! A KMS on a clock that is set by hand, and one scope.
#![allow(dead_code, reason = "each test file uses its own part")]
use libkms::{
    Aad, EncryptionContext, Kms, OutagePolicy, Result, Scope, inspect,
    kek::Mock,
    rt::{Runtime, Simulated},
};
use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

pub struct World {
    pub clock: Simulated,
    pub kek: Mock,
    pub kms: Kms,
    pub scope: Scope,
}

impl World {
    pub fn new(policy: OutagePolicy) -> Self {
        let clock = Simulated::seeded(7);
        let kek = Mock::on(clock.clone(), "k");
        let kms =
            Kms::builder().kek(kek.clone()).runtime(clock.clone()).outage_policy(policy).build().unwrap();
        let scope = kms.scope(EncryptionContext::empty());
        Self { clock, kek, kms, scope }
    }

    pub fn seal(&self) -> Result<[u8; 32]> {
        let sealed = self.clock.block_on(self.scope.seal(Aad::empty(), b"x"))?;
        Ok(*inspect(&sealed)?.commitment())
    }

    /// How long it takes.
    pub fn timed<T>(&self, work: impl FnOnce(&Self) -> T) -> (T, Duration) {
        let begun = self.clock.now();
        let done = work(self);
        (done, self.clock.now() - begun)
    }

    pub fn until(&self, time: Duration) {
        self.clock.advance(time.saturating_sub(self.clock.now()));
    }
}

pub async fn seal(scope: Scope) -> Result<Vec<u8>> {
    scope.seal(Aad::empty(), b"x").await
}

/// All of them at once.
pub async fn all<T>(calls: &mut [Pin<Box<impl Future<Output = T> + ?Sized>>]) -> Vec<T> {
    let mut said: Vec<_> = calls.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (call, said) in calls.iter_mut().zip(&mut said).filter(|(_, said)| said.is_none()) {
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                *said = Some(answer);
            }
        }
        if said.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    said.into_iter().flatten().collect()
}
