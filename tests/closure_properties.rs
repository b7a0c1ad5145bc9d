//! Dependency closures of generated workspaces: hoisted, nested and linked packages, edges of every kind, held against a
//! tiny resolver of this test's own.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::workspace::TestWorkspace;
use pirogue::closure::{
    ClosureError, DependencyClosure, InstalledPackages, NodePlatform, Packages, ProductionEdge, ProductionTree,
    ResolvedPackage,
};
use pirogue::host::StatIndex;
use pirogue::path::HostPath;
use pirogue::workspace::{PackageJson, ShippedFiles, Workspace, WorkspacePath};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

/// How many names have a package in the root's `node_modules`, so that any edge to one of them can be resolved.
const HOISTED: usize = 7;
/// A workspace package, linked where npm links it.
const LIB: usize = HOISTED;
/// A name that nothing installs. Only edges that may fail lead there.
const ABSENT: usize = HOISTED + 1;
/// A name that only development installs. Only optional peers lead there.
const GHOST: usize = HOISTED + 2;

fn name(number: usize) -> String {
    match number {
        LIB => "@acme/lib".to_owned(),
        ABSENT => "absent".to_owned(),
        GHOST => "ghost".to_owned(),
        // A name with a scope lies one directory deeper.
        number if number % 3 == 0 => format!("@scope/p{number}"),
        number => format!("p{number}"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Production,
    Optional,
    Peer,
    OptionalPeer,
}

#[derive(Clone, Debug)]
struct Package {
    edges: BTreeMap<usize, Kind>,
    for_windows: bool,
}

/// A workspace to be written.
#[derive(Clone, Debug)]
struct Layout {
    /// The packages in the root's `node_modules`, and whether they are links into a store, as pnpm makes them.
    hoisted: Vec<(Package, bool)>,
    /// Packages nested in others or in members: who holds them, and their names.
    nested: Vec<(Index, usize, Package)>,
    service: Package,
    lib: Package,
}

fn package() -> impl Strategy<Value = Package> {
    let kind = prop_oneof![
        4 => Just(Kind::Production),
        1 => Just(Kind::Optional),
        1 => Just(Kind::Peer),
        1 => Just(Kind::OptionalPeer),
    ];
    let allowed = |(to, kind)| match (to, kind) {
        (GHOST, _) => (to, Kind::OptionalPeer),
        (ABSENT, Kind::Production) => (to, Kind::Optional),
        edge => edge,
    };
    let edges = prop::collection::vec((0..=GHOST, kind).prop_map(allowed), 0..4);
    (edges, prop::bool::weighted(0.2))
        .prop_map(|(edges, for_windows)| Package { edges: edges.into_iter().collect(), for_windows })
}

fn layout() -> impl Strategy<Value = Layout> {
    let hoisted = prop::collection::vec((package(), prop::bool::weighted(0.3)), HOISTED);
    let nested = prop::collection::vec((any::<Index>(), 0..HOISTED, package()), 0..4);
    (hoisted, nested, package(), package()).prop_map(|(hoisted, nested, service, lib)| Layout {
        hoisted,
        nested,
        service,
        lib,
    })
}

impl Layout {
    /// The files, with the keys of every package.json in their order or the other way round; and the links.
    fn files(&self, reversed: bool) -> (BTreeMap<String, String>, Vec<(String, PathBuf)>) {
        let mut files = BTreeMap::new();
        let mut links = vec![("node_modules/@acme/lib".to_owned(), PathBuf::from("../../packages/lib"))];
        let mut add = |dir: &str, name: &str, package: &Package| {
            let text = package_json(name, package, reversed);
            files.insert(format!("{dir}/package.json").trim_start_matches('/').to_owned(), text);
        };
        add("apps/web", "web", &self.service);
        add("packages/lib", "@acme/lib", &self.lib);
        let mut dirs = vec!["apps/web".to_owned(), "packages/lib".to_owned()];
        for (number, (package, linked)) in self.hoisted.iter().enumerate() {
            let name = name(number);
            let place = format!("node_modules/{name}");
            let dir = match linked {
                true => format!("node_modules/.pnpm/{}@1.0.0/node_modules/{name}", name.replace('/', "+")),
                false => place.clone(),
            };
            add(&dir, &name, package);
            if *linked {
                let up = if name.contains('/') { "../../" } else { "../" };
                links.push((place, Path::new(up).join(&dir)));
            }
            dirs.push(dir);
        }
        for (holder, number, package) in &self.nested {
            let name = name(*number);
            add(&format!("{}/node_modules/{name}", dirs[holder.index(dirs.len())]), &name, package);
        }
        files.insert("package.json".to_owned(), json!({"workspaces": ["apps/*", "packages/*"]}).to_string());
        files.insert("apps/web/dist/main.js".to_owned(), String::new());
        (files, links)
    }

    fn write(&self, reversed: bool) -> TestWorkspace {
        let (files, links) = self.files(reversed);
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let workspace = TestWorkspace::new(&files);
        links.into_iter().fold(workspace, |workspace, (path, target)| workspace.linked(&path, target))
    }
}

/// The text of a package.json, its keys written in the order of the alphabet or the other way round.
fn package_json(name: &str, package: &Package, reversed: bool) -> String {
    let mut fields: BTreeMap<&str, Vec<(String, Value)>> = BTreeMap::new();
    for (to, kind) in &package.edges {
        let to = self::name(*to);
        let field = match kind {
            Kind::Production => "dependencies",
            Kind::Optional => "optionalDependencies",
            Kind::Peer | Kind::OptionalPeer => "peerDependencies",
        };
        fields.entry(field).or_default().push((to.clone(), json!("^1.0.0")));
        if *kind == Kind::OptionalPeer {
            fields.entry("peerDependenciesMeta").or_default().push((to, json!({"optional": true})));
        }
    }
    let object = |mut fields: Vec<(String, String)>| {
        if reversed {
            fields.reverse();
        }
        let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("{}: {value}", json!(key))).collect();
        format!("{{{}}}", fields.join(", "))
    };
    let mut all =
        vec![("name".to_owned(), json!(name).to_string()), ("version".to_owned(), json!("1.0.0").to_string())];
    all.push(("main".to_owned(), json!("dist/main.js").to_string()));
    if package.for_windows {
        all.push(("os".to_owned(), json!(["win32"]).to_string()));
    }
    for (field, entries) in fields {
        let entries = entries.into_iter().map(|(key, value)| (key, value.to_string())).collect();
        all.push((field.to_owned(), object(entries)));
    }
    object(all)
}

/// The closure of the service, computed by pirogue.
fn closure(workspace: &TestWorkspace) -> DependencyClosure {
    closure_without(workspace, None)
}

/// The same as if nothing led to one directory.
fn closure_without(workspace: &TestWorkspace, removed: Option<&WorkspacePath>) -> DependencyClosure {
    let workspace = Workspace::discover(&HostPath::new(workspace.root())).unwrap();
    let (services, others) = workspace.services(|_| None, Some(&[WorkspacePath::new("apps/web").unwrap()])).unwrap();
    let service = services.iter().find(|service| service.name == "web").unwrap_or_else(|| panic!("{others:?}"));
    let member = workspace.member_at(&service.dir).unwrap();
    let dir = workspace.on_host(&service.dir);
    let shipped = ShippedFiles::of_service(member, &dir, &service.entry_point.file, &[], &[]).unwrap();
    let index = StatIndex::decode(&workspace.root, None, 0);
    let installed = InstalledPackages::new(&workspace, &index);
    let platform = platform();
    let production = ProductionTree::of(&installed, &platform).unwrap();
    let Some(removed) = removed else {
        return DependencyClosure::with_edges(service, &shipped, &installed, &production, &platform, false).unwrap();
    };
    let packages = Without { installed, removed };
    DependencyClosure::of(service, &shipped, &packages, &production, &platform, false).unwrap()
}

/// Installed packages of which nobody finds one.
struct Without<'a> {
    installed: InstalledPackages<'a>,
    removed: &'a WorkspacePath,
}

