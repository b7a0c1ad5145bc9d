use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::program;

/// Something on this machine that is no directory.
#[derive(Debug)]
pub enum Found {
    File(PathBuf),
    /// With its target.
    Symlink(String),
}

/// The files and links below `dir`, by path relative to it, without its `node_modules`.
pub fn files(dir: &Path) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    walk(dir, "", &mut found);
    found
}

fn walk(dir: &Path, below: &str, found: &mut BTreeMap<String, Found>) {
    for entry in fs::read_dir(dir.join(below)).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let entry = entry.expect("a directory can be read to its end");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().expect("a kind can be asked for");
        if path == "node_modules" {
            continue;
        }
        if kind.is_dir() {
            walk(dir, &path, found);
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).expect("a link can be read");
            found.insert(path, Found::Symlink(target.into_os_string().into_string().expect("targets are UTF-8")));
        } else {
            found.insert(path, Found::File(entry.path()));
        }
    }
}

/// The packages right below a `node_modules`, by name, with their package.json. Links do not count.
pub fn packages(node_modules: &Path) -> BTreeMap<String, Value> {
    let directories = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())).flatten();
        let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let names = directories(node_modules).into_iter().flat_map(|name| match name.starts_with('@') {
        true => directories(&node_modules.join(&name)).into_iter().map(|inner| format!("{name}/{inner}")).collect(),
        false => vec![name],
    });
    let package_json = |name: &str| fs::read(node_modules.join(name).join("package.json")).ok();
    names
        .filter_map(|name| {
            let json = serde_json::from_slice(&package_json(&name)?).expect("a package.json is JSON");
            Some((name, json))
        })
        .collect()
}

/// Copies a directory with the times, modes and links it has; with `hard_links`, its files are the same ones.
pub fn copy(from: &Path, to: &Path, hard_links: bool) {
    fs::create_dir_all(to.parent().expect("a copy lies in a directory")).expect("a directory can be made");
    program::run(Command::new("cp").arg(if hard_links { "-al" } else { "-a" }).arg(from).arg(to));
}
