use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use super::misbehaving::{Answer, Asked, Misbehaving};
use super::sha256;

/// What a registry tells when it is asked where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// How many bytes it holds.
    Exactly,
    /// As much of it as fills blocks of this size; the rest is dropped.
    InBlocks(usize),
    /// More than it ever got.
    TooMuch,
    /// 404.
    Nothing,
    /// 200, and a page.
    APage,
}

/// Where a registry leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// `/v2/…`
    Path,
    /// `http://HOST/v2/…`
    Url,
    /// By path, with a state in the query that is another one after each request and has to be the last one.
    State,
}

/// How a registry takes uploads.
#[derive(Clone, Debug)]
pub struct Uploads {
    pub told: Told,
    pub leads: Leads,
    /// Larger bodies are answered by 413.
    pub body_limit: usize,
    /// Whether it does that before it has read them.
    pub refuses_at_once: bool,
    /// Larger bodies of a PATCH are answered by 416.
    pub patch_limit: usize,
    /// What sessions say of chunks.
    pub least_chunk: Option<u64>,
    /// Where connections break, each counted from the beginning of the next body with bytes in it.
    pub cuts: Vec<usize>,
    /// The status of answers to DELETE.
    pub cancelling: u16,
    /// How many requests with a body are answered by 503 after they were taken.
    pub overloads: usize,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            told: Told::Exactly,
            leads: Leads::Path,
            body_limit: usize::MAX,
            refuses_at_once: false,
            patch_limit: usize::MAX,
            least_chunk: None,
            cuts: Vec::new(),
            cancelling: 204,
            overloads: 0,
        }
    }
}

/// What is in a registry.
#[derive(Default)]
pub struct State {
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub tags: BTreeMap<String, Vec<u8>>,
    /// Sessions that are open, with what they hold.
    pub sessions: BTreeMap<u64, Vec<u8>>,
    /// How many bytes of blobs arrived, those included that were thrown away.
    pub arrived: usize,
    /// How many bytes it let go that had arrived: with uploads that were cancelled, or when asked for a position.
    pub unconfirmed: usize,
    opened: u64,
    state: u64,
    overloads: usize,
}

/// A registry that keeps what is pushed, with habits of uploads.
pub struct UploadRegistry {
    pub server: Misbehaving,
    state: Arc<Mutex<State>>,
}

impl UploadRegistry {
    pub fn start(habits: Uploads) -> Self {
        let state = Arc::new(Mutex::new(State { overloads: habits.overloads, ..State::default() }));
        let cuts = Mutex::new(VecDeque::from(habits.cuts.clone()));
        let at_once = if habits.refuses_at_once { habits.body_limit } else { usize::MAX };
        let cut = move |asked: &Asked, size: usize| {
            if size > at_once {
                return Some(0);
            }
            let upload = asked.target.contains("/blobs/uploads/");
            let mut cuts = cuts.lock().expect("no test thread panics here");
            let at = if upload && size > 0 { cuts.pop_front() } else { None };
            at.filter(|at| *at < size)
        };
        let kept = Arc::clone(&state);
        let play = move |asked: &Asked| answer(&mut kept.lock().expect("no test thread panics here"), &habits, asked);
        Self { server: Misbehaving::start_with_cuts(cut, play), state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test thread panics here")
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

fn answer(state: &mut State, habits: &Uploads, asked: &Asked) -> Answer {
    let name = asked.target.rsplit('/').next().unwrap_or_default().to_owned();
    match (asked.target.contains("/blobs/uploads/"), asked.target.contains("/manifests/"), asked.method.as_str()) {
        (true, _, "POST") => {
            state.opened += 1;
            let number = state.opened;
            state.sessions.insert(number, Vec::new());
            let answer = leading(state, habits, asked, number, 202);
            match habits.least_chunk {
                Some(least) => answer.header("OCI-Chunk-Min-Length", least),
                None => answer,
            }
        }
        (true, ..) => in_session(state, habits, asked),
        (false, true, "PUT") => {
            let digest = sha256(&asked.body);
            state.tags.insert(name, asked.body.clone());
            Answer::new(201).header("Docker-Content-Digest", digest)
        }
        (false, false, "HEAD") if state.blobs.contains_key(&name) => Answer::new(200),
        _ => Answer::new(404),
    }
}

/// What a request to the `Location` of an upload gets.
fn in_session(state: &mut State, habits: &Uploads, asked: &Asked) -> Answer {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let number = path.rsplit('/').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
    if asked.method == "DELETE" {
        if habits.cancelling == 204
            && let Some(held) = state.sessions.remove(&number)
        {
            state.unconfirmed += held.len();
        }
        return Answer::new(habits.cancelling);
    }
    let size = asked.header("content-length").parse::<usize>().unwrap_or(0);
    if size > habits.body_limit {
        return Answer::new(413);
    }
    let last_state = format!("state=a%2F{}", state.state);
    let Some(mut held) = state.sessions.get(&number).cloned() else { return Answer::new(404) };
    if habits.leads == Leads::State && !asked.cut && !query.starts_with(&last_state) {
        return Answer::new(400).body(r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID"}]}"#);
    }
    if asked.method == "GET" {
        return position(state, habits, asked, number, held);
    }
    let first = asked.header("content-range").split('-').next().unwrap_or_default().parse::<usize>().unwrap_or(0);
    state.arrived += asked.body.len();
    if asked.method == "PATCH" && (size > habits.patch_limit || first != held.len()) {
        return leading(state, habits, asked, number, 416);
    }
    held.extend_from_slice(&asked.body);
    state.sessions.insert(number, held.clone());
    if asked.cut {
        return Answer::none();
    }
    if size > 0 && state.overloads > 0 {
        state.overloads -= 1;
        return Answer::new(503);
    }
    if asked.method == "PATCH" {
        return leading(state, habits, asked, number, 202).header("Range", range(held.len()));
    }
    state.sessions.remove(&number);
    let digest = sha256(&held);
    if !query.ends_with(&format!("digest={}", digest.replace(':', "%3A"))) {
        return Answer::new(400).body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
    }
    state.blobs.insert(digest, held);
    Answer::new(201)
}

/// What is told of where an upload stands.
fn position(state: &mut State, habits: &Uploads, asked: &Asked, number: u64, mut held: Vec<u8>) -> Answer {
    match habits.told {
        Told::Nothing => return Answer::new(404),
        Told::APage => return Answer::new(200).header("Range", range(held.len())).body("<html>"),
        Told::TooMuch => return leading(state, habits, asked, number, 204).header("Range", range(1 << 40)),
        Told::Exactly => {}
        Told::InBlocks(block) => {
            let kept = held.len() / block * block;
            state.unconfirmed += held.len() - kept;
            held.truncate(kept);
            state.sessions.insert(number, held.clone());
        }
    }
    leading(state, habits, asked, number, 204).header("Range", range(held.len()))
}

fn range(held: usize) -> String {
    format!("0-{}", held.saturating_sub(1))
}

/// An answer with the `Location` of an upload.
fn leading(state: &mut State, habits: &Uploads, asked: &Asked, number: u64, status: u16) -> Answer {
    state.state += 1;
    let repository = asked.target.split("/blobs/uploads/").next().unwrap_or_default();
    let path = format!("{repository}/blobs/uploads/{number}");
    let location = match habits.leads {
        Leads::Path => path,
        Leads::Url => format!("http://{}{path}", asked.header("host")),
        Leads::State => format!("{path}?state=a%2F{}", state.state),
    };
    Answer::new(status).header("Location", location)
}
