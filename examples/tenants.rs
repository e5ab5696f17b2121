//! Ten thousand tenants: the purpose comes from a configuration, the tenant on top of it.
use libkms::{Aad, ErrorKind, KeySet, Result, Scope, Wait, kek::Schemes};
use std::time::Instant;

/// The program; the tests run it too.
pub fn main() -> Result<()> {
    let keyring = std::env::temp_dir().join(format!("libkms-tenants-{}.json", std::process::id()));
    // A program would have a file and KeySet::load("documents.toml").
    let text = format!(
        "[purpose.documents]
         keks = ['local:{}#documents?create=true']
         context = {{ purpose = 'documents' }}
         dek = {{ messages = 1000, time = '10m' }}",
        keyring.display()
    );
    let keys = KeySet::parse(&text, &Schemes::default()).wait()?;
    let documents = keys.purpose("documents")?;

    let start = Instant::now();
    let tenants = (0..10_000).map(|n| documents.with("tenant", format!("t{n}")));
    let tenants = tenants.collect::<Result<Vec<Scope>>>()?;
    let mut sealed = Vec::new();
    for tenant in &tenants {
        sealed.push(tenant.seal(Aad::from("document/1"), b"two pounds of tea").wait()?);
    }
    for (tenant, sealed) in tenants.iter().zip(&sealed) {
        assert_eq!(tenant.open(Aad::from("document/1"), sealed).wait()?.plaintext, b"two pounds of tea");
    }
    println!("{} tenants sealed and opened in {:?}", tenants.len(), start.elapsed());

    // What one tenant sealed, neither another nor the purpose itself opens.
    for foreign in [&tenants[0], documents] {
        let error = foreign.open(Aad::from("document/1"), &sealed[1]).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication);
    }
    std::fs::remove_file(keyring)?;
    Ok(())
}
