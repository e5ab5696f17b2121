//! Tests: every call to the file system fails once, and at every one the machine stops once.
//! What lies there then is the old file or the new one, whole.
use crate::{
    Aad, Copies, EncryptionContext, ErrorKind, Header, HeaderFile, Kms, NewFile, Result, Scope, SealOptions,
    kek::{KeyState, Keyring, KeyringFile, VersionInfo},
    rt::{
        Call,
        faults::{Fault, Script, play},
    },
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    rc::Rc,
};

/// What file systems there are: one with nameless files, one without, and one that cannot
/// even rename without replacing.
const LACKS: [&[Call]; 3] = [&[], &[Call::OpenNameless], &[Call::OpenNameless, Call::RenameNew]];
const TEXT: usize = 40_000;

#[test]
fn sealing_and_opening() {
    let world = World::new("seal");
    world.play(&Case {
        target: "new.kms",
        mode: 0o640,
        work: &|w| w.scope.seal_file(Aad::empty(), w.at("plain"), w.at("new.kms")).map(drop),
        is_new: &|w| w.opens("new.kms"),
        ..CASE
    });
    world.play(&Case {
        target: "new",
        mode: 0o600,
        work: &|w| w.scope.open_file(Aad::empty(), w.at("one.kms"), w.at("new")).map(drop),
        is_new: &|w| fs::read(w.at("new")).is_ok_and(|t| t == text()),
        ..CASE
    });
}

/// As the program does with --force: what was private stays so.
#[test]
fn replacing() {
    let world = World::new("replace");
    world.play(&Case {
        target: "one.kms",
        mode: 0o600,
        work: &|w| {
            let mut file = NewFile::create_like(w.at("one.kms"), &fs::metadata(w.at("plain")).unwrap())?;
            w.scope.seal_stream(Aad::empty(), &SealOptions::new(), &*text(), &mut file)?;
            file.commit(true)
        },
        is_new: &|w| w.opens("one.kms") && w.header("one.kms").copies() == Copies::Two,
        ..CASE
    });
}

#[test]
fn rewrapping() {
    let world = World::new("rewrap");
    let is_new = |w: &World, name: &str| w.opens(name) && w.keys(name) == ["k/2"] && !w.is_damaged(name);
    world.play(&Case {
        target: "one.kms",
        mode: 0o600,
        work: &|w| w.scope.rewrap_file(w.at("one.kms")).map(drop),
        is_new: &|w| is_new(w, "one.kms"),
        ..CASE
    });
    for target in ["two.kms", "torn.kms"] {
        world.play(&Case {
            target,
            mode: 0o644,
            in_place: true,
            work: &|w| w.scope.rewrap_file(w.at(target)).map(drop),
            is_new: &|w| is_new(w, target),
        });
    }
}

#[test]
fn headers() {
    let world = World::new("headers");
    let (new, holds) = (b"a header", |path: PathBuf| fs::read(path).is_ok_and(|h| h == b"a header"));
    fs::write(world.at("H"), new).unwrap();
    world.play(&Case {
        target: "H",
        mode: world.mode("H"),
        work: &|w| HeaderFile::at(w.at("H")).insert(new).map(drop),
        is_new: &|w| holds(w.at("H")),
        ..CASE
    });
    world.play(&Case {
        target: "one.kms",
        mode: 0o600,
        work: &|w| {
            let old = &w.files.iter().find(|f| f.0 == "one.kms").unwrap().1;
            HeaderFile::at(w.at("one.kms")).replace(old, new).map(drop)
        },
        is_new: &|w| holds(w.at("one.kms")),
        ..CASE
    });
    // One that is there is on disk when that is said, whoever made it.
    fs::write(world.at("H"), new).unwrap();
    let script = Script { fault: None, lacks: LACKS[0], watch: Rc::new(|_| ()) };
    let (made, seen) = play(script, || HeaderFile::at(world.at("H")).insert(new));
    assert!(!made.unwrap() && seen.calls.ends_with(&[Call::OpenDirectory, Call::SyncDirectory]), "{seen:?}");
}

#[test]
fn keyrings() {
    let world = World::new("keyrings");
    let case = Case { target: "ring.json", mode: 0o600, ..CASE };
    let ring = |w: &World| KeyringFile::at(w.at("ring.json"));
    let versions = |w: &World| ring(w).keys().map_or(Vec::new(), |keys| keys[0].versions.clone());
    let state = |w: &World, n: usize| versions(w).get(n).map(|v: &VersionInfo| v.state);
    world.play(&Case {
        work: &|w| ring(w).add("other").map(drop),
        is_new: &|w| ring(w).keys().is_ok_and(|keys| keys.len() == 2),
        ..case
    });
    world.play(&Case {
        work: &|w| ring(w).rotate("k").map(drop),
        is_new: &|w| versions(w).len() > 3,
        ..case
    });
    world.play(&Case {
        work: &|w| ring(w).disable("k", 2),
        is_new: &|w| state(w, 1) == Some(KeyState::Disabled),
        ..case
    });
    world.play(&Case {
        work: &|w| ring(w).enable("k", 1),
        is_new: &|w| state(w, 0) == Some(KeyState::Enabled),
        ..case
    });
    world.play(&Case {
        work: &|w| ring(w).destroy("k", 1),
        is_new: &|w| state(w, 0) == Some(KeyState::Destroyed),
        ..case
    });
    world.play(&Case {
        target: "new.json",
        work: &|w| Keyring::create(w.at("new.json"), "k").map(drop),
        is_new: &|w| Keyring::open(w.at("new.json"), "k").is_ok(),
        ..case
    });
}

