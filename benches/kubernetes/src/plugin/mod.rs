//! Decrypts by a KMS plugin: the program `kms`, beside a plugin in Go that does as little as one can.
mod load;
mod process;
#[allow(unused, clippy::all, reason = "generated")]
#[rustfmt::skip]
#[path = "../../../../src/kek/k8s_kms/generated/v2.rs"]
mod v2;

use crate::median;
use libkms::{Aad, DekPolicy, EncryptionContext, Kms, Result, Wait, kek};
use load::{Client, Seed, Took};
use process::Process;
use std::{collections::HashMap, path::Path, sync::Arc};
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 9;
/// Of one round, with one plugin.
const CALLS: usize = 60_000;
/// Several servers, each with a seed, read what the others stored.
const FEW: usize = 4;
/// More than our plugin remembers DEKs, in turn: it remembers none when it is asked again.
const MANY: usize = 20_000;

const WHAT: &str = "\
Both unwrap seeds of 32 bytes for one client, which has one connection to each and eight calls under way.
libkms: kms plugin serve over a keyring file. A seed is an envelope: its header is checked, its DEK is
        unwrapped under the KEK unless it is remembered, and the record opens under a key of its own.
Go:     k8s.io/kms on gRPC for Go. A seed is one AES-GCM ciphertext under one key that is set up.";

/// `kms`, `go`: programs. What they need lies in `folder`, which is empty.
pub fn run(kms: &str, go: &str, folder: &Path) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let keyring = folder.join("keys.json").display().to_string();
    process::run(kms, &["keyring", "create", &keyring, "--key", "k"]);
    let kek = format!("local:{keyring}#k");
    let [ours_at, theirs_at] = ["kms.sock", "go.sock"].map(|name| folder.join(name));
    let listen = format!("unix://{}", ours_at.display());
    let ours = Process::start(kms, &["plugin", "serve", "--kek", &kek, "--listen", &listen]);
    let theirs = Process::start(go, &["--socket", &theirs_at.display().to_string()]);
    let sides = [(ours, ours_at), (theirs, theirs_at)].map(|(process, socket)| {
        // Connecting takes the runtime that the calls are made on.
        let client = runtime.block_on(async { Client::new(&socket) });
        let key_id = runtime.block_on(client.key_id());
        Side { process, client, key_id }
    });
    println!(
        "{WHAT}\n{ROUNDS} rounds of {CALLS} Decrypts for each in turn: medians, and the median of their ratios\n"
    );
    for (load, seeds) in loads(&runtime, &sides, &kek)? {
        println!("{load}");
        compare(&runtime, &sides, &seeds);
    }
    Ok(())
}

struct Side {
    process: Process,
    client: Client,
    key_id: String,
}

type Seeds = [Arc<Vec<Seed>>; 2];

fn loads(runtime: &Runtime, sides: &[Side; 2], kek: &str) -> Result<Vec<(String, Seeds)>> {
    let wrapped = |count| sides.each_ref().map(|side| Arc::new(wrapped(runtime, &side.client, count)));
    let many = wrapped(MANY);
    let own = [Arc::new(each_under_its_dek(kek, &sides[0].key_id)?), many[1].clone()];
    Ok(vec![
        (format!("{FEW} seeds, as of a server that restarts"), wrapped(FEW)),
        (format!("{MANY} seeds as the plugins wrap them: in our case under one DEK"), many),
        (format!("{MANY} seeds, in our case each under a DEK of its own that is not remembered"), own),
    ])
}

fn wrapped(runtime: &Runtime, client: &Client, count: usize) -> Vec<Seed> {
    runtime.block_on(async {
        let mut seeds = Vec::new();
        for n in 0..count {
            seeds.push(client.wrapped(seed(n)).await);
        }
        seeds
    })
}

/// As a plugin makes them that wraps one seed in its life.
fn each_under_its_dek(kek: &str, key_id: &str) -> Result<Vec<Seed>> {
    let kms = Kms::builder().kek(kek::from_uri(kek).wait()?).dek_policy(DekPolicy::per_message()).build()?;
    let scope = kms.scope(EncryptionContext::empty());
    let one = |n| {
        let ciphertext = scope.seal(Aad::from("kubernetes kms v2"), &seed(n)).wait()?;
        Ok(Seed::new(seed(n), ciphertext, key_id.into(), HashMap::new()))
    };
    (0..MANY).map(one).collect()
}

fn seed(n: usize) -> [u8; 32] {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&n.to_le_bytes());
    seed
}

/// Of one round with one plugin.
struct Round {
    cpu: f64,
    took: Took,
}

fn compare(runtime: &Runtime, sides: &[Side; 2], seeds: &Seeds) {
    let round = |n: usize| {
        let before = sides[n].process.cpu_seconds();
        let took = runtime.block_on(sides[n].client.decrypts(&seeds[n], CALLS));
        Round { cpu: sides[n].process.cpu_seconds() - before, took }
    };
    // Caches, connections and heaps become what they are.
    drop([0, 1].map(round));
    let rounds: Vec<[Round; 2]> = (0..ROUNDS)
        .map(|n| {
            if n % 2 == 0 {
                let ours = round(0);
                [ours, round(1)]
            } else {
                let theirs = round(1);
                [round(0), theirs]
            }
        })
        .collect();
    println!("  {:<32} {:>9} {:>9} {:>6}  asked", "", "libkms", "Go", "ratio");
    line(&rounds, "µs of its processor per Decrypt", "at most 0.6", |r| r.cpu / CALLS as f64 * 1e6);
    line(&rounds, "Decrypts a second", "at least 1", |r| CALLS as f64 / r.took.seconds);
    line(&rounds, "p50, µs", "", |r| r.took.percentile(50) * 1e6);
    line(&rounds, "p99, µs", "at most 1", |r| r.took.percentile(99) * 1e6);
    println!();
}

fn line(rounds: &[[Round; 2]], name: &str, asked: &str, of: impl Fn(&Round) -> f64) {
    let side = |n: usize| median(rounds.iter().map(|round| of(&round[n])).collect());
    let ratio = median(rounds.iter().map(|[ours, theirs]| of(ours) / of(theirs)).collect());
    println!("  {name:<32} {:>9.1} {:>9.1} {ratio:>6.2}  {asked}", side(0), side(1));
}
