//! Keys in AWS KMS change under the hands of programs: an alias moves, a key gets new material.
//! Nothing is lost, what is stale is told to the digit, and nobody is restarted for it.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/program.rs"]
mod program;
#[path = "common/proxy.rs"]
mod proxy;

use common::{Folder, context, pattern};
use libkms::{Aad, DekPolicy, Freshness, Kms, Scope, Wait, inspect, kek::AwsKms, rt::Simulated};
use moto::*;
use program::*;
use proxy::Proxy;
use serde_json::{Map, Value, json};
use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    pin::pin,
    process::Command,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

const RECORDS: usize = 10_000;
/// And under the alias after it moved.
const MORE: usize = 1_000;
/// Four DEKs, the last of them not used up when the alias moves.
const PER_DEK: u64 = 3_000;
const FILES: (usize, usize) = (60, 20);
const S: Duration = Duration::from_secs(1);

/// A program that runs all the time. Its clock stands still until it is moved, while calls take
/// the time they take.
struct Program {
    clock: Simulated,
    kms: Kms,
    scope: Scope,
}

impl Program {
    fn start(at: SocketAddr, key: &str) -> Self {
        let clock = Simulated::new();
        let kek = AwsKms::from_client(client(at), key).unwrap();
        let policy = DekPolicy::reuse().for_messages(PER_DEK);
        let kms = Kms::builder().kek(kek).dek_policy(policy).runtime(clock.clone()).build().unwrap();
        let scope = kms.scope(context(&[("purpose", "orders")]));
        Self { clock, kms, scope }
    }

    /// Polls it, and what runs in the background, until it is done.
    fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            thread::sleep(Duration::from_millis(1));
            self.clock.advance(Duration::ZERO);
        }
    }

    fn seal(&self, n: usize) -> Vec<u8> {
        self.run(self.scope.seal(Aad::new(&aad(n)), &plaintext(n))).unwrap()
    }

    fn open(&self, n: usize, record: &[u8]) -> Freshness {
        let opened = self.run(self.scope.open(Aad::new(&aad(n)), record)).unwrap();
        assert_eq!(opened.plaintext, plaintext(n));
        opened.freshness
    }

    /// Of its header, waiting for the KMS to say which key is current where that is asked.
    fn told(&self, record: &[u8]) -> Freshness {
        self.run(self.kms.freshness(&inspect(record).unwrap()))
    }
}

fn aad(n: usize) -> [u8; 8] {
    n.to_be_bytes()
}

fn plaintext(n: usize) -> Vec<u8> {
    format!("record {n}").into_bytes()
}

fn key_of(record: &[u8]) -> String {
    inspect(record).unwrap().recipients()[0].wrapped.key_id.to_string()
}

/// Where new processes start, each with a KMS that counts.
struct Machine {
    folder: Folder,
    proxy: Proxy,
}

impl Machine {
    fn kms(&self, code: i32, line: &str) -> (String, String) {
        let args: Vec<_> = line.split(' ').collect();
        let ran = kms(&self.folder, &environment(self.proxy.at), &args);
        assert_eq!(ran.status.code(), Some(code), "{line}: {}", said(&ran));
        (String::from_utf8_lossy(&ran.stdout).into(), said(&ran))
    }

    /// What a process that starts now says of the records of a list.
    fn process(&self, does: &str, list: &str, kek: &str) -> Told {
        self.proxy.forget();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "a_new_process", "--ignored", "--nocapture"]);
        let mut environment = environment(self.proxy.at);
        environment.extend([("DOES", does.into()), ("LIST", list.into()), ("KEK", kek.into())]);
        let ran = run(command, &self.folder, &environment);
        let out = String::from_utf8_lossy(&ran.stdout);
        let line = out.lines().find(|l| l.starts_with('{')).unwrap_or_else(|| panic!("{out}{}", said(&ran)));
        let mut counts: Value = serde_json::from_str(line).unwrap();
        let error = counts.as_object_mut().unwrap().remove("error");
        let calls = ["Decrypt", "Encrypt", "GenerateDataKey"].map(|operation| self.proxy.count(operation));
        assert_eq!(self.proxy.count("DescribeKey"), 1, "{line}");
        Told { counts, error: error.map(|e| e.as_str().unwrap().to_owned()).unwrap_or_default(), calls }
    }

    fn plant(&self, folder: &str, count: usize) {
        let folder = self.folder.join(folder);
        fs::create_dir_all(&folder).unwrap();
        for n in 0..count {
            // Those of a MiB have two header copies, and are rewrapped in place.
            let len = if n.is_multiple_of(20) { 1 << 20 } else { n };
            fs::write(folder.join(n.to_string()), pattern(len)).unwrap();
        }
    }
}