impl Packages for Without<'_> {
    fn workspace(&self) -> &Workspace {
        self.installed.workspace()
    }

    fn index(&self) -> &StatIndex {
        self.installed.index()
    }

    fn resolve(&self, name: &str, dir: &WorkspacePath, from: &str) -> Result<Option<ResolvedPackage>, ClosureError> {
        Ok(self.installed.resolve(name, dir, from)?.filter(|found| found.dir != *self.removed))
    }

    fn package_json(&self, dir: &WorkspacePath) -> Result<Arc<PackageJson>, ClosureError> {
        self.installed.package_json(dir)
    }

    fn edges(&self, dir: &WorkspacePath) -> Result<Vec<ProductionEdge>, ClosureError> {
        let mut edges = self.installed.edges(dir)?;
        let is_removed = |found: Option<ResolvedPackage>| found.is_some_and(|found| found.dir == *self.removed);
        edges.retain(|edge| !is_removed(self.installed.resolve(&edge.name, dir, "").unwrap()));
        Ok(edges)
    }

    fn unresolved(&self, from: &str, name: &str, wanted: &str) -> ClosureError {
        self.installed.unresolved(from, name, wanted)
    }
}

fn platform() -> NodePlatform {
    NodePlatform::new(&"linux/amd64".parse().unwrap(), None)
}

