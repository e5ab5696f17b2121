//! Trees of sealed files after a change of keys, by the library.
#![cfg(unix)]
mod common;

use common::*;
use libkms::{
    Aad, Copies, Error, ErrorKind, Freshness, Header, Kms, Scope, SealOptions, Wait,
    fleet::{Event, Failed, Listing, Report, Rewrap, Survey, files_below, sealed_below},
    kek::{Keyring, KeyringFile, Mock},
    rt::Simulated,
};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

const CONTEXT: &[(&str, &str)] = &[("purpose", "fleet")];

/// On a clock of its own, so that a rotation is seen at once.
fn kms(clock: &Simulated, keks: &[&Mock], opens: &[&Mock]) -> Kms {
    let kms = keks.iter().fold(Kms::builder().runtime(clock.clone()), |b, k| b.kek((*k).clone()));
    opens.iter().fold(kms, |b, k| b.opens_with((*k).clone())).build().unwrap()
}

fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect()
}

/// Of mixed sizes and copies, in directories; each holds the pattern of its length.
fn plant(scope: &Scope, tree: &Path, count: usize) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for n in 0..count {
        let directory = tree.join(["", "a", "a/b", "c"][n % 4]);
        fs::create_dir_all(&directory).unwrap();
        let len = [0, 1, 5000, 70_000, 200_000][n % 5];
        let options = SealOptions::new().copies(if n % 3 == 0 { Copies::Two } else { Copies::One });
        let options = if n % 2 == 0 { options.len(len as u64).store_context() } else { options };
        let sealed = if n % 7 == 0 {
            scope.seal(Aad::empty(), &pattern(len)).wait().unwrap()
        } else {
            seal_stream(scope, "", &options, &pattern(len))
        };
        let path = directory.join(format!("{n}.kms"));
        fs::write(&path, sealed).unwrap();
        fs::write(directory.join(format!("{n}.txt")), "no envelope").unwrap();
        all.push(path);
    }
    all
}

fn all_open(scope: &Scope, files: &[PathBuf]) {
    for path in files {
        let plain = open(scope, "", &fs::read(path).unwrap()).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        assert!(plain == pattern(plain.len()), "{path:?}");
    }
}

fn rewrap(kms: &Kms, tree: &Path) -> Report {
    Rewrap::new(kms).context(context(CONTEXT)).workers(8).run(sealed_below(tree), |_| {}).unwrap()
}

fn stale(kms: &Kms, tree: &Path) -> Listing {
    Survey::stale(kms).run(sealed_below(tree), |_| {}).unwrap()
}

fn outcome(report: &Report) -> (u64, u64, usize) {
    (report.rewrapped, report.current, report.failures.len())
}

fn keys_of(path: &Path) -> Vec<String> {
    let header = Header::parse(&fs::read(path).unwrap()).unwrap();
    header.recipients().iter().map(|r| r.wrapped.key_id.to_string()).collect()
}

