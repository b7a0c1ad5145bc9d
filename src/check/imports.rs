//! Whether everything that code asks for is in the image, for all code that can be reached from the entry point.

mod cause;
mod findings;
mod listed;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;

use super::launch::Launch;
use super::resolver::{Missing, Resolved, Resolver};
use super::{CheckError, Subject};
use crate::javascript::{self, Module, Request, RequestKind, When};

/// A file of the image that code can reach.
#[derive(Debug)]
pub(super) struct Reached {
    /// Its real path.
    pub path: PathBuf,
    /// What it says; `None` for what is no code.
    pub module: Option<Arc<Module>>,
    /// Whether it is of the service or of another package that is developed in the workspace.
    pub is_ours: bool,
    /// Whether it is reached as soon as the service starts.
    pub when: When,
    /// Whether it is reached as soon as somebody loads what lies in a directory that the service's code names.
    pub is_listed: bool,
    /// Where each of its requests leads, in their order.
    targets: Vec<Target>,
    /// Why it was not read.
    unread: Option<String>,
}

/// Where a request leads.
#[derive(Clone, Debug)]
enum Target {
    /// The file at this position of the graph.
    File(usize),
    Builtin,
    Missing(Missing),
}

/// All files that code can reach from the entry point.
pub(super) struct Graph {
    files: Vec<Reached>,
}

/// A file that was read, with where its requests lead.
type Read = (Option<Arc<Module>>, Option<String>, Vec<Resolved>);

/// Follows all requests from what node is started with.
pub(super) fn reach(subject: &Subject<'_>) -> Result<Graph, CheckError> {
    let mut walk = Walk::new(subject);
    let starts = walk.starts();
    walk.follow(starts.clone())?;
    let listed = listed::follow(&mut walk)?;
    Ok(walk.finish(&starts, &listed))
}

/// The way through all files that can be reached from some.
pub(super) struct Walk<'a> {
    subject: &'a Subject<'a>,
    /// Where specifiers lead.
    pub resolver: Resolver,
    graph: Graph,
    /// Where each file is in the graph, by its real path; as text, since every real path of a file is the same text.
    positions: HashMap<OsString, usize>,
}

impl<'a> Walk<'a> {
    /// Before its first step.
    pub fn new(subject: &'a Subject<'a>) -> Self {
        let resolver = Resolver::new(subject.files, subject.node_is_at_least(10));
        Self { subject, resolver, graph: Graph { files: Vec::new() }, positions: HashMap::new() }
    }

    /// The files that node is started with.
    pub fn starts(&self) -> Vec<PathBuf> {
        starts(self.subject, &self.resolver)
    }

    /// Whether a file was met, given by its real path.
    pub fn has(&self, path: &Path) -> bool {
        self.positions.contains_key(path.as_os_str())
    }

    /// How many files were met.
    pub fn len(&self) -> usize {
        self.graph.files.len()
    }

    /// The files that were met after so many others.
    pub fn after(&self, others: usize) -> &[Reached] {
        self.graph.files.get(others..).unwrap_or_default()
    }

    /// Goes on from these files, given by their real paths.
    pub fn follow(&mut self, mut next: Vec<PathBuf>) -> Result<(), CheckError> {
        next.retain(|path| !self.has(path));
        next.sort();
        next.dedup();
        while !next.is_empty() {
            for path in &next {
                self.positions.insert(path.clone().into_os_string(), self.graph.files.len());
                let is_ours = self.subject.is_ours(path);
                self.graph.files.push(Reached {
                    path: path.clone(),
                    module: None,
                    is_ours,
                    when: When::Later,
                    is_listed: false,
                    targets: Vec::new(),
                    unread: None,
                });
            }
            next = self.step(&next)?;
        }
        Ok(())
    }

    /// Reads these files, the last of the graph, and gives those that they lead to and that were not met before.
    fn step(&mut self, files: &[PathBuf]) -> Result<Vec<PathBuf>, CheckError> {
        let Self { subject, resolver, graph, positions } = self;
        let reads = javascript::on_deep_stacks(files, |path| look_at(subject, resolver, path));
        let reads: Vec<Read> = reads.map_err(CheckError::Thread)?.into_iter().collect::<Result<_, _>>()?;
        let is_new = |path: &&PathBuf| !positions.contains_key(path.as_os_str());
        let targets = reads.iter().flat_map(|(.., targets)| targets);
        let mut after: Vec<PathBuf> = targets.filter_map(file_of).filter(is_new).cloned().collect();
        after.sort();
        after.dedup();
        let first_new = graph.files.len();
        let position = |path: &PathBuf| {
            let known = positions.get(path.as_os_str()).copied();
            known.or_else(|| after.binary_search(path).ok().map(|at| first_new + at))
        };
        let steps = graph.files.iter_mut().skip(first_new - files.len());
        for (reached, (module, unread, targets)) in steps.zip(reads) {
            let target = |resolved: Resolved| match resolved {
                Resolved::File(path) => position(&path).map_or(Target::Builtin, Target::File),
                Resolved::Builtin => Target::Builtin,
                Resolved::Missing(missing) => Target::Missing(missing),
            };
            reached.targets = targets.into_iter().map(target).collect();
            reached.module = module;
            reached.unread = unread;
        }
        Ok(after)
    }

    /// What was met, and when each file is reached by a program that begins with `starts` and may load what is
    /// `listed`.
    fn finish(mut self, starts: &[PathBuf], listed: &[PathBuf]) -> Graph {
        let at = |path: &PathBuf| self.positions.get(path.as_os_str()).copied();
        let (starts, listed) = (starts.iter().filter_map(at).collect(), listed.iter().filter_map(at).collect());
        self.graph.find_out_when(starts, listed);
        self.graph
    }
}

