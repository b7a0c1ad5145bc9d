use std::fmt::Write as _;

use toml_edit::{Key, Value};

use super::{Lock, LockedBase, VERSION};

/// What a reader of the file should know first.
const FIRST_LINE: &str = "# Written by pirogue; `pirogue base update` renews it. Keep it under version control.";

/// The one text of a lock: sorted, a line for each fact, so that a change of one fact is a change of one line.
pub(super) fn text(lock: &Lock) -> String {
    let mut text = format!("{FIRST_LINE}\nversion = {VERSION}\nrecipe = {}\n", quoted(&lock.recipe));
    for (reference, base) in &lock.bases {
        let _ = write!(
            text,
            "\n[[base]]\nreference = {}\ndigest = {}\n",
            quoted(reference),
            quoted(&base.digest.to_string())
        );
        write_base(&mut text, base);
    }
    text
}

fn write_base(text: &mut String, base: &LockedBase) {
    text.push_str("\n[base.manifests]\n");
    for (platform, manifest) in &base.manifests {
        let _ = writeln!(text, "{} = {}", Key::new(platform.to_string()), quoted(&manifest.to_string()));
    }
    let packages = base.packages.iter().flat_map(|(platform, of_it)| of_it.values().map(move |one| (platform, one)));
    for (platform, package) in packages {
        let lines = [
            ("platform", platform.to_string()),
            ("name", package.name.clone()),
            ("version", package.version.clone()),
            ("checksum", package.checksum.clone()),
        ];
        text.push_str("\n[[base.package]]\n");
        for (key, value) in lines {
            let _ = writeln!(text, "{key} = {}", quoted(&value));
        }
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> Value {
    Value::from(text)
}
