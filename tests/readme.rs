//! The shell examples of the README and of the manual's pages run as they stand, but for what
//! builds the program.
mod common;

use common::Folder;
use std::{fs, path::Path, process::Command};

/// The lines of a page's shell examples that call the program.
fn script(page: &str, text: &str) -> String {
    let blocks = text.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap());
    let install = "cargo install --path . --features cli && ";
    let script: String = blocks.filter(|b| b.contains("kms ")).map(|b| b.replace(install, "")).collect();
    assert!(script.lines().count() >= 8 && !script.contains("cargo"), "{page}: {script}");
    script
}

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap()
}

/// Runs the examples in `folder`, and gives what they said. The first command that fails ends
/// them.
fn run(page: &str, folder: &Folder) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_kms")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh")
        // A configuration that others can write is refused.
        .args(["-euc", &format!("umask 022\n{}", script(page, &read(page)))])
        .current_dir(&folder.0)
        .env("PATH", path)
        .env("HOME", &folder.0)
        .env_remove("XDG_DATA_HOME")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{page}: {said}");
    said
}

#[test]
fn shell_examples_run() {
    let folder = Folder::new("readme");
    fs::write(folder.join("README.md"), read("README.md")).unwrap();
    fs::write(folder.join("dump.sql"), "CREATE TABLE t;").unwrap();
    fs::create_dir(folder.join("photos")).unwrap();
    fs::write(folder.join("photos/a.jpg"), vec![7; 50_000]).unwrap();
    let said = run("README.md", &folder);
    assert!(said.contains("the same\n"), "{said}");
    assert!(said.contains("1000\n"), "a range of 1000 bytes: {said}");
    let restored = fs::read(folder.join("restored.sql")).unwrap();
    assert_eq!(restored, b"CREATE TABLE t;");
}

/// The life of a key, from the first command to the last.
#[test]
fn the_manuals_rotation_runs() {
    let folder = Folder::new("rotation");
    let said = run("src/manual/rotation.md", &folder);
    assert_eq!(said.matches("2 rewrapped, 0 current, 0 failed\n").count(), 5, "{said}");
    assert!(said.contains("orders/1  ") && said.contains("  destroyed\n"), "{said}");
    assert!(said.contains("Dear Ada\n"), "{said}");
    assert!(!said.contains("two pounds of tea"), "verified, not shown: {said}");
}

#[test]
fn the_manuals_revocation_runs() {
    let folder = Folder::new("revocation");
    let said = run("src/manual/revocation.md", &folder);
    let deks: Vec<_> = said.lines().filter(|l| l.contains("commitment")).collect();
    assert!(deks.len() == 2 && deks[0] == deks[1], "one DEK before and after a rewrap: {said}");
    assert!(said.contains("local orders/1,") && said.contains("local orders/2,"), "{said}");
    assert!(said.contains("orders/1 is disabled"), "the copy, in the end: {said}");
}

#[test]
fn the_manuals_shredding_runs() {
    let folder = Folder::new("shredding");
    let said = run("src/manual/shredding.md", &folder);
    assert!(said.contains("7.kms: no KEK opened this; local:t7/1: t7/1 is destroyed"), "{said}");
    assert!(said.contains("t7/1  ") && said.contains("  destroyed\n"), "{said}");
}
