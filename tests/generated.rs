//! The code of Kubernetes's KMS services, and of etcd's calls, is what their definitions make: no protoc
//! is needed to build the library, and none to look whether it is.
//!
//! After a change of either: `LIBKMS_REGENERATE=1 cargo test --all-features --test generated`.
use std::{env, fs, path::Path};

const KMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kek/k8s_kms");
const ETCD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/fleet/etcd");

/// Where it is; the definition, and the package in it; whether there is a server.
const ALL: [(&str, &str, &str, bool); 3] =
    [(KMS, "v2", "v2", true), (KMS, "v1beta1", "v1beta1", false), (ETCD, "etcd", "etcdserverpb", false)];

#[test]
fn the_code_of_the_services_is_what_their_definitions_make() {
    for (folder, definition, package, with_server) in ALL {
        let made = make(folder, definition, package, with_server);
        let kept = Path::new(folder).join(format!("generated/{package}.rs"));
        if env::var_os("LIBKMS_REGENERATE").is_some() {
            fs::write(&kept, &made).unwrap();
        }
        assert!(made.contains("_client {"), "{made}");
        assert_eq!(made.contains("pub mod key_management_service_server"), with_server);
        assert!(fs::read_to_string(&kept).unwrap() == made, "{} is not what is made", kept.display());
    }
}

fn make(folder: &str, definition: &str, package: &str, with_server: bool) -> String {
    let definitions = Path::new(folder).join("proto");
    let out = env::temp_dir().join(format!("libkms-generated-{package}-{}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    let files = protox::compile([format!("{definition}.proto")], [&definitions]).unwrap();
    tonic_prost_build::configure()
        .build_server(with_server)
        .build_transport(false)
        .emit_rerun_if_changed(false)
        // What holds keys is not shown.
        .skip_debug(["."])
        .out_dir(&out)
        .compile_fds(files)
        .unwrap();
    let made = fs::read_to_string(out.join(format!("{package}.rs"))).unwrap();
    fs::remove_dir_all(out).unwrap();
    made
}
