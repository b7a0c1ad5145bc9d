//! Closures of placed packages: of generated workspaces, written in several formats, and of the fixtures, whose lockfiles the
//! package managers wrote.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use harness::placed::Placed;
use pirogue::closure::{NodePlatform, Reason};
use pirogue::path::HostPath;
use pirogue::workspace::lockfiles::{DependencyKind, Lockfile, Manifests, Patch, Target};
use pirogue::workspace::{Member, PackageJson, PackageManager, Workspace, WorkspacePath};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const SERVICE: &str = "apps/service";

fn platform() -> NodePlatform {
    NodePlatform { os: "linux".into(), cpu: "x64".into(), libc: Some("musl".into()) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Production,
    Development,
    Optional,
    Peer,
}

impl Kind {
    fn field(self) -> &'static str {
        match self {
            Self::Production => "dependencies",
            Self::Development => "devDependencies",
            Self::Optional => "optionalDependencies",
            Self::Peer => "peerDependencies",
        }
    }
}

/// A workspace with one service: packages by number, their edges, and whether they are for Windows only.
#[derive(Clone, Debug)]
struct Graph {
    packages: Vec<(BTreeMap<usize, Kind>, bool)>,
    service: BTreeMap<usize, Kind>,
}

fn graph() -> impl Strategy<Value = Graph> {
    let kind = |development: u32| {
        prop_oneof![
            4 => Just(Kind::Production),
            2 => Just(Kind::Optional),
            1 => Just(Kind::Peer),
            development => Just(Kind::Development),
        ]
    };
    (2..12_usize).prop_flat_map(move |count| {
        let package = (prop::collection::btree_map(0..count, kind(0), 0..4), prop::bool::weighted(0.2));
        let service = prop::collection::btree_map(0..count, kind(2), 0..4);
        (prop::collection::vec(package, count), service).prop_map(|(packages, mut service)| {
            // A service has nobody to provide its peers.
            service.values_mut().filter(|kind| **kind == Kind::Peer).for_each(|kind| *kind = Kind::Production);
            Graph { packages, service }
        })
    })
}

fn fields(edges: &BTreeMap<usize, Kind>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (to, kind) in edges {
        fields.entry(kind.field()).or_insert_with(|| json!({}))[format!("p{to}")] = json!("1.0.0");
    }
    fields
}

impl Graph {
    fn manifests(&self) -> Manifests {
        let text = Value::Object(fields(&self.service)).to_string();
        let package_json = PackageJson::parse(text.as_bytes()).unwrap();
        Manifests::new(b"{}", &[Member { dir: WorkspacePath::new(SERVICE).unwrap(), package_json }])
    }

    fn npm(&self) -> String {
        let mut packages = Map::new();
        packages.insert(SERVICE.to_owned(), Value::Object(fields(&self.service)));
        for (number, (edges, windows)) in self.packages.iter().enumerate() {
            let mut entry = fields(edges);
            entry.insert("version".into(), json!("1.0.0"));
            if *windows {
                entry.insert("os".into(), json!(["win32"]));
            }
            packages.insert(format!("node_modules/p{number}"), Value::Object(entry));
        }
        json!({"lockfileVersion": 3, "packages": packages}).to_string()
    }

    fn bun(&self) -> String {
        let mut packages = Map::new();
        for (number, (edges, windows)) in self.packages.iter().enumerate() {
            let mut entry = fields(edges);
            if *windows {
                entry.insert("os".into(), json!("win32"));
            }
            packages.insert(format!("p{number}"), json!([format!("p{number}@1.0.0"), "", entry, ""]));
        }
        json!({"lockfileVersion": 1, "workspaces": {SERVICE: fields(&self.service)}, "packages": packages}).to_string()
    }

