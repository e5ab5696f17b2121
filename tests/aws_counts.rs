//! What AWS KMS is asked, counted where the requests come in.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/proxy.rs"]
mod proxy;

use common::context;
use libkms::{Aad, ErrorKind, Kms, OutagePolicy, Scope, Wait, inspect, kek::AwsKms, rt::Simulated};
use moto::*;
use proxy::{Answer, Proxy};
use std::{
    collections::HashSet,
    pin::pin,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

const THREADS: usize = 8;
const S: Duration = Duration::from_secs(1);

fn kms(proxy: &Proxy, key: &str) -> Kms {
    Kms::builder().kek(AwsKms::from_client(client(proxy.at), key).unwrap()).build().unwrap()
}

fn tenant(kms: &Kms, n: usize) -> Scope {
    kms.scope(context(&[("tenant", &n.to_string())]))
}

/// GenerateDataKey, Encrypt, Decrypt.
fn calls(proxy: &Proxy) -> [usize; 3] {
    ["GenerateDataKey", "Encrypt", "Decrypt"].map(|operation| proxy.count(operation))
}

/// All defaults; what each scope seals is under one DEK.
fn seal(count: usize, tenants: usize) -> usize {
    let (proxy, key) = (proxy(), new_key());
    let (kms, begun) = (kms(&proxy, &key), Instant::now());
    let (next, start) = (AtomicUsize::new(0), Barrier::new(THREADS));
    thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                let scopes: Vec<_> = (0..tenants).map(|n| tenant(&kms, n)).collect();
                start.wait();
                while let Some(n) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < count) {
                    scopes[n % tenants].seal(Aad::empty(), b"two pounds of tea").wait().unwrap();
                }
            });
        }
    });
    assert_eq!(calls(&proxy), [tenants, 0, 0], "one for each scope");
    // At first, and twice a minute.
    let questions = 1 + begun.elapsed().as_secs() as usize / 30;
    assert!((1..=questions).contains(&proxy.count("DescribeKey")), "{}", proxy.count("DescribeKey"));
    proxy.count("*")
}

#[test]
fn a_million_seals_make_ten_calls_at_most() {
    let calls = seal(1_000_000, 1);
    assert!(calls <= 10, "{calls}");
}

#[test]
fn scopes_have_a_dek_each() {
    seal(20_000, 7);
}

/// Ten thousand at once, on several threads, none of which has the DEK.
#[test]
fn ten_thousand_cold_opens_of_one_dek_make_one_decrypt() {
    const RECORDS: usize = 10_000;
    let (proxy, key) = (proxy(), new_key());
    let writer = tenant(&kms(&proxy, &key), 1);
    let records: Vec<_> = (0..RECORDS as u64)
        .map(|n| writer.seal(Aad::new(&n.to_be_bytes()), &n.to_be_bytes()).wait().unwrap())
        .collect();
    let names: HashSet<_> = records.iter().map(|r| *inspect(r).unwrap().commitment()).collect();
    assert_eq!(names.len(), 1);
    proxy.forget();
    proxy.always("Decrypt", Answer::Late(Duration::from_millis(500)));
    let (reader, waiting, start) = (kms(&proxy, &key), AtomicUsize::new(0), Barrier::new(THREADS));
    thread::scope(|threads| {
        for thread in 0..THREADS {
            let (scope, records, waiting, start) = (tenant(&reader, 1), &records, &waiting, &start);
            threads.spawn(move || {
                start.wait();
                let share = (thread..RECORDS).step_by(THREADS);
                let aads: Vec<_> = share.clone().map(|n| (n as u64).to_be_bytes()).collect();
                let opens = share.zip(&aads).map(|(n, aad)| Box::pin(scope.open(Aad::new(aad), &records[n])));
                let mut opens: Vec<_> = opens.collect();
                for open in &mut opens {
                    let poll = open.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    waiting.fetch_add(usize::from(poll.is_pending()), Ordering::Relaxed);
                }
                for (open, aad) in opens.into_iter().zip(&aads) {
                    assert_eq!(open.wait().unwrap().plaintext, aad);
                }
            });
        }
    });
    assert_eq!(calls(&proxy), [0, 0, 1]);
    assert!(waiting.into_inner() > 1, "it was asked before anybody else came");
}

/// A reader whose clock stands still until it is moved.
struct Reader {
    clock: Simulated,
    scope: Scope,
}

impl Reader {
    fn start(proxy: &Proxy, key: &str) -> Self {
        let clock = Simulated::new();
        let kek = AwsKms::from_client(client(proxy.at), key).unwrap();
        let kms = Kms::builder().kek(kek).runtime(clock.clone()).build().unwrap();
        Self { scope: tenant(&kms, 1), clock }
    }

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
}

