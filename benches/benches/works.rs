//! The same works under criterion, for its statistics: `cargo bench`.
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use libkms::raw::Kernels;
use libkms_benches::works;
use std::time::Instant;

fn works(criterion: &mut Criterion) {
    let kernels = *Kernels::all().last().expect("there are always kernels");
    for (work, bytes) in works::all(true, true) {
        let key = work.key().map_or("", |key| key.name());
        let mut group = criterion.benchmark_group(format!("{} {key}", work.name()));
        group.throughput(Throughput::Bytes(bytes as u64));
        for mut contestant in work.contestants(kernels, bytes) {
            group.bench_function(BenchmarkId::new(contestant.name, bytes), |bencher| {
                bencher.iter_custom(|calls| {
                    let begun = Instant::now();
                    (contestant.burst)(calls as usize);
                    begun.elapsed()
                });
            });
        }
    }
}

criterion_group!(benches, works);
criterion_main!(benches);
