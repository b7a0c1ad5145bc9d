use std::collections::BTreeMap;

use super::super::sha256;
use super::registry::{State, error};
use super::server::{Answer, Asked};

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
    /// By path, with a state in the query that is another one after each request and has to be the last one, byte for
    /// byte.
    State,
    /// `7`, relative to the request.
    Name,
    /// `//HOST/v2/…`
    NoScheme,
    /// To another host, which takes no `Authorization`.
    Storage,
    /// Where no client should go.
    File,
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
    /// Where connections break, each counted from the beginning of the next body of `cut_from` bytes at least.
    pub cuts: Vec<usize>,
    pub cut_from: usize,
    /// The status of answers to DELETE.
    pub cancelling: u16,
    /// How many requests with a body are answered by 503 after they were taken.
    pub overloads: usize,
    /// How many bodies of PATCHes a session keeps; the others are answered as if they were kept.
    pub kept_patches: usize,
    /// Whether the PATCHes of a session have to be of one size, but for the last.
    pub equal_patches: bool,
    /// Whether blobs are taken from other repositories; else an upload is opened instead.
    pub mounts: bool,
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
            cut_from: 1,
            cancelling: 204,
            overloads: 0,
            kept_patches: usize::MAX,
            equal_patches: false,
            mounts: true,
        }
    }
}

/// Uploads, finished and not.
#[derive(Default)]
pub struct Sessions {
    /// Those that are open, with what they hold.
    pub open: BTreeMap<u64, Vec<u8>>,
    /// How many bytes of blobs arrived, those included that were thrown away.
    pub arrived: usize,
    /// How many bytes it let go that had arrived: with uploads that were cancelled, or when asked for a position.
    pub unconfirmed: usize,
    pub overloads: usize,
    opened: u64,
    states: BTreeMap<u64, u64>,
    /// The sizes of the PATCHes of each.
    patched: BTreeMap<u64, Vec<usize>>,
}

/// What a request for an upload gets.
pub fn answer(state: &mut State, habits: &Uploads, asked: &Asked, repository: &str, storage: &str) -> Answer {
    let leading = Leading { leads: habits.leads, repository, storage, host: asked.header("host") };
    if asked.method != "POST" {
        return in_session(state, habits, asked, &leading);
    }
    let mounted = query(asked, "mount").zip(query(asked, "from")).filter(|_| habits.mounts);
    let mounted = mounted.and_then(|(digest, from)| {
        let digest = digest.replace("%3A", ":");
        Some((state.repositories.get(&from.replace("%2F", "/"))?.blobs.get(&digest)?.clone(), digest))
    });
    if let Some((bytes, digest)) = mounted {
        state.repositories.entry(repository.to_owned()).or_default().blobs.insert(digest, bytes);
        return Answer::new(201);
    }
    let sessions = &mut state.sessions;
    sessions.opened += 1;
    let number = sessions.opened;
    sessions.open.insert(number, Vec::new());
    let answer = leading.answer(sessions, number, 202);
    match habits.least_chunk {
        Some(least) => answer.header("OCI-Chunk-Min-Length", least),
        None => answer,
    }
}

