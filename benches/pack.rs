//! Each step of packing on its own, beside the limit of this machine for the same bytes, measured in the same run.
//!
//! The input is the directory that `PIROGUE_BENCH_PAYLOAD` names, else the sample. What each pair of figures means is
//! told in `docs/benchmarks.md`.

mod input;

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;
use std::{io, thread};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use input::limit::{self, Level};
use input::{Input, OWNER, empty_index, files, packing, tar_of};
use pirogue::cancel::Cancellation;
use pirogue::digest::Digest;
use pirogue::layer::{
    Entry, FileTree, ImageContents, KeptFiles, LayerKeys, LayerPlan, PackageSet, PackageSets, Portability, ServiceSet,
    Unit, group, list, pack,
};
use pirogue::manifest::media_type::Compression;

/// The contents of an image with these packages, grouped by set of services: a quarter of them each for one service, two,
/// four and all of seven, as far as the grouping is concerned.
fn contents(plan: &LayerPlan) -> ImageContents {
    let services: Vec<String> = (1..=7).map(|number| format!("service-{number}")).collect();
    let units = plan.fragments.iter().enumerate().map(|(number, fragment)| {
        let services: ServiceSet = services.iter().take([1, 2, 4, 7][number % 4]).cloned().collect();
        ((Portability::Portable, number), Unit { services, bytes: fragment.tree.content_bytes() })
    });
    let sets = PackageSets::of(units.collect::<BTreeMap<_, _>>(), 9);
    let mut packages: BTreeMap<PackageSet, Vec<_>> = BTreeMap::new();
    for (number, fragment) in plan.fragments.iter().enumerate() {
        let set = sets.of_service(&number, &fragment.name, Portability::Portable, "service-1");
        packages.entry(set).or_default().push(fragment.clone());
    }
    ImageContents {
        service: "service-1".into(),
        system: FileTree::default(),
        user: Vec::new(),
        packages,
        workspace: Vec::new(),
        application: Vec::new(),
        hard_links: true,
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(10))
        .configure_from_args();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let input = Input::read();
    let index = input.full_index();
    let plan = input.plan(input.collect(&index));
    let files = files(&plan);
    let bytes = plan.content_bytes();
    let tar = tar_of(&plan, threads);
    println!("{} files, {bytes} bytes; tar of {} bytes; {threads} threads", files.len(), tar.len());

    let mut bench = criterion.benchmark_group("walk");
    bench.throughput(Throughput::Elements(files.len() as u64));
    bench.bench_function("pirogue", |timer| timer.iter(|| input.collect(black_box(&index))));
    let modules = input.workspace.root.join("node_modules");
    bench.bench_function("limit", |timer| timer.iter(|| limit::walk(modules.as_path(), threads)));
    bench.finish();

    let mut bench = of_bytes(&mut criterion, "hash", bytes);
    bench.bench_function("pirogue", |timer| {
        let index = || empty_index(&input.workspace);
        timer.iter_batched(index, |index| input.collect(&index), BatchSize::PerIteration);
    });
    bench.bench_function("limit, read and hash", |timer| timer.iter(|| limit::read_all(&files, true, threads)));
    bench.bench_function("limit, SHA-256 of the tar", |timer| timer.iter(|| Digest::of(black_box(&tar))));
    bench.finish();

    let mut bench = of_bytes(&mut criterion, "tar", bytes);
    bench.bench_function("pirogue", |timer| timer.iter(|| packed(&plan, Compression::None, threads)));
    bench.bench_function("limit", |timer| timer.iter(|| limit::pipeline(&files, Level::None, threads)));
    bench.bench_function("limit, read", |timer| timer.iter(|| limit::read_all(&files, false, threads)));
    bench.finish();

    for (name, level) in [("compress gzip", Level::Libdeflate(6)), ("compress zstd", Level::Zstd(3))] {
        let mut bench = of_bytes(&mut criterion, name, tar.len() as u64);
        bench.bench_function("limit", |timer| timer.iter(|| limit::compress(black_box(&tar), level, threads)));
        bench.finish();
    }

    let mut bench = criterion.benchmark_group("group");
    let contents = contents(&plan);
    bench.bench_function("pirogue", |timer| {
        let contents = || contents.clone();
        timer.iter_batched(contents, |contents| group(contents, |_| Entry::directory(OWNER)), BatchSize::PerIteration);
    });
    bench.finish();

    for (name, compression, level) in
        [("pack gzip", Compression::Gzip, Level::Libdeflate(6)), ("pack zstd", Compression::Zstd, Level::Zstd(3))]
    {
        let mut bench = of_bytes(&mut criterion, name, bytes);
        bench.bench_function("pirogue", |timer| timer.iter(|| packed(&plan, compression, threads)));
        bench.bench_function("limit", |timer| timer.iter(|| limit::pipeline(&files, level, threads)));
        bench.finish();
    }
    if let Some(layout) = std::env::var_os("PIROGUE_BENCH_BASE") {
        let layers = limit::gzip_blobs(layout.as_ref());
        let listed = |layer: &PathBuf| {
            let blob = BufReader::new(File::open(layer).expect("a layer of the base can be read"));
            list(blob, Compression::Gzip, KeptFiles::default()).expect("a layer of the base is whole").entries.len()
        };
        let mut bench = criterion.benchmark_group("base");
        bench.bench_function("pirogue", |timer| timer.iter(|| layers.iter().map(listed).sum::<usize>()));
        bench.bench_function("limit", |timer| timer.iter(|| limit::decompress(&layers, 1)));
        bench.finish();
    }
    criterion.final_summary();
}

fn of_bytes<'c>(criterion: &'c mut Criterion, name: &str, bytes: u64) -> BenchmarkGroup<'c, WallTime> {
    let mut bench = criterion.benchmark_group(name);
    bench.throughput(Throughput::Bytes(bytes));
    bench
}

/// Packs into nowhere; gives the size of the blob.
fn packed(plan: &LayerPlan, compression: Compression, threads: usize) -> u64 {
    let keys = LayerKeys::of(plan, 1, compression);
    let packed = pack(plan, &keys, packing(compression, threads, &Cancellation::default()), io::sink());
    packed.expect("the payload packs").layer.descriptor().size
}
