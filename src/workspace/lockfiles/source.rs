//! Where packages come from.

use url::Url;

use crate::workspace::WorkspacePath;

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A registry: by name and version, or at the address the lockfile states.
    Registry {
        /// The tarball's address; `None` where the registry has to be asked.
        tarball: Option<String>,
    },
    /// A tarball that no registry knows.
    Tarball {
        /// Its address.
        url: String,
    },
    /// A git repository.
    Git {
        /// Its address.
        repository: String,
        /// The commit; `None` where the lockfile names a branch or nothing.
        commit: Option<String>,
        /// The directory in the repository that is the package, if it is not the root.
        directory: Option<String>,
    },
    /// A directory of the workspace of which the package is a copy (`file:`, pnpm's injected members).
    Directory(WorkspacePath),
    /// A tarball in the workspace.
    File(WorkspacePath),
    /// A directory of the workspace that is used where it lies, though it is no member (`link:`, `portal:`).
    Link(WorkspacePath),
    /// A path outside of the workspace, as the lockfile has it.
    Outside(String),
    /// A protocol that only its package manager knows, as the lockfile has it.
    Unknown(String),
}

/// A change that is made to an unpacked package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch {
    /// By a patch file of the workspace.
    File(WorkspacePath),
    /// By a patch file that lies elsewhere, as the lockfile has it.
    Outside(String),
    /// By a patch file of which the lockfile knows only the hash.
    Hash(String),
    /// By one of yarn's own, which make old packages fit Plug'n'Play. An installation in `node_modules` works without.
    BuiltIn(String),
}

impl Source {
    /// The source that a `resolved` address of yarn 1 or npm names, its hash cut off.
    pub(super) fn from_resolved(resolved: &str) -> Self {
        let (address, fragment) = resolved.split_once('#').unwrap_or((resolved, ""));
        if let Some(path) = address.strip_prefix("file:") {
            return Self::from_path(&WorkspacePath::default(), path);
        }
        if is_git(address) {
            return Self::git(address, fragment);
        }
        if let Some(git) = git_archive(address) {
            return git;
        }
        match address.contains("/-/") || address.contains("/download/") {
            true => Self::Registry { tarball: Some(address.to_owned()) },
            false => Self::Tarball { url: address.to_owned() },
        }
    }

    /// A git repository; the fragment is a commit, or `commit=…&workspace=…` (yarn), or `…&path:DIR` (pnpm).
    pub(super) fn git(address: &str, fragment: &str) -> Self {
        let mut commit = None;
        let mut directory = None;
        for part in fragment.split('&') {
            match part.split_once(['=', ':']) {
                Some(("commit", value)) => commit = Some(value),
                Some(("path" | "workspace" | "cwd", value)) => directory = Some(value.trim_matches('/').to_owned()),
                Some(_) => {}
                None => commit = commit.or((!part.is_empty()).then_some(part)),
            }
        }
        let commit = commit.filter(|commit| commit.len() >= 7 && commit.bytes().all(|b| b.is_ascii_hexdigit()));
        Self::Git { repository: address.to_owned(), commit: commit.map(str::to_owned), directory }
    }

    /// A file or directory, relative to `base`.
    pub(super) fn from_path(base: &WorkspacePath, path: &str) -> Self {
        match base.join(path) {
            None => Self::Outside(path.to_owned()),
            Some(path) if is_tarball(&path.to_string()) => Self::File(path),
            Some(path) => Self::Directory(path),
        }
    }
}

/// Whether an address is one of a git repository and not of a file that git hosts.
pub(super) fn is_git(address: &str) -> bool {
    let scheme = ["git+", "git:", "git@", "ssh:", "github:", "gitlab:", "bitbucket:"];
    scheme.iter().any(|scheme| address.starts_with(scheme))
        || (address.starts_with("http") && address.trim_end_matches('/').ends_with(".git"))
}

fn is_tarball(path: &str) -> bool {
    [".tgz", ".tar.gz", ".tar"].iter().any(|end| path.ends_with(end))
}

/// Archives that hosts of repositories make of a commit: `https://codeload.github.com/OWNER/NAME/tar.gz/COMMIT`.
fn git_archive(address: &str) -> Option<Source> {
    let url = Url::parse(address).ok()?;
    let mut segments = url.path_segments()?;
    if url.host_str()? != "codeload.github.com" {
        return None;
    }
    let (owner, name, format, commit) = (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
    let commit = (format == "tar.gz").then_some(commit)?;
    Some(Source::git(&format!("https://github.com/{owner}/{name}.git"), commit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(repository: &str, commit: Option<&str>) -> Source {
        Source::Git { repository: repository.into(), commit: commit.map(str::to_owned), directory: None }
    }

    #[test]
    fn addresses() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let table = [
            (
                "a registry",
                "https://registry.yarnpkg.com/a/-/a-1.0.0.tgz#abc".to_owned(),
                Source::Registry { tarball: Some("https://registry.yarnpkg.com/a/-/a-1.0.0.tgz".into()) },
            ),
            (
                "a tarball",
                "https://example.com/a.tgz#abc".to_owned(),
                Source::Tarball { url: "https://example.com/a.tgz".into() },
            ),
            (
                "git over ssh",
                format!("git+ssh://git@github.com/o/r.git#{commit}"),
                git("git+ssh://git@github.com/o/r.git", Some(commit)),
            ),
            ("git over https", format!("https://h/o/r.git#{commit}"), git("https://h/o/r.git", Some(commit))),
            ("a branch is no commit", "https://h/o/r.git#main".to_owned(), git("https://h/o/r.git", None)),
            (
                "an archive of a commit",
                format!("https://codeload.github.com/o/r/tar.gz/{commit}"),
                git("https://github.com/o/r.git", Some(commit)),
            ),
            ("a local tarball", "file:libs/a.tgz".to_owned(), Source::File(WorkspacePath::new("libs/a.tgz").unwrap())),
            ("a local directory", "file:./libs/a".to_owned(), Source::Directory(WorkspacePath::new("libs/a").unwrap())),
            ("outside", "file:../a".to_owned(), Source::Outside("../a".into())),
        ];
        for (comment, resolved, expected) in table {
            assert_eq!(Source::from_resolved(&resolved), expected, "{comment}");
        }
    }
}
