//! `kms k8s status` and `rotate`, in a build that knows no etcd.
use crate::{
    args::{RotateArgs, StatusArgs},
    failure::Failure,
};
use std::process::ExitCode;

pub(super) fn status(_: &StatusArgs) -> Result<ExitCode, Failure> {
    Err(missing("status"))
}

pub(super) fn rotate(_: &RotateArgs) -> Result<ExitCode, Failure> {
    Err(missing("rotate"))
}

fn missing(what: &str) -> Failure {
    Failure::usage(&format!("k8s {what}: is not in this build of kms: it needs the feature etcd"))
}