struct Told {
    counts: Value,
    error: String,
    /// Decrypt, Encrypt and GenerateDataKey.
    calls: [usize; 3],
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn a_new_process() {
    let [does, list, kek] = ["DOES", "LIST", "KEK"].map(|name| env::var(name).unwrap());
    let kms = Kms::from_uri(&kek).wait().unwrap();
    let scope = kms.scope(context(&[("purpose", "orders")]));
    let (mut records, mut told) = (read_list(Path::new(&list)), Map::new());
    let mut count = |what: String| {
        let n = told.get(&what).and_then(Value::as_u64).unwrap_or(0);
        told.insert(what, (n + 1).into());
    };
    let mut error = None;
    for (n, record) in records.iter_mut().enumerate() {
        count(format!("told {:?}", kms.freshness(&inspect(record).unwrap()).wait()));
        if does == "rewrap"
            && let Some(new) = scope.rewrap(record).wait().unwrap()
        {
            count("rewrapped".into());
            *record = new;
        }
        match scope.open(Aad::new(&aad(n)), record).wait() {
            Ok(opened) => {
                assert_eq!(opened.plaintext, plaintext(n));
                count(format!("opened {:?}", opened.freshness));
            }
            Err(e) => {
                count(format!("refused {:?}", e.kind()));
                error.get_or_insert(e.to_string());
            }
        }
    }
    write_list(Path::new(&list), &records);
    told.extend(error.map(|error| ("error".into(), error.into())));
    println!("\n{}", Value::Object(told));
}

fn write_list(path: &Path, records: &[Vec<u8>]) {
    let line = |r: &Vec<u8>| r.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n";
    fs::write(path, records.iter().map(line).collect::<String>()).unwrap();
}

fn read_list(path: &Path) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// What of an error is to be written behind the KEK.
fn advice(error: &str) -> &str {
    let from = &error[error.find("accept=").unwrap_or_else(|| panic!("{error}"))..];
    &from[..from.find(' ').unwrap()]
}

/// Records and files under an alias that moved while both were sealed.
struct Story {
    machine: Machine,
    program: Program,
    /// The keys that the alias leads to, one after the other, and as headers name them.
    keys: [String; 2],
    ids: [String; 2],
    /// Key URIs: the alias alone, and one that accepts the first key as well.
    by_alias: String,
    accepting: String,
}

const CONTEXT: &str = "--context purpose=orders";

#[test]
fn an_alias_moves_and_nothing_is_lost() {
    let story = Story::sealed();
    story.new_processes_open_what_they_accept();
    story.files_are_as_records();
    story.all_are_rewrapped();
    story.the_first_key_is_disabled();
}

impl Story {
    /// Sealed, the alias moved, sealed on; nobody is restarted.
    fn sealed() -> Self {
        let machine = Machine { folder: Folder::new("aws-story"), proxy: proxy() };
        let (proxy, keys) = (&machine.proxy, [new_key(), new_key()]);
        let (alias, material) = (new_alias("story", &keys[0]), "5a".repeat(32));
        let ids = keys.each_ref().map(|key| format!("{key}#{material}"));
        let by_alias = format!("aws-kms:{alias}");
        let accepting = format!("{by_alias}?accept={}", keys[0]);
        proxy.material(Some(&material));
        let program = Program::start(proxy.at, &alias);
        let mut records: Vec<_> = (0..RECORDS).map(|n| program.seal(n)).collect();
        machine.plant("tree/old", FILES.0);
        machine.kms(0, &format!("seal -r tree/old --kek {by_alias} {CONTEXT}"));
        move_alias(&alias, &keys[1]);
        program.clock.advance(31 * S);
        records.extend((RECORDS..RECORDS + MORE).map(|n| program.seal(n)));
        machine.plant("tree/new", FILES.1);
        machine.kms(0, &format!("seal -r tree/new --kek {by_alias} {CONTEXT}"));
        for (n, record) in records.iter().enumerate() {
            assert_eq!(key_of(record), ids[usize::from(n >= RECORDS)], "record {n}");
        }
        assert_eq!(program.told(&records[0]), Freshness::Stale);
        for name in ["list", "backup"] {
            write_list(&machine.folder.join(name), &records);
        }
        Self { machine, program, keys, ids, by_alias, accepting }
    }

