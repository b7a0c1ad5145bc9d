use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::sha256;
use super::access::Tokens;
use super::contents::Contents;
use super::profile::{Part, Profile, Turn};
use super::server::{Answer, Asked, Misbehaving};
use super::uploads::{self, Sessions, Uploads};

/// What is in a registry, and what has been asked of it.
#[derive(Default)]
pub struct State {
    pub repositories: BTreeMap<String, Contents>,
    pub sessions: Sessions,
    pub tokens: Tokens,
    asked: BTreeMap<(String, Part, String), usize>,
}

impl State {
    /// A blob of whatever repository.
    pub fn blob(&self, digest: &str) -> Option<&Vec<u8>> {
        self.repositories.values().find_map(|contents| contents.blobs.get(digest))
    }

    /// All tags, as `REPOSITORY:TAG`.
    pub fn tags(&self) -> Vec<String> {
        let tags = |(name, contents): (&String, &Contents)| -> Vec<String> {
            contents.tags.keys().map(|tag| format!("{name}:{tag}")).collect()
        };
        self.repositories.iter().flat_map(tags).collect()
    }
}

/// A registry that keeps what is pushed to it, and has the habits of a profile.
pub struct PlayedRegistry {
    pub server: Misbehaving,
    /// Whether its user has an identity token, and no password.
    pub identity: bool,
    state: Arc<Mutex<State>>,
    healed: Arc<AtomicBool>,
    /// Where uploads and downloads are led that go past the registry.
    _storage: Misbehaving,
}

impl PlayedRegistry {
    pub fn start(profile: Profile) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let identity = profile.identity;
        state.lock().expect("no test thread panics here").sessions.overloads = profile.uploads.overloads;
        let (kept, stored) = (Arc::clone(&state), profile.clone());
        let storage = Misbehaving::start(move |asked| match asked.header("authorization") {
            "" => {
                let mut state = kept.lock().expect("no test thread panics here");
                usual(&mut state, &stored, asked, asked.header("host"))
            }
            _ => Answer::new(400).body("<Error><Code>InvalidArgument</Code></Error>"),
        });
        let (kept, place) = (Arc::clone(&state), storage.host());
        let healed = Arc::new(AtomicBool::new(false));
        let (cut, is_healed) = (cutting(&profile.uploads, Arc::clone(&healed)), Arc::clone(&healed));
        let play = move |asked: &Asked| {
            let profile = match is_healed.load(Ordering::SeqCst) {
                true => &Profile::named("healed"),
                false => &profile,
            };
            answer(&mut kept.lock().expect("no test thread panics here"), profile, asked, &place)
        };
        Self { server: Misbehaving::start_with_cuts(cut, play), identity, state, healed, _storage: storage }
    }

    /// From now on it does as the specification says.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    pub fn host(&self) -> String {
        self.server.host()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test thread panics here")
    }

    /// Puts the images of a layout into a repository.
    pub fn hold(&self, repository: &str, tag: &str, layout: &Path) {
        self.state().repositories.entry(repository.to_owned()).or_default().take_layout(layout, tag);
    }

    /// The requests for uploads so far, each as one line: the method, `Content-Range` or else the size of the body, the
    /// status is not in it.
    pub fn uploads(&self) -> Vec<String> {
        let line = |asked: Asked| match (asked.header("content-range"), asked.header("content-length")) {
            ("", "" | "0") => asked.method,
            ("", size) => format!("{} {size}", asked.method),
            (range, size) => {
                let (first, last) = range.split_once('-').expect("a range has two ends");
                let length = last.parse::<u64>().expect("a number") + 1 - first.parse::<u64>().expect("a number");
                assert_eq!(length.to_string(), size, "`Content-Length` and `Content-Range` agree");
                format!("{} {range}", asked.method)
            }
        };
        self.server.asked().into_iter().filter(|asked| asked.target.contains("/blobs/uploads/")).map(line).collect()
    }
}

