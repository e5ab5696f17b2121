//! Files, in a program without async.
use libkms::{Aad, EncryptionContext, Error, Header, Kms, Wait};
use std::{fs, io::BufReader};

/// The program; the tests run it too.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("libkms-files-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let uri = format!("local:{}#files?create=true", folder.join("keys.json").display());
    let scope = Kms::from_uri(&uri).wait()?.scope(EncryptionContext::empty());

    let (plain, sealed, back) = (folder.join("a"), folder.join("a.kms"), folder.join("b"));
    fs::write(&plain, vec![1; 100_000])?;
    scope.seal_file(Aad::empty(), &plain, &sealed)?;
    let outcome = scope.open_file(Aad::empty(), &sealed, &back)?;
    assert_eq!(fs::read(&plain)?, fs::read(&back)?);
    println!("{} bytes", outcome.bytes);

    // What it says without keys.
    let header = Header::read(BufReader::new(fs::File::open(&sealed)?))?;
    println!("{header:?}");

    // One byte flipped: an error, and no file.
    let mut bytes = fs::read(&sealed)?;
    bytes[5000] ^= 1;
    fs::write(&sealed, &bytes)?;
    fs::remove_file(&back)?;
    let error: Error = scope.open_file(Aad::empty(), &sealed, &back).unwrap_err();
    println!("{error}");
    assert!(!back.exists());
    fs::remove_dir_all(folder)?;
    Ok(())
}
