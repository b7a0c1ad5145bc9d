//! Names of files that are made to hold secrets.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Endings of examples, which hold none.
const EXAMPLES: [&str; 6] = ["example", "sample", "template", "dist", "schema", "defaults"];

/// Private keys as `ssh-keygen` names them. Source: `ssh-keygen(1)`.
const SSH_KEYS: [&str; 6] = ["id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];

/// Files in which programs keep passwords. Source: the manuals of curl, git, PostgreSQL, Apache, MySQL, twine, Vault and s3cmd.
const PASSWORDS: [&str; 10] = [
    ".netrc",
    "_netrc",
    ".git-credentials",
    ".pgpass",
    ".htpasswd",
    ".my.cnf",
    ".mylogin.cnf",
    ".pypirc",
    ".vault-token",
    ".s3cfg",
];

/// Files in which clients of clouds and clusters keep what they log in with, below the directory that they have in that of
/// the user. Source: the manuals of aws, gcloud, az, kubectl and terraform.
const CREDENTIALS: [(&str, &str, &str); 10] = [
    (".aws", "credentials", "credentials of AWS"),
    ("gcloud", "credentials.db", "credentials of Google Cloud"),
    ("gcloud", "access_tokens.db", "credentials of Google Cloud"),
    ("gcloud", "application_default_credentials.json", "credentials of Google Cloud"),
    (".azure", "accessTokens.json", "credentials of Azure"),
    (".azure", "msal_token_cache.json", "credentials of Azure"),
    (".azure", "msal_token_cache.bin", "credentials of Azure"),
    (".azure", "service_principal_entries.json", "credentials of Azure"),
    (".kube", "config", "credentials of a cluster"),
    (".terraform.d", "credentials.tfrc.json", "credentials of Terraform"),
];

/// What a file is by its name, with the path that stands for it: that of a whole directory where all of it is meant.
pub(super) fn secret_by_name(path: &Path) -> Option<(PathBuf, &'static str)> {
    for dir in hidden_directories(path) {
        match dir.file_name().and_then(|name| name.to_str()) {
            Some(".git" | ".hg" | ".svn") => return Some((dir.to_owned(), "the history of the sources")),
            Some(".ssh") if dir != path => return Some((path.to_owned(), "a file of SSH")),
            _ => {}
        }
    }
    let (above, name) = split(path)?;
    let extension = extension(name);
    let what = match name {
        ".env" | ".envrc" => "variables that may be secret",
        // `production.env`, but not `example.env`
        _ if extension == "env" && !EXAMPLES.iter().any(|example| is_word_of(example, name)) => {
            "variables that may be secret"
        }
        _ if name.starts_with(".env.") && !EXAMPLES.contains(&extension) => "variables that may be secret",
        _ if SSH_KEYS.contains(&name) => "a private key of SSH",
        _ if PASSWORDS.contains(&name) => "passwords",
        "application_default_credentials.json" => "credentials of Google Cloud",
        "kubeconfig" | "kubeconfig.yaml" | "kubeconfig.yml" => "credentials of a cluster",
        _ if extension == "kubeconfig" => "credentials of a cluster",
        _ if extension == "tfstate" => "the state of Terraform, secrets included",
        _ if matches!(extension, "p12" | "pfx" | "jks" | "keystore") => "a store of keys",
        _ => credentials(above, name)?,
    };
    Some((path.to_owned(), what))
}

/// What a file is by its name and that of the directory that it lies in.
fn credentials(above: &[u8], name: &str) -> Option<&'static str> {
    let is_in = |dir: &str| above.strip_suffix(dir.as_bytes()).is_some_and(|above| above.ends_with(b"/"));
    CREDENTIALS.iter().find(|(dir, file, _)| *file == name && is_in(dir)).map(|(_, _, what)| *what)
}

/// Whether a name has such a word between its dots and dashes.
fn is_word_of(word: &str, name: &str) -> bool {
    name.split(|letter: char| !letter.is_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
}

/// A path and the directories above it, as long as something hidden is in it: most paths have nothing, and there are many.
fn hidden_directories(path: &Path) -> impl Iterator<Item = &Path> {
    let has_hidden = |path: &Path| path.as_os_str().as_bytes().windows(2).any(|bytes| bytes == b"/.");
    path.ancestors().take_while(move |path| has_hidden(path))
}

/// The directory and the name of a file; `None` for a name that is no text.
fn split(path: &Path) -> Option<(&[u8], &str)> {
    let bytes = path.as_os_str().as_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/')?;
    Some((&bytes[..slash], std::str::from_utf8(&bytes[slash + 1..]).ok()?))
}

/// What follows the last dot of a name, other than one it begins with.
fn extension(name: &str) -> &str {
    name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map_or("", |(_, extension)| extension)
}

/// Whether the name of a file of a package gives reason to look into it.
pub(super) fn is_suspicious(path: &Path) -> bool {
    let Some((above, name)) = split(path) else { return false };
    let is_one_of = |all: &[&str], it: &str| all.iter().any(|other| other.eq_ignore_ascii_case(it));
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_data = || is_one_of(&["json", "yml", "yaml", "toml", "ini", "conf", "txt"], extension);
    let tells_of_secrets = || {
        let name = name.to_ascii_lowercase();
        ["credential", "secret", "service-account", "serviceaccount"].iter().any(|it| name.contains(it))
    };
    name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(".env"))
        || is_one_of(&[".npmrc", ".yarnrc", ".yarnrc.yml", ".dockercfg", ".dockerconfigjson", "credentials"], name)
        || is_one_of(&["pem", "key", "p8", "ppk", "asc"], extension)
        || is_data() && tells_of_secrets()
        || name == "config.json" && above.ends_with(b"/.docker")
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
            ("of a directory that ends so", "/app/my.aws/credentials", None),
            ("of Google Cloud", "/root/.config/gcloud/credentials.db", Some("/root/.config/gcloud/credentials.db")),
            ("a database of that name", "/app/credentials.db", None),
            ("of a cluster", "/root/.kube/config", Some("/root/.kube/config")),
            ("a configuration", "/app/config", None),
            ("of a cluster, by another name", "/app/prod.kubeconfig", Some("/app/prod.kubeconfig")),
            ("code about these", "/app/dist/kubeconfig.js", None),
            ("variables by a name in front", "/app/production.env", Some("/app/production.env")),
            ("an example by a name in front", "/app/production.example.env", None),
            ("code about variables", "/app/dist/env.js", None),
            ("variables for direnv", "/app/.envrc", Some("/app/.envrc")),
            ("another history", "/app/.hg/store/data", Some("/app/.hg")),
            ("the state of Terraform", "/app/terraform.tfstate", Some("/app/terraform.tfstate")),
            ("of MySQL", "/root/.my.cnf", Some("/root/.my.cnf")),
            ("code", "/app/dist/keystore.js", None),
        ];
        for (comment, path, expected) in table {
            let found = secret_by_name(Path::new(path)).map(|(path, _)| path);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{comment}");
        }
    }
}
