//! The program, in an environment of the AWS tools.
#![allow(dead_code, reason = "each test file uses its own part")]
use super::{common::Folder, moto::REGION};
use std::{
    net::SocketAddr,
    process::{Command, Output},
};

/// What the AWS tools are configured with.
pub fn environment(at: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL_KMS", format!("http://{at}")),
        ("AWS_REGION", REGION.into()),
        ("AWS_ACCESS_KEY_ID", "AKIDMARKER".into()),
        ("AWS_SECRET_ACCESS_KEY", "SECRETMARKER".into()),
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
    ]
}

/// With these variables and no others; at home in the folder.
pub fn clean<'a>(command: &'a mut Command, folder: &Folder, env: &[(&str, String)]) -> &'a mut Command {
    let inherited = ["PATH", "LD_LIBRARY_PATH", "LIBKMS_MOTO"].map(|n| (n, std::env::var_os(n)));
    command.env_clear().envs(inherited.into_iter().filter_map(|(n, v)| Some((n, v?))));
    let env = env.iter().map(|(n, v)| (*n, v.as_str()));
    command.envs(env).env("HOME", &folder.0).current_dir(&folder.0)
}

pub fn run(mut command: Command, folder: &Folder, env: &[(&str, String)]) -> Output {
    clean(&mut command, folder, env).output().unwrap()
}

pub fn kms(folder: &Folder, env: &[(&str, String)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kms"));
    command.args(args);
    run(command, folder, env)
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