/// The directories of a closure's packages and members.
fn directories(closure: &DependencyClosure) -> BTreeSet<PathBuf> {
    closure.packages.keys().chain(closure.members.keys()).map(|dir| dir.as_path().to_owned()).collect()
}

/// Node, told again in a few lines: who needs what, and where it lies.
struct Node {
    root: PathBuf,
}

impl Node {
    /// What the package in `dir` needs in production, by the directory in which each really lies. An optional peer counts
    /// if `taken` says so.
    fn needs(&self, dir: &Path, taken: &dyn Fn(&Path) -> bool) -> BTreeSet<PathBuf> {
        let package_json = self.package_json(dir);
        let field = |name: &str| package_json.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let optional_peers = field("peerDependenciesMeta");
        let mut needs = BTreeSet::new();
        for name in field("dependencies").keys() {
            let found = self.resolve(name, dir);
            needs.insert(found.unwrap_or_else(|| panic!("`{name}` is not installed for {}", dir.display())));
        }
        for found in field("optionalDependencies").keys().filter_map(|name| self.resolve(name, dir)) {
            if self.package_json(&found).get("os").is_none() {
                needs.insert(found);
            }
        }
        for name in field("peerDependencies").keys() {
            let found = self.resolve(name, dir);
            needs.extend(found.filter(|found| !optional_peers.contains_key(name) || taken(found)));
        }
        needs
    }

    /// Whatever can be reached from `from`.
    fn reached(&self, from: &[&str], taken: &dyn Fn(&Path) -> bool) -> BTreeSet<PathBuf> {
        let mut reached = BTreeSet::new();
        let mut left: Vec<PathBuf> = from.iter().map(PathBuf::from).collect();
        while let Some(dir) = left.pop() {
            left.extend(self.needs(&dir, taken).into_iter().filter(|dir| reached.insert(dir.clone())));
        }
        reached
    }

    fn resolve(&self, name: &str, from: &Path) -> Option<PathBuf> {
        let dirs = from.ancestors().filter(|dir| !dir.ends_with("node_modules"));
        let found = dirs.map(|dir| self.root.join(dir).join("node_modules").join(name)).find(|place| place.is_dir())?;
        Some(found.canonicalize().unwrap().strip_prefix(&self.root).unwrap().to_owned())
    }

