//! libkms beside Kubernetes' own code: `values GO`, the programs of `go/`.
mod values;

fn main() -> libkms::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["values", go] => values::run(go),
        _ => panic!("usage: values GO"),
    }
}