/// The story: rotated, counted, rewrapped, the old version destroyed, and all opens.
#[test]
fn a_hundred_files_leave_an_old_version() {
    let folder = Folder::new("fleet-story");
    let (ring, tree) = (folder.join("ring"), folder.join("tree"));
    Keyring::create(&ring, "k").unwrap();
    let open_ring = || Kms::builder().kek(Keyring::open(&ring, "k").unwrap()).build().unwrap();
    let scope = |kms: &Kms| kms.scope(context(CONTEXT));
    let mut files = plant(&scope(&open_ring()), &tree, 100);
    let listing = stale(&open_ring(), &tree);
    assert_eq!((listing.files, listing.found, listing.keys), (100, 0, counts(&[("local:k/1", 100)])));

    KeyringFile::at(&ring).rotate("k").unwrap();
    let new = tree.join("new.kms");
    fs::write(&new, scope(&open_ring()).seal(Aad::empty(), b"").wait().unwrap()).unwrap();
    files.push(new);
    let before = counts(&[("local:k/1", 100), ("local:k/2", 1)]);
    let mut found = Vec::new();
    let listing = Survey::stale(&open_ring()).run(sealed_below(&tree), |f| found.push(f.clone())).unwrap();
    assert_eq!((listing.files, listing.found, &listing.keys), (101, 100, &before));
    assert!(found.iter().all(|f| f.freshness == Some(Freshness::Stale) && f.keys == ["local:k/1"]));
    let in_order: Vec<_> = sealed_below(&tree).map(Result::unwrap).filter(|f| f != &files[100]).collect();
    assert_eq!(found.into_iter().map(|f| f.path).collect::<Vec<_>>(), in_order);

    let mut told = Vec::new();
    let report = Rewrap::new(&open_ring())
        .context(context(CONTEXT))
        .workers(8)
        .run(sealed_below(&tree), |event| match event {
            Event::Rewrapped(path) => told.push(path.to_owned()),
            event => assert!(matches!(event, Event::Current(path) if path == files[100]), "{event:?}"),
        })
        .unwrap();
    told.sort();
    let mut expected = files[..100].to_vec();
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(outcome(&report), (100, 1, 0));
    assert_eq!((report.before, report.after), (before, counts(&[("local:k/2", 101)])));
    assert_eq!(stale(&open_ring(), &tree).found, 0);
    let naming = |key: &str| Survey::naming([key]).run(sealed_below(&tree), |_| {}).unwrap().found;
    assert_eq!((naming("local:k/1"), naming("local:k/2")), (0, 101));

    let file = KeyringFile::at(&ring);
    file.disable("k", 1).unwrap();
    file.destroy("k", 1).unwrap();
    all_open(&scope(&open_ring()), &files);
    assert_eq!(outcome(&rewrap(&open_ring(), &tree)), (0, 101, 0));
    assert_eq!(
        fs::read_dir(&tree).unwrap().filter(|e| e.as_ref().unwrap().file_name() == "new.kms").count(),
        1
    );
    let left = files_below(&tree).map(Result::unwrap).count();
    assert_eq!(left, 201, "nothing else lies there");
}

/// What is current costs no call, but for one that verifies what current headers say. What
/// shares a DEK shares the calls, and looking costs none.
#[test]
fn calls_are_few() {
    let folder = Folder::new("fleet-calls");
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let seals = kms(&clock, &[&kek], &[]).scope(context(CONTEXT));
    for copies in [Copies::One, Copies::Two] {
        for n in 0..50 {
            let sealed =
                seal_stream(&seals, "", &SealOptions::new().len(1000).copies(copies), &pattern(1000));
            fs::write(folder.join(&format!("{n}-{}.kms", copies as u8)), sealed).unwrap();
        }
    }
    kek.rotate();
    clock.advance(Duration::from_secs(60));
    let calls = |work: &dyn Fn(&Kms) -> (u64, u64)| {
        let before = kek.calls();
        let outcome = work(&kms(&clock, &[&kek], &[]));
        (outcome, kek.calls() - before)
    };
    let on_one = |kms: &Kms| {
        let run = Rewrap::new(kms).context(context(CONTEXT)).workers(1);
        let report = run.run(sealed_below(&folder.0), |_| {}).unwrap();
        assert_eq!(report.failures.len(), 0);
        (report.rewrapped, report.current)
    };
    let look = |kms: &Kms| {
        let listing = stale(kms, &folder.0);
        (listing.files, listing.found)
    };
    assert_eq!(calls(&look), ((100, 100), 0));
    // One DEK, two forms of its header: an unwrap and a wrap for each.
    assert_eq!(calls(&on_one), ((100, 0), 4));
    assert_eq!(calls(&on_one), ((0, 100), 1));
    let (outcome, calls_of_8) = calls(&|kms| {
        let report = rewrap(kms, &folder.0);
        (report.rewrapped, report.current)
    });
    assert!(outcome == (0, 100) && calls_of_8 <= 8, "{calls_of_8}");
    assert_eq!(calls(&look), ((100, 0), 0));
    // A wrong KEK of the right name is found out all the same: nothing is taken for current.
    let other = Mock::new("k");
    other.rotate();
    let report = rewrap(&kms(&clock, &[&other], &[]), &folder.0);
    assert_eq!(outcome_of_kinds(&report), [(ErrorKind::Authentication, 100)]);
}

fn outcome_of_kinds(report: &Report) -> Vec<(ErrorKind, usize)> {
    let mut kinds = Vec::<(ErrorKind, usize)>::new();
    for failed in &report.failures {
        match kinds.iter_mut().find(|k| k.0 == failed.error.kind()) {
            Some((_, n)) => *n += 1,
            None => kinds.push((failed.error.kind(), 1)),
        }
    }
    kinds
}