    fn pnpm(&self) -> String {
        let mut text = format!("lockfileVersion: '9.0'\nimporters:\n  {SERVICE}:\n");
        for kind in [Kind::Production, Kind::Development, Kind::Optional] {
            let edges = self.service.iter().filter(|(_, it)| **it == kind).map(|(to, _)| to);
            for (at, to) in edges.enumerate() {
                if at == 0 {
                    writeln!(text, "    {}:", kind.field()).unwrap();
                }
                writeln!(text, "      p{to}:\n        specifier: 1.0.0\n        version: 1.0.0").unwrap();
            }
        }
        text.push_str("    dependenciesMeta: {}\npackages:\n");
        for (number, (edges, windows)) in self.packages.iter().enumerate() {
            let os = if *windows { "    os: [win32]\n" } else { "" };
            let peers: BTreeMap<_, _> = edges.iter().filter(|(_, kind)| **kind == Kind::Peer).collect();
            let peers: Map<_, _> = peers.keys().map(|to| (format!("p{to}"), json!("1.0.0"))).collect();
            writeln!(text, "  p{number}@1.0.0:\n{os}    peerDependencies: {}", Value::Object(peers)).unwrap();
        }
        text.push_str("snapshots:\n");
        for (number, (edges, _)) in self.packages.iter().enumerate() {
            let of = |wanted: &[Kind]| -> Value {
                let edges = edges.iter().filter(|(_, kind)| wanted.contains(kind));
                Value::Object(edges.map(|(to, _)| (format!("p{to}"), json!("1.0.0"))).collect())
            };
            let (dependencies, optional) = (of(&[Kind::Production, Kind::Peer]), of(&[Kind::Optional]));
            writeln!(text, "  p{number}@1.0.0:\n    dependencies: {dependencies}").unwrap();
            writeln!(text, "    optionalDependencies: {optional}").unwrap();
        }
        text
    }

    fn lockfiles(&self) -> Vec<Lockfile> {
        let texts =
            [(PackageManager::Npm, self.npm()), (PackageManager::Bun, self.bun()), (PackageManager::Pnpm, self.pnpm())];
        let parse = |(manager, text): (_, String)| Lockfile::parse(manager, text.as_bytes(), &self.manifests());
        texts.into_iter().map(|it| parse(it.clone()).unwrap_or_else(|error| panic!("{error}: {}", it.1))).collect()
    }

    /// What the service needs, found without a queue: again and again over all edges, until nothing is added.
    fn expected(&self) -> BTreeSet<String> {
        let takes = |to: &usize, kind: &Kind| match kind {
            Kind::Production | Kind::Peer => true,
            Kind::Optional => !self.packages[*to].1,
            Kind::Development => false,
        };
        let taken = |edges: &BTreeMap<usize, Kind>| -> BTreeSet<usize> {
            edges.iter().filter(|(to, kind)| takes(to, kind)).map(|(to, _)| *to).collect()
        };
        let mut found = taken(&self.service);
        loop {
            let more: BTreeSet<usize> = found.iter().flat_map(|number| taken(&self.packages[*number].0)).collect();
            if more.is_subset(&found) {
                return found.into_iter().map(|number| format!("p{number}@1.0.0")).collect();
            }
            found.extend(more);
        }
    }
}

fn placed(lockfile: Lockfile) -> Placed {
    Placed::new(lockfile, &platform())
}

proptest! {
    #[test]
    fn closures_are_closed_and_the_same_in_every_format(graph in graph()) {
        for placed in graph.lockfiles().into_iter().map(placed) {
            let (lockfile, closure) = (&placed.lockfile, placed.closure(SERVICE));
            let ids = placed.ids(&closure);
            prop_assert_eq!(placed.labels(&ids), graph.expected(), "{:?}", lockfile.manager);
            for id in &ids {
                for edge in lockfile.packages[id].dependencies.values() {
                    let Target::Package(target) = &edge.target else { continue };
                    let taken = ids.contains(target);
                    prop_assert!(taken || edge.kind == DependencyKind::Optional, "{} needs {}", id, target);
                }
            }
            let known = placed.labels(&ids);
            for package in closure.packages.values() {
                let Reason::Dependency { from, .. } = &package.reason else { panic!("nothing looks at code here") };
                prop_assert!(from == "(no name)" || known.contains(from), "{}", from);
            }
        }
    }

    #[test]
    fn a_development_dependency_changes_no_closure(graph in graph(), to in 0..12_usize, edges in prop::collection::btree_set(0..12_usize, 0..3)) {
        let count = graph.packages.len();
        let mut with = graph.clone();
        // A package that only development needs, and one that the service may need otherwise too.
        let edges = edges.into_iter().map(|to| (to % count, Kind::Production)).collect();
        with.packages.push((edges, false));
        with.service.insert(count, Kind::Development);
        with.service.entry(to % count).or_insert(Kind::Development);
        for (before, after) in graph.lockfiles().into_iter().zip(with.lockfiles()) {
            let (before, after) = (placed(before), placed(after));
            prop_assert_eq!(before.ids(&before.closure(SERVICE)), after.ids(&after.closure(SERVICE)));
        }
    }
}

