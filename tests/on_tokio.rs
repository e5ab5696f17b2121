//! A backend on tokio that panics, is dropped, loses its runtime, or is asked by thousands.
mod common;

use common::context;
use libkms::{
    Aad, Dek, EncryptionContext, ErrorKind, KeyId, Kms, OutagePolicy, Result, Wait, WrappedDek, async_trait,
    kek::{KmsBackend, Mock, OnTokio},
};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};

/// It does what the context says.
#[derive(Clone)]
struct Told {
    mock: Mock,
    running: Arc<AtomicUsize>,
}

/// One more that runs, until it is dropped, which may panic.
struct Runs(Arc<AtomicUsize>, bool);

impl Runs {
    fn new(running: &Arc<AtomicUsize>, panics: bool) -> Self {
        running.fetch_add(1, SeqCst);
        Self(running.clone(), panics)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
        assert!(!self.1, "on purpose, when dropped");
    }
}

#[async_trait]
impl KmsBackend for Told {
    fn scheme(&self) -> &str {
        "mock"
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.mock.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        let is = |what: &str| context.iter().any(|(key, _)| key == what);
        let _runs = Runs::new(&self.running, is("panics when dropped"));
        assert!(!is("panics at once"), "on purpose");
        tokio::time::sleep(Duration::from_millis(if is("hour") { 3_600_000 } else { 5 })).await;
        assert!(!is("panics later"), "on purpose");
        self.mock.wrap_dek(dek, context).await
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.mock.unwrap_dek(wrapped, context).await
    }
}

impl Told {
    fn new() -> Self {
        Self { mock: Mock::new("k"), running: Arc::default() }
    }

    /// Once so many run.
    fn until(&self, n: usize) {
        let began = Instant::now();
        while self.running.load(SeqCst) != n {
            assert!(began.elapsed() < Duration::from_secs(20), "{} run", self.running.load(SeqCst));
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn threads(n: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(n).enable_all().build().unwrap()
}

#[test]
fn a_panic_anywhere_in_a_call_is_its_error_and_nobody_elses() {
    let (told, runtime) = (Told::new(), threads(1));
    for kek in [OnTokio::own(told.clone()), OnTokio::on(runtime.handle().clone(), told.clone())] {
        let dek = Dek::generate().unwrap();
        let kek = Arc::new(kek);
        // One that is under way when others panic.
        let (slow, slow_dek) = (kek.clone(), dek.share());
        let under_way = thread::spawn(move || {
            let calls = (0..20).map(|_| slow.wrap_dek(&slow_dek, &EncryptionContext::empty()).wait());
            calls.collect::<Result<Vec<_>>>().map(|all| all.len())
        });
        for when in ["panics at once", "panics later", "panics when dropped"] {
            for _ in 0..10 {
                let refused = kek.wrap_dek(&dek, &context(&[(when, "")])).wait().unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::BadReply, "{when}: {refused}");
            }
        }
        assert_eq!(under_way.join().unwrap().unwrap(), 20);
        kek.wrap_dek(&dek, &EncryptionContext::empty()).wait().unwrap();
    }
}

#[test]
fn a_runtime_that_shuts_down_ends_the_calls_that_run_on_it() {
    type Ends = fn(Runtime);
    let ends: [Ends; 3] =
        [drop, Runtime::shutdown_background, |r| r.shutdown_timeout(Duration::from_millis(50))];
    for end in ends {
        let (told, runtime, dek) = (Told::new(), threads(2), Dek::generate().unwrap());
        let kek = Arc::new(OnTokio::on(runtime.handle().clone(), told.clone()));
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let (kek, dek) = (kek.clone(), dek.share());
                thread::spawn(move || kek.wrap_dek(&dek, &context(&[("hour", "")])).wait().map(drop))
            })
            .collect();
        told.until(50);
        end(runtime);
        for call in calls {
            let refused = call.join().unwrap().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unavailable);
            assert!(refused.to_string().contains("has ended"), "{refused}");
        }
        told.until(0);
        // And those that come after.
        let refused = kek.wrap_dek(&dek, &EncryptionContext::empty()).wait().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
    }
}

/// One that nobody drives: an error in time, not a hang.
#[test]
fn a_current_thread_runtime_that_nobody_drives_is_given_up() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let told = Told::new();
    let policy =
        OutagePolicy::default().call_timeout(Duration::from_millis(50)).deadline(Duration::from_millis(200));
    let kek = OnTokio::on(runtime.handle().clone(), told.clone());
    let kms = Kms::builder().kek(kek).outage_policy(policy).build().unwrap();
    let refused = kms.scope(EncryptionContext::empty()).seal(Aad::empty(), b"x").wait().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    drop(runtime);
    assert_eq!(told.running.load(SeqCst), 0);
}

#[test]
fn thousands_of_calls_at_once_are_one_threads_work() {
    let (told, dek) = (Told::new(), Dek::generate().unwrap());
    let kek = OnTokio::own(told.clone());
    let (hour, none) = (context(&[("hour", "")]), EncryptionContext::empty());
    // All of one kind hang, and are dropped when those of the other are done.
    let mut hang: Vec<_> = (0..5000).map(|_| Box::pin(kek.wrap_dek(&dek, &hour))).collect();
    let mut end: Vec<_> = (0..5000).map(|_| Some(Box::pin(kek.wrap_dek(&dek, &none)))).collect();
    let all = poll_fn(|cx| {
        assert!(hang.iter_mut().all(|call| call.as_mut().poll(cx).is_pending()));
        for call in &mut end {
            if call.as_mut().is_some_and(|c| c.as_mut().poll(cx).map(Result::unwrap).is_ready()) {
                *call = None;
            }
        }
        if end.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    });
    pin!(all).wait();
    told.until(5000);
    let names = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread of another test may end meanwhile.
    let names = names.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert_eq!(names.filter(|name| name.trim() == "libkms-io").count(), 1);
    drop(hang);
    told.until(0);
}