/// Where it stops reading.
fn cutting(uploads: &Uploads, is_healed: Arc<AtomicBool>) -> impl Fn(&Asked, usize) -> Option<usize> + use<> {
    let at_once = if uploads.refuses_at_once { uploads.body_limit } else { usize::MAX };
    let (cuts, cut_from) = (Mutex::new(VecDeque::from(uploads.cuts.clone())), uploads.cut_from);
    move |asked, size| {
        if is_healed.load(Ordering::SeqCst) {
            return None;
        }
        if size > at_once {
            return Some(0);
        }
        let is_counted = asked.target.contains("/blobs/uploads/") && size >= cut_from;
        let mut cuts = cuts.lock().expect("no test thread panics here");
        let at = if is_counted { cuts.pop_front() } else { None };
        at.filter(|at| *at < size)
    }
}

/// What the profile has it answer.
fn answer(state: &mut State, profile: &Profile, asked: &Asked, storage: &str) -> Answer {
    let part = Part::of(&asked.target);
    let count = state.asked.entry((asked.method.clone(), part, repository(&asked.target).to_owned())).or_default();
    let before = *count;
    *count += 1;
    let instead = (profile.instead)(&turn(state, asked, part, before, storage));
    let answer = instead
        .or_else(|| profile.door.answer(asked, &mut state.tokens))
        .unwrap_or_else(|| usual(state, profile, asked, storage));
    (profile.then)(&turn(state, asked, part, before, storage), answer)
}

fn turn<'a>(state: &'a State, asked: &'a Asked, part: Part, before: usize, storage: &'a str) -> Turn<'a> {
    Turn { asked, part, before, contents: state.repositories.get(repository(&asked.target)), storage }
}

/// What the specification has a registry answer, as far as it is not about uploads.
fn usual(state: &mut State, profile: &Profile, asked: &Asked, storage: &str) -> Answer {
    let (part, repository) = (Part::of(&asked.target), repository(&asked.target).to_owned());
    let path = asked.target.split('?').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    if matches!(part, Part::Uploads | Part::Session) {
        return uploads::answer(state, &profile.uploads, asked, &repository, storage);
    }
    let contents = state.repositories.entry(repository).or_default();
    match (part, asked.method.as_str()) {
        (Part::Root, "GET") => Answer::new(200).body("{}"),
        (Part::Blob, "GET" | "HEAD") => match contents.blobs.get(&name) {
            Some(bytes) => blob(bytes, asked).header("Docker-Content-Digest", name),
            None => error(404, "BLOB_UNKNOWN"),
        },
        (Part::Manifest, "GET" | "HEAD") => match contents.manifest(&name) {
            Some((media_type, bytes)) => Answer::new(200)
                .header("Content-Type", media_type)
                .header("Docker-Content-Digest", sha256(bytes))
                .body(bytes.clone()),
            None => error(404, "MANIFEST_UNKNOWN"),
        },
        (Part::Manifest, "PUT") => {
            let digest = sha256(&asked.body);
            if !contents.missing(&asked.body).is_empty() {
                return error(400, "MANIFEST_BLOB_UNKNOWN");
            }
            let manifest = (asked.header("content-type").to_owned(), asked.body.clone());
            contents.manifests.insert(digest.clone(), manifest);
            if name != digest {
                contents.tags.insert(name, digest.clone());
            }
            Answer::new(201).header("Location", path).header("Docker-Content-Digest", digest)
        }
        _ => error(404, "UNSUPPORTED"),
    }
}

fn blob(bytes: &[u8], asked: &Asked) -> Answer {
    let range = asked.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    match range.and_then(|start| start.parse::<usize>().ok()) {
        None => Answer::new(200).body(bytes),
        Some(start) if start < bytes.len() => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            Answer::new(206).header("Content-Range", range).body(&bytes[start..])
        }
        Some(_) => Answer::new(416),
    }
}

/// An error as the specification has it.
pub fn error(status: u16, code: &str) -> Answer {
    Answer::new(status)
        .header("Content-Type", "application/json")
        .body(format!(r#"{{"errors":[{{"code":"{code}","message":"played"}}]}}"#))
}

/// `a/b` of `/v2/a/b/blobs/…`
fn repository(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/v2/").unwrap_or(path);
    path.split("/blobs/").next().and_then(|path| path.split("/manifests/").next()).unwrap_or_default()
}