/// Who does not ask for the lock puts another file there, or cuts it, while the new one is
/// written: theirs stays.
#[test]
fn what_came_meanwhile_is_not_replaced() {
    let world = World::new("meanwhile");
    let (target, theirs) = (world.at("one.kms"), world.at("plain"));
    let meanwhile = |change: fn(&Path, &Path)| {
        world.lay();
        let (target, theirs) = (target.clone(), theirs.clone());
        let watch = Rc::new(move |call| {
            if call == Call::Write {
                change(&theirs, &target)
            }
        });
        let script = Script { fault: None, lacks: &[], watch };
        let error = play(script, || world.scope.rewrap_file(world.at("one.kms"))).0.unwrap_err();
        assert!(error.kind() == ErrorKind::Io && world.temporaries().is_empty());
        error.to_string()
    };
    let said = meanwhile(|theirs, target| drop(fs::rename(theirs, target)));
    assert!(said.contains("another file took its place") && fs::read(&target).unwrap() == text());
    let said =
        meanwhile(|_, target| drop(fs::OpenOptions::new().write(true).open(target).unwrap().set_len(500)));
    assert!(said.contains("its size changed") && fs::read(&target).unwrap().len() == 500);
}

/// One way to change a file.
#[derive(Clone, Copy)]
struct Case<'a> {
    target: &'a str,
    /// What the target has in the end, and nothing has more of on the way there.
    mode: u32,
    in_place: bool,
    work: &'a dyn Fn(&World) -> Result<()>,
    is_new: &'a dyn Fn(&World) -> bool,
}

const CASE: Case<'static> =
    Case { target: "", mode: 0, in_place: false, work: &|_| Ok(()), is_new: &|_| false };

