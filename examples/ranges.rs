//! A range out of a sealed object: by `Read + Seek` on a file, by range requests on a store.
use libkms::{Aad, EncryptionContext, Header, Kms, Wait, stream};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};

/// The program; the tests run it too.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = std::env::temp_dir().join(format!("libkms-ranges-{}.json", std::process::id()));
    let kms = Kms::from_uri(&format!("local:{}#backup?create=true", keys.display())).wait()?;
    let scope = kms.scope(EncryptionContext::empty());
    let plain: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    let mut writer = scope.sealer(Aad::empty()).wait()?.writer(Vec::new());
    writer.write_all(&plain)?;
    let sealed = writer.finish()?;

    // A file.
    let mut file = Cursor::new(&sealed);
    let header = Header::read(&mut file)?;
    let mut reader = scope.opener(Aad::empty(), &header).wait()?.seekable(file)?;
    let mut four = [0; 4];
    reader.seek(SeekFrom::Start(4 * 777_777))?;
    reader.read_exact(&mut four)?;
    assert_eq!(u32::from_le_bytes(four), 777_777);

    // A store: the first bytes once, then one request for each range.
    let get = |range: std::ops::Range<u64>| &sealed[range.start as usize..range.end as usize];
    let size = sealed.len() as u64;
    let prefix = get(0..stream::PREFIX as u64);
    let opening = scope.opener(Aad::empty(), &Header::parse(prefix)?).wait()?;
    let plan = opening.plan(100_000..250_000, size)?;
    let got = opening.open_range(&plan, prefix, get(plan.sealed()))?;
    assert!(got == plain[100_000..250_000]);
    println!("150,000 bytes of plaintext from bytes {:?}", plan.sealed());
    std::fs::remove_file(keys)?;
    Ok(())
}
