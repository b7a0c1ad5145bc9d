//! Configuration in which every password is known by its key.

use serde_json::Value;

use super::keys::decoded;
use super::tokens::Secret;

/// `{"auths":` in base64, as Kubernetes has logins to registries of images.
pub(super) const IN_BASE64: &str = "eyJhdXRocyI6";
/// The same as docker itself writes it, with a line for each key.
pub(super) const INDENTED_IN_BASE64: &str = "ewoJImF1dGhzIj";

/// Logins to registries of images, in base64.
pub(super) fn in_base64(text: &[u8]) -> Option<Secret> {
    /// Logins to a hundred registries are shorter.
    const MOST: usize = 64 << 10;
    has_image_registry_password(&decoded(text, MOST)).then_some(Secret::ImageRegistry)
}

/// What configuration of package managers holds: `_authToken=…` in an `.npmrc`, `npmAuthToken: …` in a `.yarnrc.yml`. The
/// line, counted from 1. A variable is no secret.
pub(super) fn in_package_configuration(text: &[u8]) -> Option<u32> {
    const KEYS: [&str; 5] = ["_authToken", "_auth", "_password", "npmAuthToken", "npmAuthIdent"];
    let text = String::from_utf8_lossy(text);
    let is_secret = |line: &str| {
        if has_login(line) {
            return Some(());
        }
        let (key, value) = line.split_once(['=', ':']).map(|(key, value)| match key.trim().starts_with("//") {
            // `//registry.npmjs.org/:_authToken=…`
            true => line.rsplit_once(":_").and_then(|(_, rest)| rest.split_once('=')).unwrap_or((key, value)),
            false => (key, value),
        })?;
        let key = key.trim().trim_matches('"');
        let value = value.trim().trim_matches(['"', '\'']);
        let is_key = KEYS.iter().any(|known| key == *known || known.strip_prefix('_') == Some(key));
        (is_key && !value.is_empty() && !value.contains("${")).then_some(())
    };
    let line = text.lines().position(|line| is_secret(line).is_some())?;
    u32::try_from(line + 1).ok()
}

/// Whether it is the configuration of a client of registries with a password in it.
pub(super) fn has_image_registry_password(text: &[u8]) -> bool {
    let Ok(json) = serde_json::from_slice::<Value>(text) else { return false };
    let has_password = |auth: &Value| {
        let is_filled = |key| auth.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        ["auth", "password", "identitytoken", "registrytoken"].into_iter().any(is_filled)
    };
    let auths = json.get("auths").unwrap_or(&json);
    auths.as_object().is_some_and(|auths| auths.values().any(has_password))
}

/// What yarn 1 keeps in a `.yarnrc`: `"//npm.example/:_authToken" abcdef`. The line, counted from 1.
pub(super) fn in_yarnrc(text: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(text);
    let is_secret = |line: &str| {
        let line = line.trim_start();
        let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let (key, value) = (key.trim_matches('"'), value.trim().trim_matches('"'));
        let is_key = [":_authToken", ":_auth", ":_password"].iter().any(|end| key.ends_with(end));
        (is_key && !value.is_empty() && !value.contains("${")) || (!key.starts_with('#') && has_login(value))
    };
    let line = text.lines().position(is_secret)?;
    u32::try_from(line + 1).ok()
}

/// What bun keeps in a `bunfig.toml`: `token` and `password` of registries. `$NAME` is a variable.
pub(super) fn in_bunfig(text: &[u8]) -> bool {
    let Ok(Ok(document)) = std::str::from_utf8(text).map(str::parse::<toml_edit::DocumentMut>) else { return false };
    let Some(install) = document.get("install").and_then(toml_edit::Item::as_table_like) else { return false };
    let scopes = install.get("scopes").and_then(toml_edit::Item::as_table_like);
    let registries = scopes.into_iter().flat_map(|scopes| scopes.iter().map(|(_, registry)| registry));
    registries.chain(install.get("registry")).any(|registry| {
        let is_filled = |key: &str| {
            let value = registry.get(key).and_then(toml_edit::Item::as_str);
            value.is_some_and(|value| !value.is_empty() && !value.contains('$'))
        };
        is_filled("token") || is_filled("password") || registry.as_str().is_some_and(has_login)
    })
}

/// Whether a URL with a password stands in a text: `https://ann:secret@npm.example/`.
fn has_login(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '"', '\'', ' ']).next().unwrap_or(rest);
    let password = authority.rsplit_once('@').and_then(|(login, _)| login.split_once(':'));
    password.is_some_and(|(_, password)| !password.is_empty() && !password.contains('$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yarn_1() {
        let table = [
            ("a token", "\"//npm.example/:_authToken\" \"abcdef\"", true),
            ("a variable", "\"//npm.example/:_authToken\" \"${NPM_TOKEN}\"", false),
            ("a password in a URL", "registry \"https://ann:secret@npm.example/\"", true),
            ("a URL", "registry \"https://npm.example/\"", false),
            ("a URL with a user", "registry \"https://ann@npm.example/\"", false),
            ("something else", "lastUpdateCheck 1510000000000", false),
        ];
        for (comment, text, expected) in table {
            assert_eq!(in_yarnrc(format!("# yarn\n{text}\n").as_bytes()), expected.then_some(2), "{comment}");
        }
    }

    #[test]
    fn bun() {
        let table = [
            (
                "a token of a scope",
                "[install.scopes]\n'@acme' = { token = 'abcdef', url = 'https://npm.example' }",
                true,
            ),
            ("a variable", "[install.scopes]\n'@acme' = { token = '$NPM_TOKEN', url = 'https://npm.example' }", false),
            ("a password", "[install.registry]\nurl = 'https://npm.example'\nusername = 'a'\npassword = 'b'", true),
            ("in a URL", "[install]\nregistry = 'https://ann:secret@npm.example'", true),
            ("a URL", "[install]\nregistry = 'https://npm.example'", false),
            ("a token of something else", "[test]\ntoken = 'abcdef'", false),
            ("no TOML", "[", false),
        ];
        for (comment, text, expected) in table {
            assert_eq!(in_bunfig(text.as_bytes()), expected, "{comment}");
        }
    }
}
