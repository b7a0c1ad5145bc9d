use super::access::Door;
use super::contents::Contents;
use super::server::{Answer, Asked};
use super::uploads::Uploads;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `/v2/`
    Root,
    /// The token service.
    Token,
    /// A blob.
    Blob,
    /// The place where uploads begin.
    Uploads,
    /// An upload that was begun.
    Session,
    /// A manifest or index.
    Manifest,
}

impl Part {
    pub fn of(target: &str) -> Self {
        let path = target.split('?').next().unwrap_or_default();
        match path.split_once("/blobs/uploads/") {
            Some((_, "")) => Self::Uploads,
            Some(_) => Self::Session,
            None if path.contains("/manifests/") => Self::Manifest,
            None if path.contains("/blobs/") => Self::Blob,
            None if path.starts_with("/token") => Self::Token,
            None => Self::Root,
        }
    }
}

/// A request, and what has been before it.
pub struct Turn<'a> {
    pub asked: &'a Asked,
    pub part: Part,
    /// How many requests with this method and about such a part of the repository came before.
    pub before: usize,
    /// What the repository holds: before the answer is made, or after.
    pub contents: Option<&'a Contents>,
    /// Another host that leads to the same storage, and takes no `Authorization`.
    pub storage: &'a str,
}

impl Turn<'_> {
    /// Whether it is a request with this method about such a part.
    pub fn is(&self, method: &str, part: Part) -> bool {
        self.asked.method == method && self.part == part
    }

    /// The last part of the path: a digest, a tag, the number of an upload.
    pub fn name(&self) -> &str {
        let path = self.asked.target.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it asks for a blob that is there.
    pub fn has_blob(&self) -> bool {
        self.contents.is_some_and(|contents| contents.blobs.contains_key(self.name()))
    }

    /// Whether it wants a blob mounted.
    pub fn mounts(&self) -> bool {
        self.part == Part::Uploads && self.asked.target.contains("mount=")
    }

    /// Whether it brings something.
    pub fn brings(&self) -> bool {
        !matches!(self.asked.header("content-length"), "" | "0")
    }
}

/// A habit of a registry, or of a proxy before it: what it does otherwise than the specification says, and how pushing
/// to it and pulling from it end.
#[derive(Clone)]
pub struct Profile {
    pub name: &'static str,
    pub uploads: Uploads,
    pub door: Door,
    /// Whether the user has an identity token, and no password.
    pub identity: bool,
    /// What is answered in place of the usual.
    pub instead: fn(&Turn<'_>) -> Option<Answer>,
    /// What becomes of an answer.
    pub then: fn(&Turn<'_>, Answer) -> Answer,
    /// A part of the error that pushing an image ends with; `None` if it ends well.
    pub push: Option<&'static str>,
    /// The same for pulling a base.
    pub pull: Option<&'static str>,
}

impl Profile {
    /// A registry as the specification has it.
    pub fn named(name: &'static str) -> Self {
        Self {
            name,
            uploads: Uploads::default(),
            door: Door::Open,
            identity: false,
            instead: |_| None,
            then: |_, answer| answer,
            push: None,
            pull: None,
        }
    }

    pub fn uploads(self, uploads: Uploads) -> Self {
        Self { uploads, ..self }
    }

    pub fn door(self, door: Door) -> Self {
        Self { door, ..self }
    }

    /// The user has an identity token.
    pub fn identity(self) -> Self {
        Self { identity: true, ..self }
    }

    pub fn instead(self, instead: fn(&Turn<'_>) -> Option<Answer>) -> Self {
        Self { instead, ..self }
    }

    pub fn then(self, then: fn(&Turn<'_>, Answer) -> Answer) -> Self {
        Self { then, ..self }
    }

    /// Pushing ends with an error that says this.
    pub fn push_fails(self, text: &'static str) -> Self {
        Self { push: Some(text), ..self }
    }

    /// Pulling ends with an error that says this.
    pub fn pull_fails(self, text: &'static str) -> Self {
        Self { pull: Some(text), ..self }
    }
}