/// The value of a query's parameter, as it was sent.
fn query<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    let (_, query) = asked.target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// What a request to the `Location` of an upload gets.
fn in_session(state: &mut State, habits: &Uploads, asked: &Asked, leading: &Leading<'_>) -> Answer {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let number = path.rsplit('/').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
    let sessions = &mut state.sessions;
    if asked.method == "DELETE" {
        if habits.cancelling == 204
            && let Some(held) = sessions.open.remove(&number)
        {
            sessions.unconfirmed += held.len();
        }
        return Answer::new(habits.cancelling);
    }
    let size = asked.header("content-length").parse::<usize>().unwrap_or(0);
    if size > habits.body_limit {
        return Answer::new(413).body("<html><center><h1>413 Request Entity Too Large</h1></center></html>");
    }
    let last_state = format!("_nouploadcache=false&state=a%2F{}==", sessions.states.get(&number).unwrap_or(&0));
    let Some(mut held) = sessions.open.get(&number).cloned() else { return error(404, "BLOB_UPLOAD_UNKNOWN") };
    if habits.leads == Leads::State && !asked.cut && !query.starts_with(&last_state) {
        return error(400, "BLOB_UPLOAD_INVALID");
    }
    if asked.method == "GET" {
        return position(sessions, habits, leading, number, held);
    }
    let first = asked.header("content-range").split('-').next().unwrap_or_default().parse::<usize>().unwrap_or(0);
    sessions.arrived += asked.body.len();
    let is_patch = asked.method == "PATCH";
    let patched = sessions.patched.entry(number).or_default();
    if is_patch {
        patched.push(size);
    }
    let is_kept = !is_patch || patched.len() <= habits.kept_patches;
    let unequal = patched.split_last().is_some_and(|(_, before)| before.iter().any(|before| *before != patched[0]));
    if is_patch && habits.equal_patches && unequal {
        return error(400, "SIZE_INVALID");
    }
    if is_patch && (size > habits.patch_limit || is_kept && first != held.len()) {
        return leading.answer(sessions, number, 416);
    }
    if is_kept {
        held.extend_from_slice(&asked.body);
    }
    sessions.open.insert(number, held.clone());
    if asked.cut {
        return Answer::none();
    }
    if size > 0 && sessions.overloads > 0 {
        sessions.overloads -= 1;
        return Answer::new(503);
    }
    if is_patch {
        return leading.answer(sessions, number, 202).header("Range", range(held.len()));
    }
    sessions.open.remove(&number);
    let digest = sha256(&held);
    if !query.ends_with(&format!("digest={}", digest.replace(':', "%3A"))) {
        return error(400, "DIGEST_INVALID");
    }
    state.repositories.entry(leading.repository.to_owned()).or_default().blobs.insert(digest, held);
    Answer::new(201)
}

/// What is told of where an upload stands.
fn position(
    sessions: &mut Sessions,
    habits: &Uploads,
    leading: &Leading<'_>,
    number: u64,
    mut held: Vec<u8>,
) -> Answer {
    match habits.told {
        Told::Nothing => return Answer::new(404),
        Told::APage => return Answer::new(200).header("Range", range(held.len())).body("<html>"),
        Told::TooMuch => return leading.answer(sessions, number, 204).header("Range", range(1 << 40)),
        Told::Exactly => {}
        Told::InBlocks(block) => {
            let kept = held.len() / block * block;
            sessions.unconfirmed += held.len() - kept;
            held.truncate(kept);
            sessions.open.insert(number, held.clone());
        }
    }
    leading.answer(sessions, number, 204).header("Range", range(held.len()))
}

fn range(held: usize) -> String {
    format!("0-{}", held.saturating_sub(1))
}

/// Where the answers to one request lead.
struct Leading<'a> {
    leads: Leads,
    repository: &'a str,
    storage: &'a str,
    host: &'a str,
}

impl Leading<'_> {
    /// An answer with the `Location` of an upload.
    fn answer(&self, sessions: &mut Sessions, number: u64, status: u16) -> Answer {
        let state = sessions.states.entry(number).or_default();
        *state += 1;
        let path = format!("/v2/{}/blobs/uploads/{number}", self.repository);
        let location = match self.leads {
            Leads::Path => path,
            Leads::Url => format!("http://{}{path}", self.host),
            Leads::State => format!("{path}?_nouploadcache=false&state=a%2F{state}=="),
            Leads::Name => number.to_string(),
            Leads::NoScheme => format!("//{}{path}", self.host),
            Leads::Storage => format!("http://{}{path}?X-Signature=a%2Bb", self.storage),
            Leads::File => "file:///etc/passwd".to_owned(),
        };
        Answer::new(status).header("Location", location)
    }
}
