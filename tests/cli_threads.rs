//! The program on several threads: the same files, the same failures.
#![cfg(target_os = "linux")]
mod common;

use common::{Folder, header_len, pattern};
use std::{
    fs,
    io::{Read, Write},
    process::{Child, Command, Output, Stdio},
    thread,
};

/// Around what is read at once, and beyond all that is held.
const SIZES: [usize; 6] = [0, 1, 65_536, 327_680, 327_681, (3 << 20) + 7];
const THREADS: [usize; 4] = [1, 2, 3, 9];

struct Home(Folder);

impl Home {
    fn new(name: &str) -> Self {
        let home = Self(Folder::new(name));
        home.done("keyring create ring --key k", b"");
        home
    }

    fn spawn(&self, line: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kms"));
        command.args(line.split_whitespace()).current_dir(&self.0.0);
        if line.starts_with("seal") || line.starts_with("open") {
            command.args(["--kek", "local:ring#k"]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn feed(&self, line: &str, input: &[u8]) -> Output {
        finish(self.spawn(line), input)
    }

    fn done(&self, line: &str, input: &[u8]) -> Vec<u8> {
        let output = self.feed(line, input);
        assert!(output.status.success(), "{line}: {output:?}");
        output.stdout
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }
}

/// Feeds it; it may not read all.
fn finish(mut child: Child, input: &[u8]) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

#[test]
fn files_and_pipes_come_back() {
    let home = Home::new("threads-back");
    for (size, n) in SIZES.into_iter().flat_map(|size| THREADS.map(|n| (size, n))) {
        let text = pattern(size);
        fs::write(home.0.join("a"), &text).unwrap();
        home.done(&format!("seal a --force --threads {n}"), b"");
        home.done("open a.kms -o b --force --threads 2", b"");
        assert!(home.read("b") == text, "{size} bytes on {n}");
        home.done(&format!("open a.kms --verify --threads {n}"), b"");
        let sealed = home.done(&format!("seal - --threads {n}"), &text);
        assert!(home.done(&format!("open - --threads {n}"), &sealed) == text, "{size} bytes on {n}");
        assert!(home.done("open -", &home.read("a.kms")) == text, "by default");
        home.done(&format!("seal a --header kept -o r --force --threads {n}"), b"");
        assert!(home.done(&format!("open r --header kept -o - --threads {n}"), b"") == text);
    }
}

#[test]
fn what_is_not_authentic_is_not_written() {
    let home = Home::new("threads-altered");
    let text = pattern(3 << 20);
    let sealed = home.done("seal - --threads 3", &text);
    let start = header_len(&sealed) + 56;
    for (chunk, n) in [0, 3, 70, 191].into_iter().flat_map(|chunk| THREADS.map(|n| (chunk, n))) {
        let mut bad = sealed.clone();
        bad[start + chunk * 16_400 + 9] ^= 1;
        let output = home.feed(&format!("open - --threads {n}"), &bad);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(output.stdout == text[..chunk * 16_384], "chunk {chunk} on {n}");
        fs::write(home.0.join("bad.kms"), &bad).unwrap();
        let output = home.feed(&format!("open bad.kms --threads {n}"), b"");
        assert!(output.status.code() == Some(3) && !home.0.join("bad").exists());
        let cut = &sealed[..start + chunk * 16_400];
        let output = home.feed(&format!("open - --threads {n}"), cut);
        assert!(!output.status.success() && output.stdout == text[..chunk * 16_384]);
    }
}

#[test]
fn who_reads_may_go() {
    let home = Home::new("threads-gone");
    let text = pattern(8 << 20);
    let sealed = home.done("seal -", &text);
    for (line, input) in [("seal - --threads 3", &text), ("open - --threads 3", &sealed)] {
        let mut child = home.spawn(line);
        drop(child.stdout.take());
        let output = finish(child, input);
        assert_eq!((output.status.code(), &*output.stderr), (Some(1), &b""[..]), "{line}");
    }
}

/// A pipe whose other end waits for what comes out: nothing is kept back for more.
#[test]
fn whole_chunks_come_out_while_the_input_waits() {
    let home = Home::new("threads-waits");
    for n in THREADS {
        let mut child = home.spawn(&format!("seal - --threads {n}"));
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut sealed = vec![0; 8192 + 56];
        for round in 0..40 {
            stdin.write_all(&pattern(16_384)).unwrap();
            if round == 0 {
                stdout.read_exact(&mut sealed).unwrap();
            }
            // Up to 1 KiB stands in the buffer of standard output.
            let mut chunk = vec![0; 15_000];
            stdout.read_exact(&mut chunk).unwrap();
            sealed.extend(chunk);
        }
        drop(stdin);
        stdout.read_to_end(&mut sealed).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(home.done("open -", &sealed) == pattern(16_384).repeat(40), "on {n}");
    }
}

#[test]
fn there_are_as_many_threads_as_were_said() {
    let home = Home::new("threads-count");
    for n in THREADS {
        let mut child = home.spawn(&format!("seal - -o /dev/null --threads {n}"));
        let mut stdin = child.stdin.take().unwrap();
        let mut most = 0;
        for _ in 0..64 {
            stdin.write_all(&pattern(1 << 18)).unwrap();
            let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
            let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
            most = most.max(names.filter(|name| name == "libkms-stream\n").count());
        }
        drop(stdin);
        assert!(child.wait().unwrap().success());
        assert_eq!(most, n - 1, "beside the first one");
    }
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let home = Home::new("threads-numbers");
    for n in ["0", "257", "-1", "x", "1.5", "99999999999999999999"] {
        for command in ["seal", "open"] {
            let output = home.feed(&format!("{command} - --threads={n}"), b"");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code() == Some(2) && said.contains("1 to 256"), "{said}");
        }
    }
    for command in ["seal", "open"] {
        let help = String::from_utf8(home.done(&format!("{command} --help"), b"")).unwrap();
        assert!(help.contains("--threads <N>") && help.contains("1 to 256"));
    }
    assert!(String::from_utf8(home.done("completions bash", b"")).unwrap().contains("--threads"));
}
