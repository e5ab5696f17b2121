//! KEKs in processes of their own, whose home and environment are a test's; the test program
//! has an ignored test `asks` that is [`asks`].
#![allow(dead_code, reason = "each test file uses its own part")]
use super::{
    common::Folder,
    moto::{new_key, proxy},
    program::clean,
    proxy::{Proxy, Request},
};
use libkms::{Error, ErrorKind, Wait};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

/// A process that asks its KEK when it is told to.
pub struct Asker {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Asker {
    pub fn new(folder: &Folder, env: &[(&str, String)], uri: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "asks", "--ignored", "--nocapture"]);
        clean(&mut command, folder, env).env("ASKED_FOR", uri);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, to, from }
    }

    /// What it was told: a key, or an error.
    pub fn ask(&mut self) -> String {
        writeln!(self.to.as_mut().unwrap()).unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(self.from.read_line(&mut line).unwrap(), 0, "it ended");
            if let Some(answer) = line.trim().strip_prefix("answer: ") {
                return answer.to_owned();
            }
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

/// What such a process does. A call that takes longer than it may is dropped.
pub fn asks() {
    let env = |name| std::env::var(name).unwrap_or_default();
    let most = Duration::from_millis(env("ASKED_FOR_MS").parse().unwrap_or(60_000));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kek = libkms::kek::from_uri(&env("ASKED_FOR")).wait();
    for _ in std::io::stdin().lines() {
        let answer = kek.clone().and_then(|kek| {
            let call = async { tokio::time::timeout(most, kek.current_key()).await };
            runtime.block_on(call).unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "dropped")))
        });
        let answer = answer.map(|key| key.unwrap().to_string());
        println!("answer: {}", answer.unwrap_or_else(|e| format!("{:?}: {e}", e.kind())));
    }
}

/// moto behind a proxy, a key there, and a home.
pub struct World {
    pub folder: Folder,
    pub proxy: Proxy,
    pub key: String,
}

impl World {
    pub fn new(name: &str, config: &str) -> Self {
        let world = Self { folder: Folder::new(&format!("aws-{name}")), proxy: proxy(), key: new_key() };
        std::fs::create_dir(world.folder.join(".aws")).unwrap();
        world.write(".aws/config", config);
        world
    }

    pub fn write(&self, path: &str, text: &str) -> String {
        let path = self.folder.join(path);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A program of the home.
    pub fn program(&self, path: &str, script: &str) -> String {
        let path = self.write(path, &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        path
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy.at)
    }

    pub fn asker(&self, env: &[(&str, &str)], uri: &str) -> Asker {
        let (at, env) = (self.url(""), env.iter().map(|(n, v)| (*n, (*v).to_owned())));
        let mut all = vec![
            ("AWS_ENDPOINT_URL_KMS", at.clone()),
            ("AWS_ENDPOINT_URL_STS", at),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ];
        // What stands last counts.
        all.extend(env);
        Asker::new(&self.folder, &all, &uri.replace("KEY", &format!("aws-kms:{}", self.key)))
    }

    /// Asked once by a process with this environment: by whose access key.
    pub fn access(&self, env: &[(&str, &str)], uri: &str) -> String {
        self.asked(&mut self.asker(env, uri)).0
    }

    /// By whose access key, and with which session token.
    pub fn asked(&self, asker: &mut Asker) -> (String, String) {
        self.proxy.forget();
        assert_eq!(asker.ask(), self.key);
        let asked = self.proxy.requests().into_iter().rfind(|r| r.operation == "DescribeKey").unwrap();
        (access(&asked), asked.header("x-amz-security-token").unwrap_or_default().to_owned())
    }

    pub fn first(&self, operation: &str) -> Request {
        self.proxy.requests().into_iter().find(|r| r.operation == operation).unwrap()
    }
}

pub fn access(request: &Request) -> String {
    let authorization = request.header("authorization").unwrap_or_default();
    let access = authorization.split("Credential=").nth(1).and_then(|c| c.split('/').next());
    access.unwrap_or_default().into()
}
