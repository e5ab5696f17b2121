//! Warm values of kms v2, beside the API server's own transformer in Go.
use crate::median;
use libkms::{
    Result, Wait, async_trait,
    kubernetes::{DekSource, KmsProvider, KmsService, KmsStatus, KmsVersion, Provider, Transformer, Wrapped},
};
use std::{
    hint::black_box,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(60);
const PATH: &str = "/registry/secrets/default/db";
/// What is asked of us: Go's time is so many times ours.
const ASKED: [(usize, f64, f64); 3] = [(64, 10.0, 10.0), (1024, 10.0, 10.0), (65536, 2.0, 3.0)];

/// A KMS that wraps nothing: it is asked once, before anything is timed.
struct Plain;

#[async_trait]
impl KmsService for Plain {
    async fn encrypt(&self, plaintext: &[u8], _: &str) -> Result<Wrapped> {
        Ok(Wrapped { ciphertext: plaintext.to_vec(), key_id: "1".into(), ..Default::default() })
    }

    async fn decrypt(&self, wrapped: &Wrapped, _: &str) -> Result<DekSource> {
        DekSource::take(wrapped.ciphertext.clone())
    }

    async fn status(&self) -> Result<KmsStatus> {
        Ok(KmsStatus { version: "v2".into(), healthz: "ok".into(), key_id: "1".into() })
    }
}

/// `go`: the program in `go/`.
pub fn run(go: &str) -> Result<()> {
    let provider = Provider::Kms(KmsProvider {
        version: KmsVersion::V2,
        name: "bench".into(),
        endpoint: "unix:///bench".into(),
        timeout: Duration::from_secs(3),
        cache_size: 0,
    });
    let values = Transformer::new(vec![provider], |_| Ok(Arc::new(Plain)))?;
    let mut peer = Command::new(go).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (mut to, mut from) =
        (peer.stdin.take().unwrap(), BufReader::new(peer.stdout.take().unwrap()).lines());
    println!("kms v2, warm, ns per value, medians of {ROUNDS} rounds in turn");
    println!("{:>6} {:>8} {:>10} {:>10} {:>7} {:>7}", "work", "bytes", "libkms", "Go", "times", "asked");
    for (bytes, read_asked, write_asked) in ASKED {
        for (work, asked) in [("read", read_asked), ("write", write_asked)] {
            let plaintext = vec![7; bytes];
            let stored = values.write(PATH, &plaintext).wait()?;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                ours.push(time(|| match work {
                    "read" => drop(black_box(values.try_read(PATH, &stored))),
                    _ => drop(black_box(values.try_write(PATH, &plaintext))),
                }));
                writeln!(to, "{work} {bytes} {}", ROUND.as_millis())?;
                let line = from.next().expect("an answer")?;
                theirs.push(line.parse().expect("a number"));
            }
            let (ours, theirs) = (median(ours), median(theirs));
            let times = theirs / ours;
            println!("{work:>6} {bytes:>8} {ours:>10.0} {theirs:>10.0} {times:>7.1} {asked:>7}");
        }
    }
    drop(to);
    peer.wait()?;
    Ok(())
}

fn time(mut work: impl FnMut()) -> f64 {
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < ROUND {
        (0..64).for_each(|_| work());
        count += 64;
    }
    begun.elapsed().as_nanos() as f64 / f64::from(count)
}
