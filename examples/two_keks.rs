//! Two KEKs for every DEK: any one of them opens.
use libkms::{
    Aad, EncryptionContext, Kms, Wait,
    kek::{Fault, Mock},
};

/// The program; the tests run it too.
pub fn main() -> libkms::Result<()> {
    let (frankfurt, dublin) = (Mock::new("eu-central-1"), Mock::new("eu-west-1"));
    let build = || {
        let kms = Kms::builder().kek(frankfurt.clone()).kek(dublin.clone()).build();
        kms.map(|k| k.scope(EncryptionContext::empty()))
    };
    let sealed = build()?.seal(Aad::empty(), b"x").wait()?;
    frankfurt.always(Some(Fault::Unavailable));
    println!("{:?}", build()?.open(Aad::empty(), &sealed).wait()?);
    dublin.always(Some(Fault::Denied));
    println!("{}", build()?.open(Aad::empty(), &sealed).wait().unwrap_err());
    Ok(())
}