/// Records that name keys which are none of ours: another one, which there is, and hostile
/// variants of our own.
fn forged(record: &[u8], key: &str) -> Vec<Vec<u8>> {
    let account = key.split(':').nth(4).unwrap();
    let id = key.rsplit('/').next().unwrap();
    let swapped = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = record.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        [&record[..at], to.as_bytes(), &record[at + to.len()..]].concat()
    };
    let ids = (0..100).map(|n| swapped(id, &format!("{n:08}{}", &id[8..])));
    let places = [
        swapped(account, "999900001111"),
        swapped(REGION, "eu-central-9"),
        swapped(":kms:", ":kmz:"),
        swapped("key/", "KEY/"),
    ];
    ids.chain(places).collect()
}

/// Three minutes of forged key ids, many a second; who is honest reads on.
#[test]
fn f11_a_flood_of_forged_key_ids_brings_no_decrypt_and_two_questions_a_minute() {
    let (proxy, key, foreign) = (proxy(), new_key(), new_key());
    let alias = new_alias("flood", &key);
    let seal = |key: &str| tenant(&kms(&proxy, key), 1).seal(Aad::empty(), b"tea").wait().unwrap();
    let honest: Vec<_> = (0..18).map(|_| seal(&key)).collect();
    let mut forged = forged(&honest[0], &key);
    forged.push(seal(&foreign));
    let reader = Reader::start(&proxy, &alias);
    proxy.forget();
    let mut questions = Vec::new();
    for second in 0..180 {
        for record in &forged {
            let refused = reader.run(reader.scope.open(Aad::empty(), record)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::NoMatchingKek);
        }
        // A new DEK every ten seconds.
        let opened = reader.run(reader.scope.open(Aad::empty(), &honest[second / 10])).unwrap();
        assert_eq!(opened.plaintext, b"tea");
        questions.resize(proxy.count("DescribeKey"), second);
        reader.clock.advance(S);
    }
    assert_eq!(calls(&proxy), [0, 0, honest.len()]);
    for minute in 0..=120 {
        let asked = questions.iter().filter(|at| (minute..minute + 60).contains(*at)).count();
        assert!(asked <= 2, "{asked} in the minute from second {minute}: {questions:?}");
    }
    assert!(!questions.is_empty(), "an alias may lead there by now");
}

/// Who may not ask is told by the DEKs that are made.
#[test]
fn without_permission_to_describe_the_next_dek_tells_that_the_alias_moved() {
    let (proxy, keys) = (proxy(), [new_key(), new_key()]);
    let alias = new_alias("undescribed", &keys[0]);
    proxy.always("DescribeKey", Answer::refusal(400, "AccessDeniedException"));
    let kms = kms(&proxy, &alias);
    let seal = |n| inspect(&tenant(&kms, n).seal(Aad::empty(), b"tea").wait().unwrap()).unwrap();
    let key_of = |n| seal(n).recipients()[0].wrapped.key_id.to_string();
    assert_eq!(key_of(1), keys[0]);
    move_alias(&alias, &keys[1]);
    assert_eq!([key_of(1), key_of(2), key_of(1)], [&keys[0], &keys[1], &keys[1]].map(Clone::clone));
    assert_eq!((calls(&proxy), proxy.count("DescribeKey")), ([3, 0, 0], 1));
}

/// More at once than there are connections: those that wait for one are none that failed.
#[test]
fn calls_that_were_never_sent_are_not_taken_for_failures() {
    const RECORDS: usize = 150;
    // What it may be asked is judged elsewhere: here that takes long.
    let (proxy, key) = (Proxy::before(MOTO.at), new_key());
    let writer = kms(&proxy, &key);
    let seal = |n| tenant(&writer, n).seal(Aad::empty(), b"tea").wait().unwrap();
    let records: Vec<_> = (0..RECORDS).map(seal).collect();
    let policy = OutagePolicy::default().call_timeout(8 * S).deadline(40 * S);
    let kek = AwsKms::from_client(client(proxy.at), &key).unwrap();
    let reader = Kms::builder().kek(kek).outage_policy(policy).build().unwrap();
    // A second one would be too late if it were one call to wait and to be answered.
    proxy.always("Decrypt", Answer::Late(5 * S));
    let reader = &reader;
    thread::scope(|threads| {
        for (n, record) in records.iter().enumerate() {
            threads.spawn(move || tenant(reader, n).open(Aad::empty(), record).wait().unwrap());
        }
    });
    let health = reader.health().backends.remove(0);
    assert!(health.failed == 0 && health.refused > 0, "{health:?}");
    assert_eq!(proxy.count("Decrypt"), RECORDS);
}