fn file_of(resolved: &Resolved) -> Option<&PathBuf> {
    match resolved {
        Resolved::File(path) => Some(path),
        _ => None,
    }
}

/// The files that node is started with.
fn starts(subject: &Subject<'_>, resolver: &Resolver) -> Vec<PathBuf> {
    let launch = Launch::of(subject);
    let working_dir = subject.run.working_dir.as_path();
    let inside = |specifier: &String, kind| resolver.resolve(&working_dir.join("_"), specifier, kind);
    let own =
        || Some(subject.root.as_path().join(subject.service.dir.as_path()).join(&subject.service.entry_point.file));
    let main = launch.main.clone().or_else(own);
    let mut starts: Vec<Resolved> = main.iter().map(|path| resolver.program(path)).collect();
    starts.extend(launch.required.iter().map(|specifier| inside(specifier, RequestKind::Require)));
    starts.extend(launch.imported.iter().map(|specifier| inside(specifier, RequestKind::Import)));
    starts.iter().filter_map(file_of).cloned().collect()
}

fn look_at(subject: &Subject<'_>, resolver: &Resolver, path: &Path) -> Result<Read, CheckError> {
    let module = match subject.modules.read(subject.files, path)? {
        None => return Ok((None, None, Vec::new())),
        Some(Err(why)) => return Ok((None, Some(why), Vec::new())),
        Some(Ok(module)) => module,
    };
    let resolve = |request: &Request| match request.kind {
        RequestKind::Program => match path.parent().map(|dir| dir.join(&request.specifier)) {
            Some(program) => resolver.program(&super::file_system::normal(&program).unwrap_or(program)),
            None => Resolved::Builtin,
        },
        // What a framework loads is found from where the framework lies.
        kind @ RequestKind::Framework => {
            let loader = javascript::loader_of(&request.specifier).map(|loader| resolver.resolve(path, loader, kind));
            let from = loader.as_ref().and_then(file_of).map_or(path, PathBuf::as_path);
            resolver.resolve(from, &request.specifier, kind)
        }
        kind => resolver.resolve(path, &request.specifier, kind),
    };
    let targets = module.requests.iter().map(resolve).collect();
    Ok((Some(module), None, targets))
}

impl Graph {
    /// How many files of code there are.
    pub fn len(&self) -> usize {
        self.files.iter().filter(|file| file.module.is_some()).count()
    }

    /// The files that can be reached, code or not.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The files of code with what they say.
    pub fn modules(&self) -> impl Iterator<Item = (&Reached, &Module)> {
        self.files.iter().filter_map(|file| Some((file, file.module.as_deref()?)))
    }

    /// Where modules are asked for whose names are computed, by package.
    pub fn computed(&self, subject: &Subject<'_>) -> BTreeMap<String, usize> {
        let mut computed = BTreeMap::new();
        for (file, module) in self.modules().filter(|(_, module)| !module.computed.is_empty()) {
            let package =
                subject.package_at(&file.path).map_or_else(|| file.path.display().to_string(), |it| it.label());
            *computed.entry(package).or_default() += module.computed.len();
        }
        computed
    }

    /// The files that were not read, with the reasons.
    pub fn unread(&self) -> BTreeMap<String, String> {
        let unread = self.files.iter().filter_map(|file| Some((file.path.display().to_string(), file.unread.clone()?)));
        unread.collect()
    }

    /// What a file asks for that is there, each with the file.
    pub fn targets<'g>(&'g self, file: &'g Reached) -> impl Iterator<Item = (&'g Request, &'g Reached)> {
        let requests = file.module.iter().flat_map(|module| &module.requests);
        requests.zip(&file.targets).filter_map(|(request, target)| match target {
            Target::File(at) => Some((request, self.files.get(*at)?)),
            _ => None,
        })
    }

    /// Every request that leads nowhere, with the file that has it and why.
    fn missing(&self) -> impl Iterator<Item = (&Reached, &Request, &Missing)> {
        self.modules().flat_map(|(file, module)| {
            module.requests.iter().zip(&file.targets).filter_map(move |(request, target)| match target {
                Target::Missing(missing) => Some((file, request, missing)),
                _ => None,
            })
        })
    }

    /// Walks from the start along what is certain, then along what depends on conditions; the rest is reached later,
    /// if at all, some of it as soon as what is listed is loaded.
    fn find_out_when(&mut self, starts: Vec<usize>, listed: Vec<usize>) {
        for at in self.reachable(starts, When::AtStart) {
            self.files[at].when = When::AtStart;
        }
        let started = (0..self.files.len()).filter(|at| self.files[*at].when == When::AtStart).collect();
        for at in self.reachable(started, When::Guarded) {
            self.files[at].when = self.files[at].when.min(When::Guarded);
        }
        for at in self.reachable(listed, When::AtStart) {
            self.files[at].is_listed = true;
        }
    }

    /// The positions of these files and of all that run with them, along requests no less certain than `level`.
    fn reachable(&self, mut open: Vec<usize>, level: When) -> Vec<usize> {
        let mut is_met = vec![false; self.files.len()];
        let mut met = Vec::new();
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut is_met[at], true) {
                continue;
            }
            met.push(at);
            let file = &self.files[at];
            let requests = file.module.iter().flat_map(|module| &module.requests).zip(&file.targets);
            open.extend(requests.filter_map(|(request, target)| match target {
                Target::File(target) if request.kind.runs() && request.when <= level => Some(*target),
                _ => None,
            }));
        }
        met
    }
}

impl RequestKind {
    /// Whether what is asked for runs in the same program.
    fn runs(self) -> bool {
        !matches!(self, Self::RequireResolve | Self::ImportResolve | Self::Program | Self::Parameter)
    }
}
