//! `kms rewrap` and `kms stale` over trees of files: at scale, interrupted, two at once, on what
//! trees can hold.
#![cfg(unix)]
mod common;

use common::*;
use libkms::{
    Aad, Copies, Kms, Scope, SealOptions, Wait,
    kek::{Keyring, KeyringFile},
};
use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kms");
const KEK: &str = "--kek local:ring#k";

#[test]
fn a_tree_leaves_an_old_version() {
    let home = Home::new("story");
    let files = home.plant("tree/x/y", 60);
    home.plant("tree/z", 40);
    let ran = home.runs(0, &format!("stale tree {KEK}"));
    assert_eq!(
        (&*ran.out, &*ran.err),
        ("", "kms: 100 files looked at, 0 not current, 0 failed\nkms: local:k/1: 100 files\n")
    );
    home.rotate();
    home.plant("tree/new", 1);
    let ran = home.runs(10, &format!("stale -r tree {KEK}"));
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(lines.len() == 100 && lines.is_sorted(), "{}", ran.out);
    assert_eq!(lines[0], "tree/x/y/0000.kms  local:k/1");
    assert!(ran.err.contains("101 files looked at, 100 not current, 0 failed"), "{}", ran.err);
    assert!(ran.err.ends_with("local:k/1: 100 files\nkms: local:k/2: 1 file\n"), "{}", ran.err);
    home.runs(10, "stale tree --key local:k/1");

    let ran = home.runs(0, &format!("rewrap -r tree {KEK} --jobs 8"));
    let report = "100 rewrapped, 1 current, 0 failed\nlocal:k/1: 100 before, 0 after\nlocal:k/2: 1 before, 101 after\n";
    assert_eq!((&*ran.out, &*ran.err), (report, ""));
    home.runs(0, &format!("stale tree {KEK}"));
    let ran = home.runs(0, "stale tree --key local:k/1");
    assert!(ran.err.starts_with("kms: 101 files looked at, 0 with such a key, 0 failed\n"), "{}", ran.err);
    // As a script asks before it destroys.
    let script = "set -e; k=\"$0\"; $k stale tree --key local:k/1; $k keyring disable ring --key k --key-version 1; \
                  $k keyring destroy ring --key k --key-version 1 --confirm k/1";
    assert_eq!(finish(home.command("bash").args(["-c", script, PROGRAM]).spawn().unwrap()).code, 0);
    home.runs(0, &format!("open -r tree --verify {KEK}"));
    home.all_open(&files);
    assert_eq!(
        home.runs(0, &format!("rewrap -r tree {KEK}")).out.lines().next().unwrap(),
        "0 rewrapped, 101 current, 0 failed"
    );
}