fn fixture(name: &str) -> Lockfile {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lockfiles").join(name);
    Lockfile::read(&Workspace::discover(&HostPath::new(root)).unwrap())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

const FIXTURES: [&str; 7] = ["npm", "pnpm-6", "pnpm-9", "pnpm-12", "yarn-classic", "yarn-berry", "bun"];

#[test]
fn fixtures_have_what_they_were_made_for() {
    for name in FIXTURES {
        let placed = placed(fixture(name));
        let (lockfile, api) = (&placed.lockfile, placed.closure("apps/api"));
        let found = placed.labels_of(&api);
        // An alias, what it stands beside, an override, a member's own dependency.
        for label in ["lodash@3.10.1", "lodash@4.18.1", "debug@2.6.8", "ms@2.1.3", "string-width@4.2.3"] {
            assert!(found.contains(label), "{name}: {label}: {found:?}");
        }
        assert!(!found.iter().any(|label| label.starts_with("typescript@") || label.starts_with("@types/")), "{name}");
        assert!(!found.contains("debug@2.6.9"), "{name}");
        assert!(lockfile.packages.values().any(|package| package.label() == "react@17.0.2"), "{name}");
        let members: Vec<String> = api.members.keys().map(|dir| dir.to_string()).collect();
        assert_eq!(members, ["packages/shared"], "{name}");
        assert!(placed.labels_of(&placed.closure("apps/web")).contains("react@17.0.2"), "{name}");
    }
}

#[test]
fn packages_for_other_platforms_are_left_out_where_the_lockfile_says_what_they_are_for() {
    for name in FIXTURES {
        let placed = placed(fixture(name));
        let (lockfile, api) = (&placed.lockfile, placed.closure("apps/api"));
        let (ids, undecided) = (placed.ids(&api), placed.undecided(&api).len());
        let variants = ids.iter().filter(|id| lockfile.packages[*id].name.starts_with("@esbuild/"));
        let variants: Vec<&str> = variants.map(|id| lockfile.packages[id].name.as_str()).collect();
        match name {
            "yarn-classic" => {
                assert!(variants.len() > 20 && undecided > variants.len(), "{name}: {variants:?}")
            }
            _ => assert_eq!((variants, undecided), (vec!["@esbuild/linux-x64"], 0), "{name}"),
        }
    }
}

#[test]
fn fixtures_with_patches_and_bundled_packages() {
    for (name, patches) in [("yarn-berry", "is-odd"), ("pnpm-6", "is-odd"), ("pnpm-9", "is-odd"), ("pnpm-12", "is-odd")]
    {
        let placed = placed(fixture(name));
        let ids = placed.ids(&placed.closure("apps/api"));
        let patched = ids.iter().map(|id| &placed.lockfile.packages[id]).find(|package| package.name == patches);
        let patches = &patched.unwrap_or_else(|| panic!("{name}: no {patches}")).patches;
        let is_file = matches!(&patches[..], [Patch::File(file)] if file.name() == "is-odd.patch");
        assert!(is_file, "{name}: {patches:?}");
    }
    let npm = fixture("npm");
    assert!(npm.packages.values().any(|package| package.bundled));
    assert!(npm.packages.values().filter(|package| !package.bundled).all(|package| package.checksum.is_some()));
}
