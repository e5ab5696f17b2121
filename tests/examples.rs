//! The examples run.
#[path = "../examples/big_file.rs"]
mod big_file;
#[path = "../examples/clock_and_faults.rs"]
mod clock_and_faults;
#[path = "../examples/custom_backend.rs"]
mod custom_backend;
#[path = "../examples/files.rs"]
mod files;
#[path = "../examples/ranges.rs"]
mod ranges;
#[path = "../examples/records.rs"]
mod records;
#[path = "../examples/tenants.rs"]
mod tenants;
#[path = "../examples/two_keks.rs"]
mod two_keks;

#[test]
fn records_run() {
    records::main().unwrap();
}

#[test]
fn big_file_runs() {
    big_file::main().unwrap();
}

#[test]
fn ranges_run() {
    ranges::main().unwrap();
}

#[test]
fn custom_backend_runs() {
    custom_backend::main().unwrap();
}

#[test]
fn files_run() {
    files::main().unwrap();
}

#[test]
fn clock_and_faults_runs() {
    clock_and_faults::main().unwrap();
}

#[test]
fn tenants_run() {
    tenants::main().unwrap();
}

#[test]
fn two_keks_runs() {
    two_keks::main().unwrap();
}