#[test]
fn reports_are_told_to_programs() {
    let home = Home::new("json");
    home.plant("tree", 6);
    let none = home.runs(0, &format!("stale tree {KEK} --json")).json();
    assert_eq!((&none["listed"], &none["failures"]), (&serde_json::json!([]), &serde_json::json!([])));
    home.rotate();
    home.write("tree/a b\n\u{1b}.kms", b"junk");
    home.write("tree/0003.kms", &home.read("tree/0003.kms")[..30]);
    let mut damaged = home.read("tree/0000.kms");
    damaged[5000] ^= 1;
    home.write("tree/0000.kms", &damaged);
    let ran = home.runs(4, &format!("stale tree {KEK} --json"));
    assert!(!ran.out.contains('\u{1b}'));
    let told = ran.json();
    assert_eq!((&told["files"], &told["found"], &told["failed"]), (&5.into(), &5.into(), &2.into()));
    assert_eq!(told["keys"], serde_json::json!({ "local:k/1": 5 }));
    let first = serde_json::json!({ "file": "tree/0000.kms", "keys": ["local:k/1"], "freshness": "stale", "damage": "second_lost" });
    assert_eq!(told["listed"][0], first);
    assert_eq!(told["listed"].as_array().unwrap().len(), 5);
    assert_eq!(told["failures"][1]["file"], "tree/a b\n\u{1b}.kms");
    assert_eq!(told["failures"][1]["exit_code"], 4);
    let by_key = home.runs(4, "stale tree --key local:k/1 --json").json();
    assert!(by_key["found"] == 5 && by_key["listed"][4]["freshness"].is_null());
    // The same as text: what is wrong stands behind, and nothing reaches the terminal.
    let ran = home.runs(4, &format!("stale tree {KEK}"));
    assert!(
        ran.out.starts_with("tree/0000.kms  local:k/1  the second of two header copies is lost\n"),
        "{}",
        ran.out
    );

    let ran = home.runs(4, &format!("rewrap -r tree {KEK} --json"));
    let report = ran.json();
    assert_eq!(
        (&report["rewrapped"], &report["current"], &report["failed"]),
        (&5.into(), &0.into(), &2.into())
    );
    assert_eq!(report["before"], serde_json::json!({ "local:k/1": 5 }));
    assert_eq!(report["after"], serde_json::json!({ "local:k/2": 5 }));
    let failures = report["failures"].as_array().unwrap();
    let files: Vec<_> = failures.iter().map(|f| f["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["tree/0003.kms", "tree/a b\n\u{1b}.kms"]);
    assert!(failures.iter().all(|f| f["exit_code"] == 4 && f["error"].as_str().unwrap().len() > 5));
    assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
    for (command, members) in [("rewrap", &report), ("stale", &told)] {
        let help = home.runs(0, &format!("{command} --help")).out;
        let inner = members["listed"][0].as_object().into_iter().flatten();
        for (name, _) in
            members.as_object().unwrap().iter().chain(failures[0].as_object().unwrap()).chain(inner)
        {
            assert!(help.contains(name), "{command}: {name}");
        }
    }
}

#[test]
fn what_a_tree_can_hold() {
    let home = Home::new("hostile");
    home.chmod(".", 0o777);
    let good = home.plant("tree", 8);
    home.write("tree/new\nline\u{1b}[2J.kms", b"junk");
    home.write("tree/cut.kms", &home.read("tree/0000.kms")[..5000]);
    let other = seal_stream(&home.scope(&[("a", "b")]), "", &SealOptions::new().store_context(), b"x");
    home.write("tree/other.kms", &other);
    for name in ["unreadable", "read-only", "current"] {
        fs::copy(home.path("tree/0000.kms"), home.path(&format!("tree/{name}.kms"))).unwrap();
    }
    fs::create_dir(home.path("tree/closed")).unwrap();
    symlink(".", home.path("tree/loop")).unwrap();
    symlink("0000.kms", home.path("tree/link.kms")).unwrap();
    let fifo = home.path("tree/fifo.kms");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    home.rotate();
    home.runs(0, &format!("rewrap tree/current.kms {KEK}"));
    fs::copy(home.path("ring"), home.path("theirs")).unwrap();
    Command::new("chmod").args(["-R", "a+rwX", "."]).current_dir(&home.folder.0).status().unwrap();
    for (name, mode) in [
        ("ring", 0o600),
        ("theirs", 0o600),
        ("tree/unreadable.kms", 0),
        ("tree/read-only.kms", 0o444),
        ("tree/current.kms", 0o444),
        ("tree/closed", 0),
    ] {
        home.chmod(name, mode);
    }
    let begun = Instant::now();
    let line = "stale tree tree/fifo.kms missing";
    let theirs = "--kek local:theirs#k";
    let ran = finish(home.as_nobody(&format!("{line} {theirs}")));
    assert_eq!(ran.code, 1, "failures of several kinds: {}", ran.err);
    assert_eq!(ran.out.lines().count(), 8 + 2, "{}", ran.out);
    assert_eq!(
        failed_files(&ran),
        [
            "missing",
            "tree/closed",
            "tree/cut.kms",
            "tree/fifo.kms",
            r"tree/new\nline\u{1b}[2J.kms",
            "tree/unreadable.kms"
        ]
    );

    let line = "rewrap -r tree tree/fifo.kms tree missing -r missing";
    let ran = finish(home.as_nobody(&format!("{line} {theirs} --jobs 3")));
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.starts_with("8 rewrapped, 1 current, 10 failed\n"), "{}\n{}", ran.out, ran.err);
    let mut failed = failed_files(&ran);
    failed.sort();
    let expected = [
        "missing",
        "missing",
        "tree",
        "tree/closed",
        "tree/cut.kms",
        "tree/fifo.kms",
        r"tree/new\nline\u{1b}[2J.kms",
        "tree/other.kms",
        "tree/read-only.kms",
        "tree/unreadable.kms",
    ];
    assert_eq!(failed, expected);
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for a fifo");
    home.chmod("tree/closed", 0o700);
    home.all_open(&good);
    // One kind, one code; each with its reason.
    for (code, file, why) in [
        (1, "missing", "No such file"),
        (2, "tree", "is a directory"),
        (2, "tree/fifo.kms", "not a regular file"),
        (4, "tree/cut.kms", "cut off"),
        (8, "tree/other.kms", "--context a=b"),
    ] {
        let ran = home.runs(code, &format!("rewrap {file} {KEK}"));
        assert!(ran.err.contains(why), "{}", ran.err);
    }
    home.runs(3, &format!("rewrap tree/other.kms {KEK} --context a=c"));
    home.runs(0, &format!("rewrap tree/other.kms {KEK} --stored-context"));
}

fn failed_files(ran: &Ran) -> Vec<String> {
    let about = |line: &str| line.strip_prefix("kms: ")?.split_once(": ").map(|(file, _)| file.to_owned());
    ran.err
        .lines()
        .filter(|l| !l.contains("looked at") && !l.starts_with("kms: local:"))
        .filter_map(about)
        .collect()
}

#[test]
fn mistakes_are_told() {
    let home = Home::new("mistakes");
    home.plant("tree", 1);
    for line in [
        "rewrap -r tree --kek local:ring#k --jobs 0",
        "rewrap -r tree --kek local:ring#k --jobs 257",
        "rewrap -r tree --kek local:ring#k --jobs many",
        "rewrap -r tree --opens-with local:ring#k",
        "stale",
        "stale tree --kek local:ring#k --jobs 0",
        "stale tree --opens-with local:ring#k",
        "stale tree --key local:k/1 --kek local:ring#k",
        // No header can name these: that nothing is found would be no answer.
        "stale tree --key k/1",
        "stale tree --key local:k",
        "stale tree --key local:k/01",
        "stale tree --key local:ring#k",
        "stale tree --key local:ring#k/1",
    ] {
        let ran = home.runs(2, line);
        assert_eq!((&*ran.out, ran.err.lines().count()), ("", 1), "{line}: {}", ran.err);
    }
    home.runs(0, "stale tree --key aws-kms:arn:aws:kms:eu-west-1:1:key/1");
    home.runs(1, "stale missing --key local:k/1");
    home.runs(1, &format!("stale -r tree/0000.kms {KEK}"));
    fs::create_dir(home.path("empty")).unwrap();
    let ran = home.runs(0, &format!("stale empty {KEK}"));
    assert_eq!(ran.err, "kms: 0 files looked at, 0 not current, 0 failed\n");
    // Without a KEK it is the user's keyring, as everywhere.
    home.runs(1, "stale tree");
    // Who reads may go.
    home.rotate();
    let mut child = home.kms(&format!("stale tree {KEK}")).spawn().unwrap();
    drop(child.stdout.take());
    let ran = finish(child);
    assert!(ran.code == 1 && ran.err.is_empty(), "{} {}", ran.code, ran.err);
}

#[test]
fn a_terminal_sees_how_far_it_is() {
    let home = Home::new("terminal");
    home.plant("tree", 60);
    home.write("tree/junk.kms", b"junk");
    home.rotate();
    // script (util-linux) gives the program a terminal.
    let on_terminal = |line: &str| {
        let mut script = home.command("script");
        script.args(["-qec", &format!("{PROGRAM} {line}"), "/dev/null"]).env("TERM", "xterm");
        let ran = script.output().ok().filter(|o| o.status.code() != Some(127))?;
        Some(String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    if on_terminal("--version").is_none_or(|said| !said.starts_with("kms ")) {
        return;
    }
    let said = on_terminal(&format!("rewrap -r tree {KEK}")).unwrap();
    assert!(said.contains(" files"), "{said}");
    assert!(
        said.contains("kms: tree/junk.kms: ") && said.contains("60 rewrapped, 0 current, 1 failed"),
        "{said}"
    );
    let said = on_terminal("stale tree --key local:k/2").unwrap();
    assert!(!said.contains(" files,"), "no bar over the listing: {said}");
    let said = on_terminal("stale tree --key local:k/2 >/dev/null").unwrap();
    assert!(said.contains(" files"), "{said}");
    let said = on_terminal(&format!("rewrap -r tree {KEK} 2>&1 | cat")).unwrap();
    assert!(!said.contains(" of "), "no bar on a pipe: {said}");
}

#[test]
fn both_on_one_tree() {
    let home = Home::new("both");
    let files = home.plant("tree", 120);
    for _ in 0..3 {
        home.rotate();
        let line = format!("rewrap -r tree {KEK} --jobs 4 --json");
        let both = [(); 2].map(|()| home.kms(&line).spawn().unwrap()).map(finish);
        let number = |ran: &Ran, of: &str| ran.json()[of].as_u64().unwrap();
        assert!(both.iter().all(|ran| ran.code == 0 && ran.err.is_empty()), "{:?}", both.map(|ran| ran.err));
        assert_eq!(both.iter().map(|ran| number(ran, "rewrapped")).sum::<u64>(), 120, "once each");
        assert!(both.iter().all(|ran| number(ran, "rewrapped") + number(ran, "current") == 120));
        home.runs(0, &format!("stale tree {KEK}"));
        home.all_open(&files);
    }
    assert_eq!(home.strays(), 0);
}

#[test]
fn a_run_that_is_killed_is_run_again() {
    let home = Home::new("killed");
    let files = home.plant("tree", 150);
    let (mut killed, mut left) = (0, 0);
    for round in 0..6 {
        home.rotate();
        // At moments spread over a run, which is short here and long there.
        let mut wait = Duration::from_millis(4);
        loop {
            let mut child = home.kms(&format!("rewrap -r tree {KEK} --jobs 6")).spawn().unwrap();
            thread::sleep(wait);
            if child.try_wait().unwrap().is_some() {
                assert_eq!(finish(child).code, 0);
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            let ran = home.runs(10 * i32::from(home.is_stale()), &format!("stale tree {KEK}"));
            left += ran.out.lines().count();
            home.all_open(&files[round..round + 20]);
            wait = wait * 3 / 2;
        }
        home.runs(0, &format!("stale tree {KEK}"));
        home.all_open(&files);
    }
    assert!(killed >= 6 && left > 0, "{killed} runs were killed, with {left} files left");
    // Whoever is killed in the moment between two names leaves a whole file under a name that
    // nothing takes for a sealed file.
    let sealed = libkms::fleet::sealed_below(home.path("tree")).count();
    assert!(sealed == 150 && home.strays() <= killed * 6, "{sealed} {}", home.strays());
}

/// The payloads are holes of 1 TiB each: nobody reads or writes 8 TiB in that time.
#[test]
fn payloads_are_not_read() {
    let home = Home::new("sparse");
    home.plant("tree", 0);
    for n in 0..8 {
        let sealed = seal_stream(&home.scope(&[]), "", &SealOptions::new(), b"");
        let path = format!("tree/{n}.kms");
        home.write(&path, &sealed);
        fs::File::options().write(true).open(home.path(&path)).unwrap().set_len(1 << 40).unwrap();
    }
    home.rotate();
    // What a process read counts for its parent once that has waited for it.
    let script = format!("\"$0\" rewrap -r tree {KEK} && cat /proc/$$/io");
    let begun = Instant::now();
    let ran = finish(home.command("bash").args(["-c", &script, PROGRAM]).spawn().unwrap());
    assert!(ran.out.starts_with("8 rewrapped, 0 current, 0 failed\n"), "{} {}", ran.out, ran.err);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    for what in ["rchar", "wchar"] {
        let line = ran.out.lines().find_map(|l| l.strip_prefix(&format!("{what}: ")));
        assert!(line.is_none_or(|n| n.parse::<u64>().unwrap() < 8 << 20), "{}", ran.out);
    }
    assert_eq!(fs::metadata(home.path("tree/0.kms")).unwrap().len(), 1 << 40);
    home.runs(0, &format!("stale tree {KEK}"));
}

#[test]
fn memory_does_not_grow_with_the_tree() {
    memory(20_000, &[2000, 20_000]);
}

#[test]
#[ignore = "a minute: each file is rewritten and synced"]
fn a_hundred_thousand_files() {
    let home = memory(100_000, &[10_000, 100_000]);
    home.rotate();
    let begun = Instant::now();
    let (ran, most) = watched(home.kms(&format!("rewrap -r tree {KEK} --jobs 16")));
    eprintln!("100,000 files rewrapped in {:?}, {most} KiB at most", begun.elapsed());
    assert!(
        ran.code == 0 && ran.out.starts_with("100000 rewrapped, 0 current, 0 failed\n"),
        "{} {}",
        ran.out,
        ran.err
    );
    assert!(most < 64 << 10, "{most} KiB");
    home.runs(0, &format!("stale tree {KEK}"));
}

/// What is held at most, for trees of so many files: the same.
fn memory(files: usize, trees: &[usize]) -> Home {
    let home = Home::new(&format!("memory-{files}"));
    let sealed = home.scope(&[]).seal(Aad::empty(), b"x").wait().unwrap();
    for n in 0..files {
        if n % 500 == 0 {
            fs::create_dir_all(home.path(&format!("tree/{:03}", n / 500))).unwrap();
        }
        // Paths that would be seen if they were kept.
        home.write(&format!("tree/{:03}/{n:0100}.kms", n / 500), &sealed);
    }
    let few = trees[0] / 500;
    let some: Vec<_> = (0..few).map(|n| format!("-r tree/{n:03}")).collect();
    let held = |command: &str, selected: &str, expected: usize| {
        let (ran, most) = watched(home.kms(&format!("{command} {selected} {KEK} --jobs 4")));
        let told = [format!("{expected} files looked at"), format!("0 rewrapped, {expected} current")];
        assert!(
            ran.code == 0 && told.iter().any(|t| ran.out.contains(t) || ran.err.contains(t)),
            "{} {}",
            ran.out,
            ran.err
        );
        most
    };
    for command in ["stale", "rewrap"] {
        let (less, more) = (held(command, &some.join(" "), trees[0]), held(command, "-r tree", trees[1]));
        assert!(more < less + 2048, "{command}: {less} KiB, then {more} KiB");
    }
    home
}

/// Runs it, and watches what it holds at most, in KiB. Where that is not told it is 0.
fn watched(mut command: Command) -> (Ran, u64) {
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let said = fs::read_to_string(&status).unwrap_or_default();
        let now =
            said.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        most = most.max(now.unwrap_or(0));
        thread::sleep(Duration::from_millis(1));
    }
    (finish(child), most)
}

/// A directory with a keyring for [`KEK`].
struct Home {
    folder: Folder,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Home {
    fn new(name: &str) -> Self {
        let folder = Folder::new(&format!("cli-fleet-{name}"));
        Keyring::create(folder.join("ring"), "k").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn rotate(&self) {
        KeyringFile::at(self.path("ring")).rotate("k").unwrap();
    }

    fn kms_of_ring(&self) -> Kms {
        Kms::builder().kek(Keyring::open(self.path("ring"), "k").unwrap()).build().unwrap()
    }

    fn scope(&self, pairs: &[(&str, &str)]) -> Scope {
        self.kms_of_ring().scope(context(pairs))
    }

    /// Sealed files of mixed sizes and copies, each of them the pattern of its length.
    fn plant(&self, directory: &str, count: usize) -> Vec<PathBuf> {
        fs::create_dir_all(self.path(directory)).unwrap();
        let scope = self.scope(&[]);
        let plant = |n: usize| {
            let len = [0, 1, 5000, 70_000, 300_000][n % 5];
            let sealed = match n % 3 {
                0 => seal_stream(&scope, "", &SealOptions::new().copies(Copies::Two), &pattern(len)),
                1 => seal_stream(
                    &scope,
                    "",
                    &SealOptions::new().copies(Copies::One).store_context(),
                    &pattern(len),
                ),
                _ => scope.seal(Aad::empty(), &pattern(len)).wait().unwrap(),
            };
            let path = self.path(&format!("{directory}/{n:04}.kms"));
            fs::write(&path, sealed).unwrap();
            path
        };
        (0..count).map(plant).collect()
    }

    fn all_open(&self, files: &[PathBuf]) {
        let scope = self.scope(&[]);
        for (n, path) in files.iter().enumerate() {
            let sealed = fs::read(path).unwrap();
            let plain = open(&scope, "", &sealed).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            assert!(plain == pattern(plain.len()), "{n}: {path:?}");
        }
    }

    fn is_stale(&self) -> bool {
        libkms::fleet::Survey::stale(&self.kms_of_ring())
            .run(libkms::fleet::sealed_below(self.path("tree")), |_| {})
            .unwrap()
            .found
            > 0
    }

    /// Files that are neither sealed ones nor were planted.
    fn strays(&self) -> usize {
        let is_stray = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(".libkms-");
        libkms::fleet::files_below(self.path("tree")).filter(|f| is_stray(f.as_ref().unwrap())).count()
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder.0).env("HOME", &self.folder.0).env_remove("XDG_DATA_HOME");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn kms(&self, line: &str) -> Command {
        let mut command = self.command(PROGRAM);
        command.args(line.split_whitespace());
        command
    }

    /// As somebody whom permissions stop. Root runs a copy, which others can reach.
    fn as_nobody(&self, line: &str) -> Child {
        if fs::metadata(&self.folder.0).unwrap().uid() != 0 {
            return self.kms(line).spawn().unwrap();
        }
        let copy = self.path("kms");
        if !copy.exists() {
            assert!(
                Command::new("cp").args([PROGRAM.as_ref(), copy.as_os_str()]).status().unwrap().success()
            );
            self.chmod("kms", 0o755);
            chown(self.path("theirs"), Some(65534), Some(65534)).unwrap();
        }
        let mut command = self.command(copy);
        command.args(line.split_whitespace()).uid(65534).gid(65534);
        command.spawn().unwrap()
    }

    fn runs(&self, code: i32, line: &str) -> Ran {
        let ran = finish(self.kms(line).spawn().unwrap());
        assert_eq!(ran.code, code, "{line}: {}\n{}", ran.out, ran.err);
        ran
    }
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

fn finish(mut child: Child) -> Ran {
    let mut stderr = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut err = String::new();
        stderr.read_to_string(&mut err).unwrap();
        err
    });
    let out = child.wait_with_output().unwrap();
    let err = errors.join().unwrap();
    let code = out.status.code().unwrap_or_else(|| panic!("{:?}", out.status));
    assert!(code <= 10 && !err.contains("panicked"), "{code}: {err}");
    for line in err.lines() {
        assert!(line.starts_with("kms: ") && !line.contains(char::is_control), "{err:?}");
    }
    Ran { code, out: String::from_utf8(out.stdout).unwrap(), err }
}
