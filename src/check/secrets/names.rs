//! Names of files that are made to hold secrets.

use std::path::{Path, PathBuf};

/// Endings of examples, which hold none.
const EXAMPLES: [&str; 6] = ["example", "sample", "template", "dist", "schema", "defaults"];

/// Private keys as `ssh-keygen` names them. Source: `ssh-keygen(1)`.
const SSH_KEYS: [&str; 6] = ["id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];

/// Files in which programs keep passwords. Source: the manuals of curl, git and PostgreSQL.
const PASSWORDS: [&str; 5] = [".netrc", "_netrc", ".git-credentials", ".pgpass", ".htpasswd"];

/// What a file is by its name, with the path that stands for it: that of a whole directory where all of it is meant.
pub(super) fn secret_by_name(path: &Path) -> Option<(PathBuf, &'static str)> {
    // Most paths have neither, and there are many.
    let may_lie_inside = ["/.git", "/.ssh"].iter().any(|name| path.to_string_lossy().contains(name));
    for dir in path.ancestors().filter(|_| may_lie_inside) {
        match dir.file_name().and_then(|name| name.to_str()) {
            Some(".git") => return Some((dir.to_owned(), "the history of the sources")),
            Some(".ssh") if dir != path => return Some((path.to_owned(), "a file of SSH")),
            _ => {}
        }
    }
    let name = path.file_name()?.to_str()?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let what = match name {
        ".env" => "variables that may be secret",
        _ if name.starts_with(".env.") && !EXAMPLES.contains(&extension) => "variables that may be secret",
        _ if SSH_KEYS.contains(&name) => "a private key of SSH",
        _ if PASSWORDS.contains(&name) => "passwords",
        "credentials" if path.parent().is_some_and(|dir| dir.file_name().is_some_and(|name| name == ".aws")) => {
            "credentials of AWS"
        }
        _ if matches!(extension, "p12" | "pfx" | "jks" | "keystore") => "a store of keys",
        _ => return None,
    };
    Some((path.to_owned(), what))
}

/// Whether the name of a file of a package gives reason to look into it.
pub(super) fn is_suspicious(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let name = name.to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_data = matches!(extension, "json" | "yml" | "yaml" | "toml" | "ini" | "conf" | "txt");
    name.starts_with(".env")
        || matches!(name.as_str(), ".npmrc" | ".yarnrc.yml" | ".dockercfg" | ".dockerconfigjson" | "credentials")
        || matches!(extension, "pem" | "key" | "p8" | "ppk" | "asc")
        || is_data && ["credential", "secret", "service-account", "serviceaccount"].iter().any(|it| name.contains(it))
        || path.ends_with(".docker/config.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let table = [
            ("variables", "/app/.env", Some("/app/.env")),
            ("of a stage", "/app/.env.production", Some("/app/.env.production")),
            ("an example", "/app/.env.example", None),
            ("an example of a stage", "/app/.env.production.sample", None),
            ("another word", "/app/.environment", None),
            ("all of a history", "/app/lib/.git/objects/ab/cd", Some("/app/lib/.git")),
            ("a worktree's file", "/app/.git", Some("/app/.git")),
            ("no history", "/app/.gitignore", None),
            ("a key", "/app/id_ed25519", Some("/app/id_ed25519")),
            ("its public half", "/app/id_ed25519.pub", None),
            ("all of SSH", "/root/.ssh/known_hosts", Some("/root/.ssh/known_hosts")),
            ("a store", "/app/tls/server.p12", Some("/app/tls/server.p12")),
            ("of AWS", "/root/.aws/credentials", Some("/root/.aws/credentials")),
            ("of nobody", "/app/credentials", None),
            ("code", "/app/dist/keystore.js", None),
        ];
        for (comment, path, expected) in table {
            let found = secret_by_name(Path::new(path)).map(|(path, _)| path);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{comment}");
        }
    }
}
