//! A large file to an object store, in parts, in constant memory, its length known first.
use libkms::{Aad, EncryptionContext, Header, Kms, SealOptions, Wait};
use std::io::Read;

const PART: usize = 8 << 20;

/// The program; the tests run it too.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = std::env::temp_dir().join(format!("libkms-big-{}.json", std::process::id()));
    let kms = Kms::from_uri(&format!("local:{}#backup?create=true", keys.display())).wait()?;
    let backup = kms.scope(EncryptionContext::new([("purpose", "backup")])?);
    let path = "db/2026-11-24.kms";

    // 20 MB from anywhere: a file, a socket.
    let size = 20_000_000;
    let mut file = std::io::repeat(7).take(size);

    let mut sealing = backup.sealer_with(Aad::from(path), &SealOptions::new().len(size)).wait()?;
    let content_length = sealing.sealed_len(size);
    let mut upload = Vec::new(); // of parts
    let (mut buffer, mut part) = (vec![0; 1 << 20], Vec::with_capacity(PART + (2 << 20)));
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        sealing.push(&buffer[..n], &mut part)?;
        if part.len() >= PART {
            upload.push(std::mem::take(&mut part));
        }
    }
    sealing.finish(&mut part)?;
    upload.push(part);

    let stored = upload.concat();
    assert_eq!(stored.len() as u64, content_length);
    println!("{} parts, {content_length} bytes", upload.len());

    let mut object = &stored[..];
    let header = Header::read(&mut object)?;
    let mut back = Vec::new();
    backup.opener(Aad::from(path), &header).wait()?.reader(object).read_to_end(&mut back)?;
    assert!(back.len() as u64 == size && back.iter().all(|b| *b == 7));
    std::fs::remove_file(keys)?;
    Ok(())
}
