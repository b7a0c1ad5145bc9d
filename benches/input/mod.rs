//! What the benchmarks work on: the production packages of an installed workspace.

pub mod limit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pirogue::cancel::Cancellation;
use pirogue::closure::{InstalledPackages, NodePlatform, ProductionTree};
use pirogue::host::StatIndex;
use pirogue::layer::{
    Collector, Content, FoundPiece, Fragment, FragmentKey, Kind, LayerKeys, LayerPlan, LayerRole, Owner, Packing,
    PieceCache, pack,
};
use pirogue::manifest::media_type::Compression;
use pirogue::path::{HostPath, ImagePath};
use pirogue::workspace::{Workspace, WorkspacePath};
use rayon::prelude::*;

pub const OWNER: Owner = Owner { uid: 1001, gid: 1001 };

/// The workspace and its production packages.
pub struct Input {
    pub workspace: Workspace,
    pub root: ImagePath,
    /// The packages' directories with their names.
    pub packages: Vec<(WorkspacePath, String)>,
}

impl Input {
    /// The directory that `PIROGUE_BENCH_PAYLOAD` names, else the sample, which has to be installed.
    pub fn read() -> Self {
        let dir = std::env::var_os("PIROGUE_BENCH_PAYLOAD")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-fixtures/wanzo"), PathBuf::from);
        let hint = "make one: `benches/payload/make DIR`, and set PIROGUE_BENCH_PAYLOAD=DIR; or run `scripts/sample`";
        assert!(dir.join("node_modules").is_dir(), "nothing is installed in `{}`; {hint}", dir.display());
        let workspace = Workspace::discover(&HostPath::new(dir)).expect("the payload is a workspace");
        let index = empty_index(&workspace);
        let installed = InstalledPackages::new(&workspace, &index);
        let platform = NodePlatform::new(&"linux/amd64".parse().expect("a platform"), None);
        let production = ProductionTree::of(&installed, &platform).expect("the payload is installed whole");
        let packages = production
            .packages()
            .map(|(dir, package)| (dir.clone(), package.package_json.name.clone().unwrap_or_default()))
            .collect();
        Self { packages, root: ImagePath::new("/app").expect("a path"), workspace }
    }

    /// An index that knows every file of the packages, as a second build finds it.
    pub fn full_index(&self) -> StatIndex {
        let index = empty_index(&self.workspace);
        self.collect(&index);
        let bytes = index.encode().expect("an index can be written");
        StatIndex::decode(&self.workspace.root, bytes, i64::MAX)
    }

    /// The library's walk: each package looked at on all cores, files that `index` does not know read and hashed.
    pub fn collect(&self, index: &StatIndex) -> Vec<Fragment> {
        let collector = Collector { workspace: &self.workspace, image_root: &self.root, owner: OWNER, index };
        self.packages
            .par_iter()
            .map(|(dir, name)| Fragment {
                name: name.clone(),
                label: name.clone(),
                tree: Arc::new(collector.package(dir).expect("a package can be read")),
            })
            .collect()
    }

    /// One layer of all packages as they are, no file of which is a hard link.
    pub fn plan(&self, fragments: Vec<Fragment>) -> LayerPlan {
        LayerPlan { role: LayerRole::Packages, services: Vec::new(), fragments }
    }
}

/// An index that knows nothing, which is what a first build finds.
pub fn empty_index(workspace: &Workspace) -> StatIndex {
    StatIndex::decode(&workspace.root, None, i64::MAX)
}

/// The files of the disk that a layer packs, with their sizes; hard links are none.
pub fn files(plan: &LayerPlan) -> Vec<(PathBuf, u64)> {
    let entries = plan.fragments.iter().flat_map(|fragment| fragment.tree.iter());
    let files = entries.filter_map(|(_, entry)| match &entry.kind {
        Kind::File(Content::Host { file, size, .. }) => Some((file.path().as_path().to_owned(), *size)),
        _ => None,
    });
    files.collect()
}

/// Remembers nothing, as at a first build.
struct NoCache;

impl PieceCache for NoCache {
    fn find(&self, _: &FragmentKey, _: u64, _: &mut Vec<u8>) -> Option<FoundPiece> {
        None
    }
}

/// How a first build packs.
pub fn packing<'a>(compression: Compression, threads: usize, cancellation: &'a Cancellation) -> Packing<'a> {
    Packing { mtime: 1, compression, threads, cache: &NoCache, cancellation, on_bytes: &|_| () }
}

/// The layer's uncompressed tar.
pub fn tar_of(plan: &LayerPlan, threads: usize) -> Vec<u8> {
    let mut tar = Vec::new();
    let keys = LayerKeys::of(plan, 1, Compression::None);
    pack(plan, &keys, packing(Compression::None, threads, &Cancellation::default()), &mut tar)
        .expect("the payload packs");
    tar
}
