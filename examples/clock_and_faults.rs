//! A test of one's own outage: no sleeping, no flakes.
use libkms::{
    Aad, DekPolicy, EncryptionContext, ErrorKind, Kms, Wait,
    kek::{Fault, Mock},
    rt::Simulated,
};
use std::time::Duration;

/// The program; the tests run it too.
pub fn main() -> libkms::Result<()> {
    let (clock, kek) = (Simulated::new(), Mock::new("orders"));
    let policy = DekPolicy::reuse().for_time(Duration::from_secs(600));
    let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).dek_policy(policy).build()?;
    let scope = kms.scope(EncryptionContext::empty());
    let first = scope.seal(Aad::empty(), b"x").wait()?;
    scope.seal(Aad::empty(), b"y").wait()?;
    assert_eq!(kek.calls(), 1);

    // The DEK is too old and the KMS is down: sealing goes on for three minutes, no longer.
    kek.always(Some(Fault::Unavailable));
    clock.advance(Duration::from_secs(660));
    clock.block_on(scope.seal(Aad::empty(), b"z"))?;
    println!("{:?}", kms.health());
    clock.advance(Duration::from_secs(120));
    let error = clock.block_on(scope.seal(Aad::empty(), b"z")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    // It is back, with a new version of the key, which is known half a minute later: what was
    // sealed before is stale, and opens.
    kek.always(None);
    kek.rotate();
    clock.advance(Duration::from_secs(30));
    assert!(scope.open(Aad::empty(), &first).wait()?.is_stale());

    // A KMS that hangs: simulated time runs to the time-out by itself.
    kek.always(Some(Fault::Hang));
    clock.advance(Duration::from_secs(900));
    println!("{}", clock.block_on(scope.seal(Aad::empty(), b"w")).unwrap_err());

    // A thousand cold opens, one call.
    kek.always(None);
    let before = kek.calls();
    let scope = Kms::builder().kek(kek.clone()).build()?.scope(EncryptionContext::empty());
    std::thread::scope(|threads| {
        for _ in 0..1000 {
            threads.spawn(|| scope.open(Aad::empty(), &first).wait().expect("opens"));
        }
    });
    println!("1,000 opens, {} call", kek.calls() - before);
    Ok(())
}
