//! A key in AWS KMS, in a program without async. Credentials and region as the AWS tools
//! take them: AWS_PROFILE, AWS_REGION, ...
use libkms::{Aad, EncryptionContext, Kms, Wait};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kms = Kms::from_uri("aws-kms:alias/orders").wait()?;
    let orders = kms.scope(EncryptionContext::new([("purpose", "orders")])?);
    let sealed = orders.seal(Aad::from("order/1"), b"two pounds of tea").wait()?;
    let opened = orders.open(Aad::from("order/1"), &sealed).wait()?;
    println!("sealed and opened under {}", opened.key_id);
    assert_eq!(opened.plaintext, b"two pounds of tea");
    Ok(())
}
