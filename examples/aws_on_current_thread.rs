//! A key in AWS KMS under a current-thread tokio runtime: awaited, and waited for. Waiting
//! stalls the runtime for as long as AWS takes and no longer: libkms does its I/O on a
//! thread of its own.
use libkms::{Aad, EncryptionContext, Kms, Wait};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sealed = runtime.block_on(async {
        let orders = scope().await?;
        let sealed = orders.seal(Aad::from("order/1"), b"two pounds of tea").await?;
        // Deep in a call that knows no async:
        orders.open(Aad::from("order/1"), &sealed).wait()?;
        scope().wait()?.open(Aad::from("order/1"), &sealed).wait().map(|_| ())?;
        Ok::<_, libkms::Error>(sealed)
    })?;
    // Connections outlive the runtime that was around when they were made.
    drop(runtime);
    let opened = scope().wait()?.open(Aad::from("order/1"), &sealed).wait()?;
    assert_eq!(opened.plaintext, b"two pounds of tea");
    Ok(())
}

async fn scope() -> libkms::Result<libkms::Scope> {
    let kms = Kms::from_uri("aws-kms:alias/orders").await?;
    // A process that starts anew learns from this what its alias stands for.
    let scope = kms.scope(EncryptionContext::new([("purpose", "orders")])?);
    scope.seal(Aad::empty(), b"").await?;
    Ok(scope)
}
