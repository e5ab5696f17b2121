//! A column of a database: the context is the table and the tenant, the aad is the row.
use libkms::{Aad, EncryptionContext, ErrorKind, Kms, Result, Wait};
use std::collections::BTreeMap;

/// The program; the tests run it too.
pub fn main() -> Result<()> {
    let keys = std::env::temp_dir().join(format!("libkms-records-{}.json", std::process::id()));
    let kms = Kms::from_uri(&format!("local:{}#users?create=true", keys.display())).wait()?;
    let emails = kms.scope(EncryptionContext::new([("table", "users"), ("column", "email")])?);

    // The table: by tenant and row, what was sealed.
    let mut table = BTreeMap::new();
    for (tenant, row, email) in
        [("a", 1i64, "ada@example.org"), ("a", 2, "alan@example.org"), ("b", 1, "grace@example.org")]
    {
        let of_tenant = emails.with("tenant", tenant)?;
        table.insert((tenant, row), of_tenant.seal(Aad::new(&row.to_be_bytes()), email.as_bytes()).wait()?);
    }

    let of_a = emails.with("tenant", "a")?;
    let opened = of_a.open(Aad::new(&1i64.to_be_bytes()), &table[&("a", 1)]).wait()?;
    assert_eq!(opened.plaintext, b"ada@example.org");
    println!("row 1 of a: {} bytes, {:?} under {}", opened.plaintext.len(), opened.freshness, opened.key_id);

    // Neither another row nor another tenant can stand in for it.
    for foreign in [&table[&("a", 2)], &table[&("b", 1)]] {
        let error = of_a.open(Aad::new(&1i64.to_be_bytes()), foreign).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication);
    }
    std::fs::remove_file(keys)?;
    Ok(())
}