#[test]
fn keks_are_added_and_dropped() {
    let folder = Folder::new("fleet-keks");
    let (clock, a, b) = (Simulated::new(), Mock::new("a"), Mock::new("b"));
    let files = plant(&kms(&clock, &[&a], &[]).scope(context(CONTEXT)), &folder.0, 20);
    let both = kms(&clock, &[&a, &b], &[]);
    assert_eq!(stale(&both, &folder.0).found, 20);
    let report = rewrap(&both, &folder.0);
    assert_eq!(report.before, counts(&[("mock:a/1", 20)]));
    assert_eq!(report.after, counts(&[("mock:a/1", 20), ("mock:b/1", 20)]));
    assert!(files.iter().all(|f| keys_of(f) == ["a/1", "b/1"]));
    // One of several recipients: it is found by its name.
    let listing = Survey::naming(["mock:b/1"]).run(sealed_below(&folder.0), |f| {
        assert_eq!((&f.keys[..], f.freshness), (&["mock:a/1".to_owned(), "mock:b/1".to_owned()][..], None));
    });
    assert_eq!(listing.unwrap().found, 20);
    all_open(&kms(&clock, &[&b], &[]).scope(context(CONTEXT)), &files);
    let only_b = kms(&clock, &[&b], &[&a]);
    assert_eq!(outcome(&rewrap(&only_b, &folder.0)), (20, 0, 0));
    assert!(files.iter().all(|f| keys_of(f) == ["b/1"]));
    all_open(&kms(&clock, &[&b], &[]).scope(context(CONTEXT)), &files);
    assert_eq!(Survey::naming(["mock:a/1"]).run(sealed_below(&folder.0), |_| {}).unwrap().found, 0);
    // What only opens wraps nothing.
    let reader = kms(&clock, &[], &[&b]);
    let none = Rewrap::new(&reader).run(sealed_below(&folder.0), |_| {}).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Misuse);
    assert_eq!(
        Survey::stale(&reader).run(sealed_below(&folder.0), |_| {}).unwrap_err().kind(),
        ErrorKind::Misuse
    );
}

/// From one keyring to another, both with a key of the same name and version: ids tell nothing.
#[test]
fn two_keyrings_with_one_name_are_not_confused() {
    let folder = Folder::new("fleet-names");
    let (tree, old, new) = (folder.join("tree"), folder.join("old"), folder.join("new"));
    let ring = |path: &Path| Keyring::open(path, "k").unwrap();
    Keyring::create(&old, "k").unwrap();
    Keyring::create(&new, "k").unwrap();
    let of_old = Kms::builder().kek(ring(&old)).build().unwrap();
    let files = plant(&of_old.scope(context(CONTEXT)), &tree, 20);
    let both = || Kms::builder().kek(ring(&new)).opens_with(ring(&old)).build().unwrap();
    let mut unknown = 0;
    let listing = Survey::stale(&both()).run(sealed_below(&tree), |f| {
        unknown += u64::from(f.freshness == Some(Freshness::Unknown));
    });
    assert_eq!((listing.unwrap().found, unknown), (20, 20));
    let of_new = || Kms::builder().kek(ring(&new)).build().unwrap();
    let report = rewrap(&of_new(), &tree);
    assert_eq!(outcome_of_kinds(&report), [(ErrorKind::Authentication, 20)]);
    assert_eq!(outcome(&rewrap(&both(), &tree)), (20, 0, 0));
    assert_eq!(outcome(&rewrap(&both(), &tree)), (0, 20, 0), "by now all are the new one's");
    fs::remove_file(&old).unwrap();
    all_open(&of_new().scope(context(CONTEXT)), &files);
    // Both as recipients: one of them cannot be told from the other.
    Keyring::create(&old, "k").unwrap();
    let two = Kms::builder().kek(ring(&new)).kek(ring(&old)).build().unwrap();
    assert_eq!(outcome(&rewrap(&two, &tree)), (20, 0, 0));
    let second = Kms::builder().kek(ring(&old)).build().unwrap();
    all_open(&second.scope(context(CONTEXT)), &files);
}