/// A folder, and what lies in it at first.
struct World {
    folder: PathBuf,
    files: Vec<(&'static str, Vec<u8>, u32)>,
    /// Its key was rotated since the files were sealed.
    scope: Scope,
}

impl World {
    fn new(name: &str) -> Self {
        // In memory, if there is such a place: thousands of syncs wait for no disk there.
        let memory = Some(PathBuf::from("/dev/shm")).filter(|p| p.is_dir());
        let folder = memory.unwrap_or_else(std::env::temp_dir);
        let folder = folder.join(format!("libkms-faults-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("elsewhere")).unwrap();
        let keys = folder.join("elsewhere/keys.json");
        let scope_of =
            |keyring| Kms::builder().kek(keyring).build().unwrap().scope(EncryptionContext::empty());
        let old = scope_of(Keyring::create(&keys, "k").unwrap());
        let seal = |copies| {
            let (options, mut sealed) = (SealOptions::new().copies(copies), Vec::new());
            old.seal_stream(Aad::empty(), &options, &*text(), &mut sealed).unwrap();
            sealed
        };
        let two = seal(Copies::Two);
        let torn = [&[0xa5; 512], &two[512..]].concat();
        let mut files =
            vec![("plain", text(), 0o640), ("one.kms", seal(Copies::One), 0o600), ("two.kms", two, 0o644)];
        let ring = KeyringFile::at(&keys);
        ring.rotate("k").unwrap();
        let scope = scope_of(Keyring::open(&keys, "k").unwrap());
        let other = folder.join("elsewhere/ring.json");
        Keyring::create(&other, "k").unwrap();
        let ring = KeyringFile::at(&other);
        ring.rotate("k").unwrap();
        ring.rotate("k").unwrap();
        ring.disable("k", 1).unwrap();
        files.extend([("torn.kms", torn, 0o644), ("ring.json", fs::read(&other).unwrap(), 0o600)]);
        Self { folder, files, scope }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn lay(&self) {
        for path in listed(&self.folder) {
            fs::remove_file(path).unwrap();
        }
        for (name, bytes, mode) in &self.files {
            fs::write(self.at(name), bytes).unwrap();
            fs::set_permissions(self.at(name), Permissions::from_mode(*mode)).unwrap();
        }
    }

    /// Every fault at every call, on every file system.
    fn play(&self, case: &Case<'_>) {
        for lacks in LACKS {
            for fault in Fault::ALL {
                let most = (0..).find(|at| !self.strike(case, lacks, *at, fault)).unwrap();
                assert!(most > 6, "{most} calls");
            }
        }
    }

    /// Whether there was a call that the fault could strike.
    fn strike(&self, case: &Case<'_>, lacks: &'static [Call], at: usize, fault: Fault) -> bool {
        self.lay();
        let old = fs::read(self.at(case.target)).ok();
        let script = Script { fault: Some((at, fault)), lacks, watch: self.watch(case) };
        let (done, seen) = play(script, || (case.work)(self));
        let about = format!("{} without {lacks:?}, {fault:?} at {at}: {seen:?} {done:?}", case.target);

        let is_new = (case.is_new)(self);
        let is_old = fs::read(self.at(case.target)).ok() == old;
        assert!(is_old || is_new || (case.in_place && self.opens(case.target)), "{about}");
        match &done {
            Ok(()) => {
                let may_fail = [Call::OpenNameless, Call::Remove];
                let is_fine =
                    fault == Fault::IsInterrupted || seen.struck.is_none_or(|c| may_fail.contains(&c));
                assert!(is_new && is_fine, "{about}");
                assert_eq!(self.mode(case.target), case.mode, "{about}");
                let is_durable = if case.in_place { each_write_is_synced } else { is_durable };
                assert!(is_durable(&seen.calls), "{about}");
            }
            Err(error) => {
                let said = error.to_string();
                assert!(error.kind() == ErrorKind::Io && fault != Fault::IsInterrupted, "{about}");
                let mut names = self.files.iter().map(|f| f.0).chain([case.target]);
                assert!(names.any(|name| said.contains(&*self.at(name).to_string_lossy())), "{about}");
                // A keyring that was just made is read again: that is another failure.
                let is_another = seen.calls.last() == Some(&Call::Open);
                assert!(case.in_place || said.contains("is written") == is_new || is_another, "{about}");
            }
        }
        let stops = matches!(fault, Fault::Stops | Fault::StopsHalfWay);
        let most_left = usize::from(stops || seen.struck == Some(Call::Remove));
        assert!(self.temporaries().len() <= most_left, "{about}");

        // Nobody tidies up: the same once more.
        let again = (case.work)(self);
        assert!((case.is_new)(self), "{about}");
        assert!(again.is_ok() || (is_new && !case.in_place), "{about} {again:?}");
        assert!(self.temporaries().len() <= most_left, "{about}");
        at < seen.calls.len()
    }

    /// Sees that neither the target nor what is to become it has a wider mode than at the end.
    fn watch(&self, case: &Case<'_>) -> Rc<dyn Fn(Call)> {
        let (folder, target, allowed) = (self.folder.clone(), self.at(case.target), case.mode);
        let mut others: Vec<_> = self.files.iter().map(|f| self.at(f.0)).collect();
        others.retain(|path| *path != target);
        Rc::new(move |_| {
            for path in listed(&folder).into_iter().filter(|path| !others.contains(path)) {
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode & !allowed, 0, "{mode:o} {}", path.display());
            }
        })
    }

    fn temporaries(&self) -> Vec<PathBuf> {
        let is_temporary = |path: &PathBuf| path.to_string_lossy().ends_with(".tmp");
        listed(&self.folder).into_iter().filter(is_temporary).collect()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.at(name)).unwrap().permissions().mode() & 0o777
    }

    fn header(&self, name: &str) -> Header {
        Header::parse(&fs::read(self.at(name)).unwrap()).unwrap()
    }

    fn keys(&self, name: &str) -> Vec<String> {
        self.header(name).recipients().iter().map(|r| r.wrapped.key_id.to_string()).collect()
    }

    fn is_damaged(&self, name: &str) -> bool {
        self.header(name).damage().is_some()
    }

    fn opens(&self, name: &str) -> bool {
        let (Ok(file), mut opened) = (fs::File::open(self.at(name)), Vec::new()) else { return false };
        self.scope.open_stream(Aad::empty(), file, &mut opened).is_ok() && opened == text()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What was written was synced before it got its name, and the name after that.
fn is_durable(calls: &[Call]) -> bool {
    let last = |wanted: &[Call]| calls.iter().rposition(|call| wanted.contains(call));
    let steps = [
        last(&[Call::Write, Call::SetMode, Call::SetOwner]),
        last(&[Call::Sync]),
        last(&[Call::Link, Call::Rename, Call::RenameNew]),
        last(&[Call::SyncDirectory]),
    ];
    let first_name = calls.iter().position(|c| matches!(c, Call::Link | Call::Rename | Call::RenameNew));
    steps.is_sorted() && steps[0].is_some() && first_name > steps[1]
}

/// In place, nothing else happens between a write, in parts or whole, and its sync.
fn each_write_is_synced(calls: &[Call]) -> bool {
    let mut calls: Vec<_> = calls.iter().filter(|c| matches!(c, Call::Write | Call::Sync)).collect();
    calls.dedup();
    calls.len() >= 4 && calls.chunks(2).all(|pair| pair == [&Call::Write, &Call::Sync])
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

fn text() -> Vec<u8> {
    (0..TEXT).map(|i| (i * 7 + i / 251) as u8).collect()
}
