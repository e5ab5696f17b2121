//! libkms beside Kubernetes' own code: `values GO`, the program of `go/`, and `plugin KMS GO FOLDER`, the
//! program `kms` and the plugin of `tests/kubernetes/go-plugin`.
mod plugin;
mod values;

fn main() -> libkms::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["values", go] => values::run(go),
        ["plugin", kms, go, folder] => plugin::run(kms, go, folder.as_ref()),
        _ => panic!("usage: values GO | plugin KMS GO FOLDER"),
    }
}

/// Of them all.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