    /// One Decrypt for each DEK, and none for a key that is not accepted. The error says what to
    /// do, and who does that opens all.
    fn new_processes_open_what_they_accept(&self) {
        let opens_all = |kek: &str| {
            let told = self.machine.process("open", "list", kek);
            let counts = json!({ "told Stale": RECORDS, "told Current": MORE, "opened Stale": RECORDS, "opened Current": MORE });
            assert_eq!(told.counts, counts, "{kek}");
            assert_eq!(told.calls, [5, 0, 0], "{kek}");
        };
        opens_all(&self.accepting);
        for kek in [self.by_alias.clone(), format!("aws-kms:{}", self.keys[1])] {
            let told = self.machine.process("open", "list", &kek);
            let counts = json!({ "told Stale": RECORDS, "told Current": MORE, "refused NoMatchingKek": RECORDS, "opened Current": MORE });
            assert_eq!(told.counts, counts, "{kek}");
            assert_eq!(told.calls, [1, 0, 0], "{kek}");
            assert_eq!(advice(&told.error), format!("accept={}", self.keys[0]), "{}", told.error);
            opens_all(&format!("{kek}?{}", advice(&told.error)));
        }
    }

    fn files_are_as_records(&self) {
        let Self { machine, keys: [one, _], by_alias, accepting, .. } = self;
        let (listed, err) = machine.kms(10, &format!("stale -r tree --kek {by_alias}"));
        assert_eq!(listed.lines().count(), 60);
        assert!(err.starts_with("kms: 80 files looked at, 60 not current, 0 failed\n"), "{err}");
        for (id, count) in self.ids.iter().zip([60, 20]) {
            assert!(err.contains(&format!("kms: aws-kms:{id}: {count} files\n")), "{err}");
        }
        machine.kms(10, &format!("stale -r tree --key aws-kms:{one}"));
        machine.proxy.forget();
        let (_, err) = machine.kms(5, &format!("open -r tree --verify --kek {by_alias} {CONTEXT}"));
        assert_eq!((err.lines().count(), advice(&err)), (60, &*format!("accept={one}")), "{err}");
        assert_eq!(machine.proxy.count("Decrypt"), 1);
        machine.kms(0, &format!("open -r tree --verify --kek {accepting} {CONTEXT}"));
    }

    /// One Encrypt for each DEK.
    fn all_are_rewrapped(&self) {
        let Self { machine, keys: [one, _], ids, by_alias, accepting, .. } = self;
        let told = machine.process("rewrap", "list", accepting);
        let counts = json!({ "told Stale": RECORDS, "told Current": MORE, "rewrapped": RECORDS, "opened Current": RECORDS + MORE });
        assert_eq!(told.counts, counts);
        assert_eq!(told.calls, [10, 4, 0]);
        let (_, err) = machine.kms(5, &format!("rewrap -r tree --kek {by_alias} {CONTEXT}"));
        assert_eq!(advice(&err), format!("accept={one}"));
        let (report, _) = machine.kms(0, &format!("rewrap -r tree --kek {accepting} {CONTEXT}"));
        assert!(report.starts_with("60 rewrapped, 20 current, 0 failed\n"), "{report}");
        assert!(report.contains(&format!("{}: 60 before, 0 after\n", ids[0])), "{report}");
        assert!(report.contains(&format!("{}: 20 before, 80 after\n", ids[1])), "{report}");
        let (_, err) = machine.kms(0, &format!("stale -r tree --kek {by_alias}"));
        assert!(err.starts_with("kms: 80 files looked at, 0 not current, 0 failed\n"), "{err}");
        machine.kms(0, &format!("stale -r tree --key aws-kms:{one}"));
    }

