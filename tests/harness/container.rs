use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use super::program;

/// Seven containers are unpacked at once, maybe on one slow disk.
const PATIENCE: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_millis(50);

/// A service that runs in a container, listening on a port of this machine. It ends when dropped.
pub struct Container {
    child: Child,
    port: u16,
    said: NamedTempFile,
}

impl Container {
    /// Starts an image by a script of `tests/base` (`run-image` or `podman-run`): `image` is what the script takes.
    pub fn start(script: &str, image: &[&str]) -> Self {
        let port = free_port();
        let said = NamedTempFile::new().expect("a temporary file can be made");
        let output = || Stdio::from(said.as_file().try_clone().expect("a file handle can be copied"));
        let child = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/base").join(script))
            .args(image)
            .arg(format!("PORT={port}"))
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .spawn()
            .unwrap_or_else(|error| panic!("`{script}` does not start: {error}"));
        Self { child, port, said }
    }

    /// Runs an image to its end by a script of `tests/base`, and gives what it wrote to its standard output.
    pub fn run(script: &str, image: &[&str]) -> String {
        program::run(Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/base").join(script)).args(image))
    }

    /// The answer to `GET path`, its status and body, as soon as the service listens.
    pub fn get(&mut self, path: &str) -> (u16, String) {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// The same for `POST path` of a JSON document.
    pub fn post(&mut self, path: &str, json: &str) -> (u16, String) {
        let length = json.len();
        self.request(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        ))
    }

    fn request(&mut self, request: &str) -> (u16, String) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("a request can be sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer comes");
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status.unwrap_or_else(|| panic!("no answer of HTTP: {answer}")), body.to_owned())
    }

    fn connect(&mut self) -> TcpStream {
        let begin = Instant::now();
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                stream.set_read_timeout(Some(PATIENCE)).expect("a time limit can be set");
                return stream;
            }
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "the container ended ({ended:?}):\n{}", self.said());
            assert!(begin.elapsed() < PATIENCE, "the service does not listen:\n{}", self.said());
            thread::sleep(STEP);
        }
    }

    /// Waits for what the service will do by itself.
    pub fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(begin.elapsed() < PATIENCE, "{what}: not so\n{}", self.said());
            thread::sleep(STEP);
        }
    }

    /// What the service wrote to its output.
    pub fn said(&self) -> String {
        fs::read_to_string(self.said.path()).unwrap_or_default()
    }

    /// The process of the service: node, with the port in its environment.
    pub fn process(&self) -> Process {
        let wanted = format!("PORT={}", self.port);
        let processes = fs::read_dir("/proc").expect("/proc can be listed").flatten().map(|entry| entry.path());
        let mut found = processes.filter(|process| {
            let list = |name: &str| fs::read(process.join(name)).unwrap_or_default();
            let first = list("cmdline").split(|&byte| byte == 0).next().is_some_and(|name| name.ends_with(b"node"));
            first && list("environ").split(|&byte| byte == 0).any(|pair| pair == wanted.as_bytes())
        });
        Process(found.next().unwrap_or_else(|| panic!("no process of node has {wanted}")))
    }
}

impl Drop for Container {
    /// The scripts clean up when they are told to end.
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = id.map(|id| kill_process(id, Signal::TERM));
        let _ = self.child.wait();
    }
}

/// A process, by its directory in `/proc`.
pub struct Process(PathBuf);

impl Process {
    /// The user and the group it runs as, by the numbers they have inside its container.
    pub fn ids(&self) -> (u32, u32) {
        (self.id("Uid:", "uid_map"), self.id("Gid:", "gid_map"))
    }

    fn id(&self, field: &str, map: &str) -> u32 {
        let status = fs::read_to_string(self.0.join("status")).expect("a process can be looked at");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a status has users");
        let ids: BTreeSet<u32> = line.split_whitespace().map(|id| id.parse().expect("an ID is a number")).collect();
        assert_eq!(ids.len(), 1, "real, effective, saved: {ids:?}");
        let outside = ids.first().copied().expect("there is one");
        let map = fs::read_to_string(self.0.join(map)).expect("a process can be looked at");
        let inside = map.lines().find_map(|line| {
            let mut numbers = line.split_whitespace().map_while(|number| number.parse::<u32>().ok());
            let (inside, from, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
            outside.checked_sub(from).filter(|&offset| offset < count).map(|offset| inside + offset)
        });
        inside.expect("the map knows the ID")
    }

    /// Its number on this machine, and that inside its container.
    pub fn numbers(&self) -> (i32, i32) {
        let numbers = self.field("NSpid:");
        (numbers[0], numbers[numbers.len() - 1])
    }

    /// The process that started it.
    pub fn parent(&self) -> Self {
        Self(Path::new("/proc").join(self.field("PPid:")[0].to_string()))
    }

    /// The words it was started with.
    pub fn words(&self) -> Vec<String> {
        let line = fs::read_to_string(self.0.join("cmdline")).expect("a process can be looked at");
        line.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let id = Pid::from_raw(self.numbers().0).expect("a process has a number");
        kill_process(id, Signal::TERM).expect("a process can be sent a signal");
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        !self.0.exists()
    }

    fn field(&self, name: &str) -> Vec<i32> {
        let status = fs::read_to_string(self.0.join("status")).expect("a process can be looked at");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a status has this field");
        line.split_whitespace().map(|number| number.parse().expect("a number")).collect()
    }

    /// A path of the container, as this machine can reach it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join("root").join(path)
    }

    /// Its working directory.
    pub fn working_dir(&self) -> PathBuf {
        self.0.join("cwd")
    }
}

/// A port that nobody listens on, another one each time.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("a listener has an address").port();
        if TAKEN.lock().expect("nobody panics here").insert(port) {
            return port;
        }
    }
}