    fn package_json(&self, dir: &Path) -> Map<String, Value> {
        serde_json::from_slice(&fs::read(self.root.join(dir).join("package.json")).unwrap()).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever something in the image needs is in the image, and nothing else is.
    #[test]
    fn closures_are_closed_and_minimal(layout in layout()) {
        let workspace = layout.write(false);
        let closure = closure(&workspace);
        let dirs = directories(&closure);
        let node = Node { root: workspace.root() };
        let production = node.reached(&["", "apps/web", "packages/lib"], &|_| false);
        let taken = |dir: &Path| production.contains(dir);

        let service = PathBuf::from("apps/web");
        for dir in dirs.iter().chain([&service]) {
            for needed in node.needs(dir, &taken) {
                prop_assert!(
                    dirs.contains(&needed) || needed == service,
                    "`{}` needs `{}`, which is not in {dirs:#?}", dir.display(), needed.display()
                );
            }
        }
        let mut reached = node.reached(&["apps/web"], &taken);
        reached.remove(&service);
        prop_assert_eq!(dirs, reached);

        for (place, target) in &closure.links {
            let real = workspace.root().join(place.as_path()).canonicalize().unwrap();
            prop_assert_eq!(real, workspace.root().join(target.as_path()), "links lead where Node follows them");
        }
    }

    /// What would leave with a package is what the closure lacks if nothing leads to that package, code that imports what
    /// nothing declares counted too; and every chain leads from the service to it, edge by edge.
    #[test]
    fn what_leaves_with_a_package_is_what_only_it_brings(
        layout in layout(),
        of_service in prop::collection::vec(0..HOISTED, 0..3),
        of_lib in prop::collection::vec(0..HOISTED, 0..3),
    ) {
        let code = |imports: &[usize]| -> String {
            imports.iter().map(|number| format!("require('{}');\n", name(*number))).collect()
        };
        let (of_service, of_lib) = (code(&of_service), code(&of_lib));
        let workspace = layout.write(false);
        let workspace =
            workspace.and(&[("apps/web/dist/main.js", &of_service), ("packages/lib/dist/main.js", &of_lib)]);
        let whole = closure(&workspace);
        let edges = whole.edges.as_ref().unwrap();
        let service = WorkspacePath::new("apps/web").unwrap();
        for dir in whole.packages.keys().chain(whole.members.keys()) {
            let rest = directories(&closure_without(&workspace, Some(dir)));
            let leaves: BTreeSet<PathBuf> = directories(&whole).difference(&rest).cloned().collect();
            let told = edges.only_through(&BTreeSet::from([dir.clone()]));
            prop_assert_eq!(leaves, told.iter().map(|dir| dir.as_path().to_owned()).collect::<BTreeSet<_>>());
            let chains = edges.chains_to(dir);
            prop_assert!(!chains.is_empty());
            prop_assert!(chains.is_sorted_by_key(Vec::len));
            for chain in chains {
                prop_assert_eq!(&chain[0].from, &service);
                prop_assert!(chain.windows(2).all(|links| links[0].to == links[1].from));
                prop_assert_eq!(chain.iter().position(|link| link.to == *dir), Some(chain.len() - 1));
            }
        }
    }

    /// What is installed for development changes nothing, even where it satisfies an optional peer.
    #[test]
    fn development_dependencies_change_nothing(
        layout in layout(),
        tool in package(),
        helper in package(),
        in_the_service in any::<bool>(),
    ) {
        let workspace = layout.write(false);
        let before = closure(&workspace);
        // The tool may need whatever is there already; optional edges would bring nothing new.
        let tool = package_json("tool", &tool, false);
        let ghost = package_json("ghost", &helper, false);
        let declarer = if in_the_service { "apps/web/package.json" } else { "package.json" };
        let declared = fs::read_to_string(workspace.root().join(declarer)).unwrap();
        let mut declared: Map<String, Value> = serde_json::from_str(&declared).unwrap();
        declared.insert("devDependencies".to_owned(), json!({"tool": "^1.0.0", "ghost": "^1.0.0"}));
        let declared = Value::Object(declared).to_string();
        let workspace = workspace.and(&[
            (declarer, &declared),
            ("node_modules/tool/package.json", &tool),
            ("node_modules/tool/node_modules/inner/package.json", r#"{"name": "inner"}"#),
            ("node_modules/ghost/package.json", &ghost),
        ]);
        let after = closure(&workspace);
        prop_assert_eq!(directories(&after), directories(&before));
        prop_assert_eq!(after.links, before.links);
        prop_assert_eq!(after.members, before.members);
        prop_assert_eq!(after.warnings, before.warnings);
    }

    /// Objects have no order: the same keys the other way round give the same closure, reasons included.
    #[test]
    fn the_order_of_keys_does_not_matter(layout in layout()) {
        let told = |reversed| {
            let closure = closure(&layout.write(reversed));
            format!("{closure:#?}")
        };
        prop_assert_eq!(told(false), told(true));
    }
}