#[test]
fn contexts_are_named_stored_or_chosen() {
    let folder = Folder::new("fleet-contexts");
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let kms = kms(&clock, &[&kek], &[]);
    let tenant = |n: usize| context(&[("tenant", &n.to_string())]);
    for n in 0..30 {
        let options = SealOptions::new().copies([Copies::One, Copies::Two][n % 2]);
        let options = if n < 20 { options.store_context() } else { options };
        let sealed = seal_stream(&kms.scope(tenant(n % 5)), "", &options, b"x");
        fs::write(folder.join(&format!("{n:02}.kms")), sealed).unwrap();
    }
    kek.rotate();
    clock.advance(Duration::from_secs(60));
    let files = || sealed_below(&folder.0);
    let report = Rewrap::new(&kms).context(tenant(3)).run(files(), |_| {}).unwrap();
    assert_eq!(outcome_of_kinds(&report), [(ErrorKind::Authentication, 24)]);
    assert_eq!(report.rewrapped, 6);
    // A wrong context is one for current files as well.
    let report = Rewrap::new(&kms).context(tenant(4)).run(files(), |_| {}).unwrap();
    assert_eq!(outcome(&report), (6, 0, 24));
    let report = Rewrap::new(&kms).stored_context().run(files(), |_| {}).unwrap();
    assert_eq!((report.rewrapped, report.current), (12, 8));
    assert_eq!(outcome_of_kinds(&report), [(ErrorKind::Misuse, 10)]);
    assert!(report.failures.is_sorted_by_key(|f| f.path.clone()));
    assert_eq!(report.before.values().sum::<u64>(), 30, "failures are counted by what they name");
    assert_eq!(report.after, counts(&[("mock:k/1", 6), ("mock:k/2", 24)]));
    // By what the header does not tell: tried one after the other.
    let asked = Mutex::new(0);
    let choose = |header: &Header| {
        *asked.lock().unwrap() += 1;
        let fits = |n: &usize| kms.scope(tenant(*n)).opener(Aad::empty(), header).wait().is_ok();
        let n = (0..5).find(fits).ok_or_else(|| Error::new(ErrorKind::Authentication, "nobody's"))?;
        Ok(tenant(n))
    };
    let report = Rewrap::new(&kms).context_by(choose).run(files(), |_| {}).unwrap();
    assert_eq!(outcome(&report), (6, 24, 0));
    assert_eq!(*asked.lock().unwrap(), 30);
}

#[test]
fn what_a_tree_can_hold() {
    let folder = Folder::new("fleet-hostile");
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let seals = kms(&clock, &[&kek], &[]).scope(context(CONTEXT));
    let good = plant(&seals, &folder.0, 12);
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    let two = seal_stream(&seals, "", &SealOptions::new(), &pattern(1000));
    let one = seals.seal(Aad::empty(), b"x").wait().unwrap();
    write("empty.kms", b"");
    write("junk.kms", &pattern(100_000));
    write("magic.kms", b"KMSE");
    write("cut-1.kms", &two[..4000]);
    write("cut-2.kms", &two[..8192 + 71]);
    write("cut-3.kms", &one[..one.len() - 2]);
    write("new\nline \u{1b}[2J.kms", b"junk");
    let other = seal_stream(&scope(kek.clone(), &[("purpose", "other")]), "", &SealOptions::new(), b"x");
    write("other.kms", &other);
    let foreign = seal_stream(&scope(Mock::new("foreign"), CONTEXT), "", &SealOptions::new(), b"x");
    write("foreign.kms", &foreign);
    write("gone.kms", &two);
    let mut torn = two.clone();
    torn[..4096].fill(0xa5);
    write("torn.kms", &torn);
    fs::create_dir(folder.join("directory.kms")).unwrap();
    write("directory.kms/.libkms-0000000000000000.tmp", &two);
    symlink(".", folder.join("a/loop.kms")).unwrap();
    symlink("../torn.kms", folder.join("a/link.kms")).unwrap();
    symlink("nowhere", folder.join("dangling.kms")).unwrap();
    let fifo = folder.join("fifo.kms");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());

    let bad = [
        ("cut-1.kms", ErrorKind::Malformed),
        ("cut-2.kms", ErrorKind::Malformed),
        ("cut-3.kms", ErrorKind::Malformed),
        ("directory.kms", ErrorKind::Misuse),
        ("empty.kms", ErrorKind::Malformed),
        ("fifo.kms", ErrorKind::Misuse),
        ("foreign.kms", ErrorKind::NoMatchingKek),
        ("gone.kms", ErrorKind::Io),
        ("junk.kms", ErrorKind::Malformed),
        ("magic.kms", ErrorKind::Malformed),
        ("missing", ErrorKind::Io),
        ("new\nline \u{1b}[2J.kms", ErrorKind::Malformed),
        ("other.kms", ErrorKind::Authentication),
    ];
    kek.rotate();
    clock.advance(Duration::from_secs(60));
    let kms = kms(&clock, &[&kek], &[]);
    // One goes between the walk and the work.
    let files = || {
        let named = ["directory.kms", "fifo.kms", "missing"].map(|name| Ok(folder.join(name)));
        let walk = sealed_below(&folder.0).inspect(|file| {
            let gone = file.as_ref().is_ok_and(|f| f.ends_with("gone.kms"));
            assert!(!gone || fs::remove_file(folder.join("gone.kms")).is_ok());
        });
        walk.chain(named).chain(sealed_below(folder.join("missing")))
    };
    let mut damaged = Vec::new();
    let listing = Survey::stale(&kms).run(sealed_below(&folder.0), |f| damaged.extend(f.damage)).unwrap();
    assert_eq!((listing.files, listing.found, listing.failures.len()), (12 + 4, 12 + 4, 7));
    assert_eq!(damaged, [libkms::Damage::FirstLost]);
    let report = Rewrap::new(&kms).context(context(CONTEXT)).workers(3).run(files(), |_| {}).unwrap();
    let failed = |f: &Failed| (f.path.file_name().unwrap().to_str().unwrap().to_owned(), f.error.kind());
    let told: Vec<_> = report.failures.iter().map(failed).collect();
    let mut expected = bad.map(|(name, kind)| (name.to_owned(), kind)).to_vec();
    // It was named as a file, and as a directory.
    expected.insert(10, ("missing".into(), ErrorKind::Io));
    assert_eq!(told, expected);
    assert_eq!((report.rewrapped, report.current), (13, 0));
    assert_eq!(report.after, counts(&[("mock:foreign/1", 1), ("mock:k/1", 1), ("mock:k/2", 13)]));
    assert!(Header::parse(&fs::read(folder.join("torn.kms")).unwrap()).unwrap().damage().is_none());
    assert!(fs::read(folder.join("other.kms")).unwrap() == other, "what failed stays as it was");
    all_open(&kms.scope(context(CONTEXT)), &good);
}

