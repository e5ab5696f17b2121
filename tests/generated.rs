//! The code of Kubernetes's KMS services is what their definitions make: no protoc is needed to
//! build the library, and none to look whether it is.
//!
//! After a change of either: `LIBKMS_REGENERATE=1 cargo test --all-features --test generated`.
use std::{env, fs, path::Path};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kek/k8s_kms");

#[test]
fn the_code_of_the_services_is_what_their_definitions_make() {
    // The server of the old one is not built.
    for (name, with_server) in [("v2", true), ("v1beta1", false)] {
        let (made, kept) = (make(name, with_server), Path::new(HERE).join(format!("generated/{name}.rs")));
        if env::var_os("LIBKMS_REGENERATE").is_some() {
            fs::write(&kept, &made).unwrap();
        }
        assert!(made.contains("pub mod key_management_service_client"), "{made}");
        assert_eq!(made.contains("pub mod key_management_service_server"), with_server);
        assert!(fs::read_to_string(&kept).unwrap() == made, "{} is not what is made", kept.display());
    }
}

fn make(name: &str, with_server: bool) -> String {
    let definitions = Path::new(HERE).join("proto");
    let out = env::temp_dir().join(format!("libkms-generated-{name}-{}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    let files = protox::compile([format!("{name}.proto")], [&definitions]).unwrap();
    tonic_prost_build::configure()
        .build_server(with_server)
        .build_transport(false)
        .emit_rerun_if_changed(false)
        // What holds keys is not shown.
        .skip_debug(["."])
        .out_dir(&out)
        .compile_fds(files)
        .unwrap();
    let made = fs::read_to_string(out.join(format!("{name}.rs"))).unwrap();
    fs::remove_dir_all(out).unwrap();
    made
}
