//! What a running service needs is missed by the checks once it is gone: every file that the services of the sample open in
//! their images, until they have answered.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::build::Build;
use harness::container::free_port;
use harness::image_files::FileKind;
use harness::layout::{self, Image};
use harness::{program, sample, scratch};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

/// Services of the sample: a large one, one of which a part lies in another directory than the compiler's, and one that
/// shares packages of the workspace.
const SERVICES: [&str; 3] = ["api-gateway", "gestion_commerciale_service", "customer-service"];

/// So many files of each service are taken away, one after the other: as many of each kind as there are of all.
const TRIED: usize = 120;

/// A machine that does much else may be slow.
const PATIENCE: Duration = Duration::from_secs(180);

/// An image on this machine as far as its service needs it, and how that is started: by the image's own node.
struct Unpacked {
    app: PathBuf,
    node: Vec<String>,
    working_dir: PathBuf,
    command: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Unpacked {
    fn new(image: &Image, dir: PathBuf) -> Self {
        let parts = ["app/", "lib/", "usr/lib/", "usr/local/bin/node"];
        for (path, file) in image.files.iter().filter(|(path, _)| parts.iter().any(|part| path.starts_with(part))) {
            let place = dir.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            match &file.kind {
                FileKind::Directory => fs::create_dir_all(place).unwrap(),
                FileKind::File(bytes) => fs::write(place, bytes).unwrap(),
                FileKind::Symlink(target) => symlink(target, place).unwrap(),
            }
        }
        // The loader of its C library runs it, so that it need not lie at the root of this machine.
        let loader = image.files.range("lib/ld-musl-").next().expect("the base is of Alpine").0;
        let inside = |path: &str| dir.join(path).display().to_string();
        let libraries = format!("{}:{}", inside("lib"), inside("usr/lib"));
        let node = [inside(loader), "--library-path".to_owned(), libraries, inside("usr/local/bin/node")];
        node.iter().step_by(3).for_each(|program| {
            fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
        });
        let config = &image.config["config"];
        let texts = |key: &str| {
            let texts = config[key].as_array().into_iter().flatten();
            texts.map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let variable = |pair: &String| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let command = texts("Cmd");
        assert_eq!(command[0], "node", "{command:?}");
        let own = ["NODE_ENV"];
        Self {
            app: dir.join("app"),
            node: node.into(),
            working_dir: dir.join(config["WorkingDir"].as_str().unwrap().trim_start_matches('/')),
            command: command[1..].to_vec(),
            environment: texts("Env")
                .iter()
                .filter_map(variable)
                .filter(|(name, _)| own.contains(&&name[..]))
                .collect(),
        }
    }

    /// Starts the service, through a program that runs others if one is given, and asks for its health. Gives whether it
    /// answers.
    fn serves(&self, through: &[&str]) -> bool {
        let port = free_port();
        let own = self.node.iter().chain(&self.command).map(String::as_str);
        let words: Vec<&str> = through.iter().copied().chain(own).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(&self.working_dir).envs(self.environment.iter().cloned());
        command.env("PORT", port.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own, for strace does not hand signals on.
        let mut child = command.process_group(0).spawn().expect("the program starts");
        let is_healthy = is_healthy(port, &mut child);
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process has a number");
        let _ = kill_process_group(group, Signal::TERM); // or it has ended
        child.wait().unwrap();
        is_healthy
    }

    /// The files below `/app` that the service opens until it has answered, by their paths there, without links.
    fn opened(&self) -> BTreeSet<PathBuf> {
        let log = self.app.join("../opened.strace");
        let strace = ["strace", "-f", "-qq", "-e", "trace=open,openat", "-o", log.to_str().unwrap()];
        assert!(self.serves(&strace), "{} does not start", self.working_dir.display());
        let text = fs::read_to_string(log).unwrap();
        let opened = text.lines().filter(|line| !line.contains(" = -1 ")).filter_map(|line| line.split('"').nth(1));
        let files = opened.map(Path::new).filter(|path| path.starts_with(&self.app) && path.is_file());
        files.map(|path| path.canonicalize().unwrap().strip_prefix(&self.app).unwrap().to_owned()).collect()
    }
}

/// Whether what listens on a port says that it is well; `false` if the process ends first.
fn is_healthy(port: u16, child: &mut Child) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let mut answer = String::new();
            let asked = stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            return asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok()
                && answer.starts_with("HTTP/1.1 200 ");
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the service neither listens nor ends");
}

/// The kinds of files: those that name packages, those that say how files beside them are read, and the rest by their ends.
fn kind(path: &Path) -> String {
    let end = path.extension().unwrap_or_default().to_string_lossy();
    match path.ends_with("package.json") {
        true if path.parent().is_some_and(is_package) => "a package's package.json".to_owned(),
        true => "another package.json".to_owned(),
        false if path.starts_with("node_modules") => format!("{end} of packages"),
        false => format!("{end} of the workspace"),
    }
}

/// Whether a directory is that of an installed package.
fn is_package(dir: &Path) -> bool {
    let names: Vec<_> = dir.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    match &names[..] {
        [.., above, _] if above == "node_modules" => true,
        [.., above, scope, _] => above == "node_modules" && scope.starts_with('@'),
        _ => false,
    }
}

/// Some of each kind, from all over, the same in every run.
fn chosen(files: &BTreeSet<PathBuf>, offset: usize) -> Vec<&PathBuf> {
    let mut kinds: BTreeMap<String, Vec<&PathBuf>> = BTreeMap::new();
    for file in files {
        kinds.entry(kind(file)).or_default().push(file);
    }
    let of_each = TRIED.div_ceil(kinds.len());
    let mut chosen = Vec::new();
    for files in kinds.into_values() {
        let step = files.len().div_ceil(of_each);
        chosen.extend(files.into_iter().skip(offset % step).step_by(step));
    }
    chosen
}

/// What is found of a service, by severity; `None` where it cannot even be planned.
fn found(workspace: &Path, base: &str, cache: &Path, service: &str) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pirogue"));
    command.args(["check", "--json", "--base", base, "--platform", "linux/amd64", service, "-C"]);
    let output = command.arg(workspace).env("PIROGUE_CACHE_DIR", cache).output().expect("pirogue starts");
    let report: Value = serde_json::from_slice(&output.stdout).ok()?;
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for finding in report["services"][0]["findings"].as_array().expect("a list") {
        let severity = finding["severity"].as_str().expect("a text").to_owned();
        found.entry(severity).or_default().insert(finding["message"].to_string());
    }
    Some(found)
}

/// What became of taking files away.
#[derive(Default)]
struct Recall {
    missed: usize,
    /// How many are missed by code that is loaded at some time.
    warned: usize,
    /// What is told in a note, since the code that asks for it may not run.
    noted: Vec<String>,
    /// What nothing is told of, and the service serves without.
    needless: Vec<String>,
    unseen: Vec<String>,
}

/// Takes files away that a service opens, one at a time.
fn recall(service: &str, number: usize, image: &Image, workspace: &Path, base: &str) -> Recall {
    let dir = scratch::folder().join(service);
    let unpacked = Unpacked::new(image, dir.join("image"));
    let (copy, cache) = (dir.join("workspace"), dir.join("cache"));
    // By links, so that files can be taken out of the copy.
    program::run(Command::new("cp").args(["-al"]).arg(workspace).arg(&copy));
    let whole = found(&copy, base, &cache, service).expect("the service can be planned");
    assert!(!whole.contains_key("error"), "{whole:#?}");
    let opened = unpacked.opened();
    assert!(opened.len() > 500, "{service} opens {} files", opened.len());
    let mut recall = Recall::default();
    for file in chosen(&opened, number * 7) {
        let without = aside(&copy.join(file), || found(&copy, base, &cache, service));
        let told = format!("{service}: {}", file.display());
        match without {
            None => recall.missed += 1,
            Some(found) if found.contains_key("error") => recall.missed += 1,
            Some(found) if found.get("warning") != whole.get("warning") => recall.warned += 1,
            Some(_) if aside(&unpacked.app.join(file), || unpacked.serves(&[])) => recall.needless.push(told),
            Some(found) if found.get("note") != whole.get("note") => recall.noted.push(told),
            Some(_) => recall.unseen.push(told),
        }
    }
    recall
}

/// Does something while a file is not at its place.
fn aside<T>(file: &Path, work: impl FnOnce() -> T) -> T {
    let place = scratch::folder().join(format!("aside-{:?}", thread::current().id()));
    fs::rename(file, &place).unwrap();
    let result = work();
    fs::rename(place, file).unwrap();
    result
}

#[test]
fn what_a_running_service_opens_is_missed() {
    if !program::are_installed(&["node", "strace"]) {
        return;
    }
    let Some((workspace, base)) = sample::workspace().zip(sample::runnable_base()) else { return };
    let layout = scratch::folder().join("images");
    let build = Build::of(&workspace, &scratch::folder().join("cache")).base(&base);
    let build = build.with("--platform", "linux/amd64").with("--compression", "none");
    build.services(&SERVICES).into_layout(&layout).run();
    let images = layout::validate(&layout);
    let recalls: Vec<Recall> = thread::scope(|scope| {
        let services = SERVICES.into_iter().enumerate();
        let threads = services.map(|(number, service)| {
            let (image, workspace, base) = (&images[service], &workspace, &base);
            scope.spawn(move || recall(service, number, image, workspace, base))
        });
        threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all = |list: fn(&Recall) -> &Vec<String>| recalls.iter().flat_map(list).cloned().collect::<Vec<_>>();
    let (noted, needless, unseen) = (all(|it| &it.noted), all(|it| &it.needless), all(|it| &it.unseen));
    let (missed, warned) = recalls.iter().fold((0, 0), |sum, it| (sum.0 + it.missed, sum.1 + it.warned));
    eprintln!("{missed} are errors, {warned} warnings, {} needless: {needless:#?}", needless.len());
    assert_eq!((noted, unseen), (Vec::new(), Vec::new()));
    assert!(missed > 2 * (needless.len() + warned), "{missed} errors, {warned} warnings; needless: {needless:#?}");
}