/// A header copy is lost under a current key, and the two name different keys.
#[test]
fn damage_is_listed_and_mended() {
    let folder = Folder::new("fleet-damage");
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let kms = kms(&clock, &[&kek], &[]);
    let scope = kms.scope(context(CONTEXT));
    let old = seal_stream(&scope, "", &SealOptions::new(), b"x");
    kek.rotate();
    clock.advance(Duration::from_secs(60));
    let new = scope.rewrap(&old).wait().unwrap().unwrap();
    let mut lost = new.clone();
    lost[4096..8192].fill(0);
    fs::write(folder.join("lost.kms"), &lost).unwrap();
    fs::write(folder.join("half.kms"), [&new[..4096], &old[4096..]].concat()).unwrap();
    fs::write(folder.join("a-whole.kms"), &new).unwrap();
    let mut found = Vec::new();
    let listing = Survey::stale(&kms).run(sealed_below(&folder.0), |f| found.push(f.clone())).unwrap();
    assert_eq!(listing.keys, counts(&[("mock:k/1", 1), ("mock:k/2", 3)]));
    assert_eq!(found.len(), 2);
    assert_eq!(
        (&found[0].keys[..], found[0].freshness),
        (&["mock:k/1".into(), "mock:k/2".into()][..], Some(Freshness::Stale))
    );
    assert_eq!((found[1].damage.is_some(), found[1].freshness), (true, Some(Freshness::Current)));
    // One by one: by then it is known what current headers say.
    let one = Rewrap::new(&kms).context(context(CONTEXT)).workers(1);
    let report = one.run(sealed_below(&folder.0), |_| {}).unwrap();
    assert_eq!((outcome(&report), report.after), ((2, 1, 0), counts(&[("mock:k/2", 3)])));
    assert_eq!(stale(&kms, &folder.0).found, 0);
    for name in ["lost.kms", "half.kms", "a-whole.kms"] {
        assert_eq!(open(&scope, "", &fs::read(folder.join(name)).unwrap()).unwrap(), b"x");
    }
}

