//! The README's shell examples run as they stand, but for what builds the program.
mod common;

use common::Folder;
use std::{fs, path::Path, process::Command};

#[test]
fn shell_examples_run() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap());
    let install = "cargo install --path . --features cli && ";
    let script: String = blocks.filter(|b| b.contains("kms ")).map(|b| b.replace(install, "")).collect();
    assert!(script.lines().count() >= 8 && !script.contains("cargo"), "{script}");
    let folder = Folder::new("readme");
    fs::write(folder.join("README.md"), &readme).unwrap();
    fs::write(folder.join("dump.sql"), "CREATE TABLE t;").unwrap();
    fs::create_dir(folder.join("photos")).unwrap();
    fs::write(folder.join("photos/a.jpg"), vec![7; 50_000]).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_kms")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh")
        // A configuration that others can write is refused.
        .args(["-euc", &format!("umask 022\n{script}")])
        .current_dir(&folder.0)
        .env("PATH", path)
        .env("HOME", &folder.0)
        .env_remove("XDG_DATA_HOME")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("the same\n"), "{said}");
    assert!(said.contains("1000\n"), "a range of 1000 bytes: {said}");
    let restored = fs::read(folder.join("restored.sql")).unwrap();
    assert_eq!(restored, b"CREATE TABLE t;");
}