    /// All open, also where nobody knows of it, and in the program that runs since before. The
    /// backup does not.
    fn the_first_key_is_disabled(&self) {
        let Self { machine, program, keys: [one, two], by_alias, accepting, .. } = self;
        admin(machine.proxy.at, "DisableKey", json!({ "KeyId": one.rsplit('/').next().unwrap() }));
        for kek in [by_alias, accepting, &format!("aws-kms:{two}")] {
            let told = machine.process("open", "list", kek);
            assert_eq!(
                told.counts,
                json!({ "told Current": RECORDS + MORE, "opened Current": RECORDS + MORE }),
                "{kek}"
            );
            assert_eq!(told.calls, [5, 0, 0], "{kek}");
            machine.kms(0, &format!("open -r tree --verify --kek {kek} {CONTEXT}"));
        }
        for (n, record) in read_list(&machine.folder.join("list")).iter().enumerate() {
            assert_eq!(program.open(n, record), Freshness::Current);
        }
        let told = machine.process("open", "backup", accepting);
        let counts = json!({ "told Stale": RECORDS, "told Current": MORE, "refused Denied": RECORDS, "opened Current": MORE });
        assert_eq!(told.counts, counts);
        assert!(told.error.contains("the key is disabled") && told.error.contains(one), "{}", told.error);
    }
}

/// A key that is called as it is called, its id as the `n`th change made it, and what changes it.
struct Changing<'a> {
    name: String,
    id: Box<dyn Fn(usize) -> String + 'a>,
    change: Box<dyn Fn(usize) + 'a>,
    /// Whether Encrypt tells that it changed.
    encrypt_tells: bool,
}

/// By an alias that moves, and by material that changes.
fn both_ways<'a>(name: &str, proxies: [&'a Proxy; 2]) -> [(&'a Proxy, Changing<'a>); 2] {
    let (keys, key): (Vec<_>, _) = ((0..4).map(|_| new_key()).collect(), new_key());
    let alias = new_alias(name, &keys[0]);
    let (targets, moved) = (keys.clone(), alias.clone());
    let material = |n: usize| format!("{n}a").repeat(32);
    let (of, proxy) = (key.clone(), proxies[1]);
    proxy.material(Some(&material(0)));
    let by_alias = Changing {
        name: alias,
        id: Box::new(move |n| keys[n].clone()),
        change: Box::new(move |n| move_alias(&moved, &targets[n])),
        encrypt_tells: true,
    };
    let by_material = Changing {
        name: key,
        id: Box::new(move |n| format!("{of}#{}", material(n))),
        change: Box::new(move |n| _ = proxy.material(Some(&material(n)))),
        encrypt_tells: false,
    };
    [(proxies[0], by_alias), (proxies[1], by_material)]
}

/// The stated time: half a minute, for who seals all the time, who seals now and then, and who
/// wraps DEKs all the time.
#[test]
fn a_key_that_changes_makes_new_deks_within_half_a_minute() {
    let proxies = [proxy(), proxy()];
    for (proxy, key) in both_ways("changes", [&proxies[0], &proxies[1]]) {
        let early = Program::start(proxy.at, &key.name).seal(0);
        (key.change)(1);
        let program = Program::start(proxy.at, &key.name);
        let first = program.seal(1);
        assert_eq!((program.told(&first), program.told(&early)), (Freshness::Current, Freshness::Stale));
        assert_eq!(key_of(&first), (key.id)(1));

        // Each second one, and a rewrap, which may not put off what is to be asked.
        (key.change)(2);
        proxy.forget();
        for second in 1..=31 {
            program.clock.advance(S);
            program.seal(second);
            if second == 29 && !key.encrypt_tells {
                program.run(program.scope.rewrap(&early)).unwrap().expect("it was stale");
            }
        }
        assert_eq!(program.told(&first), Freshness::Stale);
        let second = program.seal(2);
        assert_eq!(key_of(&second), (key.id)(2));
        let count = ["DescribeKey", "GenerateDataKey"].map(|operation| proxy.count(operation));
        assert_eq!(count, [1, 1]);
        // Now and then.
        (key.change)(3);
        program.clock.advance(200 * S);
        let third = program.seal(3);
        assert_eq!(key_of(&third), (key.id)(3));

        let name = |record: &[u8]| *inspect(record).unwrap().commitment();
        assert!(name(&first) != name(&second) && name(&second) != name(&third));
        let records = [first, second, third];
        let freshness: Vec<_> = (1..).zip(&records).map(|(n, record)| program.open(n, record)).collect();
        assert_eq!(freshness, [Freshness::Stale, Freshness::Stale, Freshness::Current]);
    }
}