#[test]
fn workers_are_counted_and_may_fail() {
    let folder = Folder::new("fleet-workers");
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let kms = kms(&clock, &[&kek], &[]);
    let files = plant(&kms.scope(context(CONTEXT)), &folder.0, 40);
    for (n, workers) in [1, 64, 256].into_iter().enumerate() {
        kek.rotate();
        clock.advance(Duration::from_secs(60));
        let run = Rewrap::new(&kms).context(context(CONTEXT)).workers(workers);
        assert_eq!(outcome(&run.run(sealed_below(&folder.0), |_| {}).unwrap()), (40, 0, 0));
        assert_eq!(keys_of(&files[0]), [format!("k/{}", n + 2)]);
        let listing = Survey::stale(&kms).workers(workers).run(sealed_below(&folder.0), |_| {}).unwrap();
        assert_eq!((listing.files, listing.found), (40, 0));
    }
    for workers in [0, 257] {
        let refused = Rewrap::new(&kms).workers(workers).run(sealed_below(&folder.0), |_| {});
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Misuse);
        let refused = Survey::naming(["a:b"]).workers(workers).run(sealed_below(&folder.0), |_| {});
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Misuse);
    }
    // A panic is a failure of that file; the iterator's and the listener's are the caller's.
    let choose = |header: &Header| {
        assert!(header.stored_context().is_some(), "a panic for a test");
        Ok(context(CONTEXT))
    };
    let report = Rewrap::new(&kms).context_by(choose).run(sealed_below(&folder.0), |_| {}).unwrap();
    assert_eq!((report.current > 0, report.current + report.failures.len() as u64), (true, 40));
    assert!(report.failures[0].error.to_string().contains("panicked"));
    let run = || Rewrap::new(&kms).context(context(CONTEXT)).workers(8);
    let of_iterator =
        panics(&|| run().run(sealed_below(&folder.0).inspect(|_| panic!("a test's")), |_| {}).is_ok());
    assert!(of_iterator);
    let of_listener = panics(&|| run().run(sealed_below(&folder.0), |_| panic!("a test's")).is_ok());
    assert!(of_listener);
    assert_eq!(outcome(&rewrap(&kms, &folder.0)), (0, 40, 0));
    // Ending the iterator ends the run.
    let few = run().run(sealed_below(&folder.0).take(7), |_| {}).unwrap();
    assert_eq!(few.current, 7);
    assert_eq!(outcome(&run().run([], |_| {}).unwrap()), (0, 0, 0));
}

fn panics(work: &dyn Fn() -> bool) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err()
}

/// More than is looked at before the first is told.
#[test]
fn a_survey_keeps_the_order() {
    let folder = Folder::new("fleet-order");
    let kek = Mock::new("k");
    let sealed = scope(kek.clone(), &[]).seal(Aad::empty(), b"x").wait().unwrap();
    for n in 0..2500 {
        fs::write(folder.join(&format!("{n:04}.kms")), &sealed).unwrap();
    }
    let mut found = Vec::new();
    let listing = Survey::naming(["mock:k/1", "mock:nobody/1"])
        .workers(16)
        .run(sealed_below(&folder.0), |f| found.push(f.path.clone()))
        .unwrap();
    assert_eq!((listing.files, found.len()), (2500, 2500));
    assert!(found.is_sorted());
}

#[test]
fn walks() {
    let folder = Folder::new("fleet-walk");
    for name in ["b", "a/x.kms", "a/y", "a.kms", "c/d/z.kms", "e.kms/f.kms"] {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), "").unwrap();
    }
    symlink("c", folder.join("link")).unwrap();
    let names = |walk: libkms::fleet::Files| -> Vec<String> {
        walk.map(|f| f.unwrap().strip_prefix(&folder.0).unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(files_below(&folder.0)), ["a/x.kms", "a/y", "a.kms", "b", "c/d/z.kms", "e.kms/f.kms"]);
    assert_eq!(names(sealed_below(&folder.0)), ["a/x.kms", "a.kms", "c/d/z.kms", "e.kms/f.kms"]);
    // As deep as paths can be, and deeper.
    let mut deep = folder.join("deep");
    while deep.as_os_str().len() < 4000 {
        deep.push("d".repeat(40));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("x.kms"), "").unwrap();
    assert_eq!(sealed_below(folder.join("deep")).filter(Result::is_ok).count(), 1);
    let failed = sealed_below(folder.join("b")).next().unwrap().unwrap_err();
    assert_eq!((failed.path, failed.error.kind()), (folder.join("b"), ErrorKind::Io));
}
