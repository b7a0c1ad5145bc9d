//! The limits of this machine for the benchmarks' input, as plain lines `NAME SECONDS`, each the median of five runs: what
//! the work costs when all cores do it, in no order and with nothing around it. Scripts take ratios with them.
//!
//! ```text
//! PIROGUE_BENCH_PAYLOAD=DIR cargo bench --bench limits
//! ```
//!
//! Names that end in `_distinct` are for the files that are left when identical files of copies of a package are hard
//! links, as in pirogue's images.

mod input;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use input::limit::{self, Level};
use input::{Input, OWNER, files, tar_of};
use pirogue::layer::{Entry, FileTree, ImageContents, LayerPlan, PackageSet, Portability, group};

const RUNS: usize = 5;

fn main() {
    // `cargo bench` hands `--bench` to every benchmark; there is nothing to choose here.
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let input = Input::read();
    let plan = input.plan(input.collect(&input.full_index()));
    let all = files(&plan);
    let distinct: Vec<(PathBuf, u64)> = linked(&plan).iter().flat_map(files).collect();
    println!("threads {threads}");
    println!("files {}", all.len());
    println!("bytes {}", bytes(&all));
    println!("files_distinct {}", distinct.len());
    println!("bytes_distinct {}", bytes(&distinct));

    let modules = input.workspace.root.join("node_modules");
    print("walk", || limit::walk(modules.as_path(), threads));
    print("read", || limit::read_all(&all, false, threads));
    print("read_and_hash", || limit::read_all(&all, true, threads));
    let tar = tar_of(&plan, threads);
    println!("bytes_tar {}", tar.len());
    print("compress_libdeflate6", || limit::compress(&tar, Level::Libdeflate(6), threads));
    print("compress_zstd3", || limit::compress(&tar, Level::Zstd(3), threads));
    drop(tar);
    for (suffix, files) in [("", &all), ("_distinct", &distinct)] {
        for (name, level) in [
            ("none", Level::None),
            ("libdeflate1", Level::Libdeflate(1)),
            ("libdeflate6", Level::Libdeflate(6)),
            ("zstd1", Level::Zstd(1)),
            ("zstd3", Level::Zstd(3)),
        ] {
            print(&format!("pipeline_{name}{suffix}"), || limit::pipeline(files, level, threads));
            println!("bytes_{name}{suffix} {}", limit::pipeline(files, level, threads));
        }
    }
    if let Some(layout) = std::env::var_os("PIROGUE_BENCH_BASE") {
        let layers = limit::gzip_blobs(layout.as_ref());
        print("base", || limit::decompress(&layers, threads));
        println!("bytes_base {}", limit::decompress(&layers, threads));
    }
}

/// The layer with hard links in place of copies, as it is packed into an image.
fn linked(plan: &LayerPlan) -> Vec<LayerPlan> {
    let services = BTreeSet::from(["service".to_owned()]);
    let set = PackageSet { portability: Portability::Portable, services, part: 0 };
    let contents = ImageContents {
        service: "service".into(),
        system: FileTree::default(),
        user: Vec::new(),
        packages: BTreeMap::from([(set, plan.fragments.clone())]),
        workspace: Vec::new(),
        application: Vec::new(),
        hard_links: true,
    };
    group(contents, |_| Entry::directory(OWNER)).expect("no two packages lie at one place")
}

fn bytes(files: &[(PathBuf, u64)]) -> u64 {
    files.iter().map(|(_, size)| size).sum()
}

fn print(name: &str, work: impl Fn() -> u64) {
    work();
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begin = Instant::now();
            std::hint::black_box(work());
            begin.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!("{name} {:.4}", seconds[RUNS / 2]);
}
