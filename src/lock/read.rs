use std::collections::BTreeMap;

use super::{FILE_NAME, Lock, LockError, LockedBase, LockedPackage, VERSION};
use crate::config::{ConfigError, Source, Table};
use crate::digest::Digest;
use crate::platform::Platform;

/// What git puts around the two sides of a conflict. The line between them is no TOML either, but tells less.
const CONFLICT_MARKS: [&str; 2] = ["<<<<<<< ", ">>>>>>> "];

/// Reads a whole document.
pub(super) fn lock(text: &str) -> Result<Lock, LockError> {
    let is_mark = |line: &str| CONFLICT_MARKS.iter().any(|mark| line.starts_with(mark));
    if let Some(before) = text.lines().position(is_mark) {
        return Err(LockError::Conflict { line: before + 1 });
    }
    let (source, document) = Source::parse(FILE_NAME, text)?;
    let table = Table::new(&source, document.as_table(), String::new());
    let missing = |key| table.problem(key, "is missing");
    // First of all: another version may have other keys.
    match table.integer("version", i64::MAX as u64)? {
        Some(VERSION) => {}
        Some(found) => return Err(LockError::Version { found, place: table.place("version") }),
        None => return Err(missing("version").into()),
    }
    let mut lock = Lock::new(&table.text("recipe")?.ok_or_else(|| missing("recipe"))?);
    for table in table.tables("base")?.unwrap_or_default() {
        let reference = table.text("reference")?.ok_or_else(|| table.problem("reference", "is missing"))?;
        let read = base(&table)?;
        if lock.bases.insert(reference, read).is_some() {
            return Err(table.problem("reference", "stands there twice").into());
        }
        table.finish()?;
    }
    table.finish()?;
    Ok(lock)
}

fn base(table: &Table<'_>) -> Result<LockedBase, ConfigError> {
    let missing = |key: &str| table.problem("reference", format!("has no `{key}` beside it"));
    let digest = table.text("digest")?.ok_or_else(|| missing("digest"))?;
    let digest: Digest = digest.parse().map_err(|_| table.problem("digest", "is no digest"))?;
    let mut manifests = BTreeMap::new();
    if let Some(listed) = table.table("manifests")? {
        for (name, manifest) in table.texts_by_name("manifests")? {
            let platform: Platform = name.parse().map_err(|_| listed.problem(&name, "is no platform"))?;
            let manifest: Digest = manifest.parse().map_err(|_| listed.problem(&name, "has no digest"))?;
            manifests.insert(platform, manifest);
        }
    }
    if manifests.is_empty() {
        return Err(missing("manifests"));
    }
    let mut base = LockedBase::new(digest, manifests);
    for table in table.tables("package")?.unwrap_or_default() {
        let (platform, package) = package(&table, &base)?;
        let of_platform = base.packages.entry(platform).or_default();
        if of_platform.insert(package.name.clone(), package).is_some() {
            return Err(table.problem("name", "stands there twice"));
        }
        table.finish()?;
    }
    Ok(base)
}

fn package(table: &Table<'_>, base: &LockedBase) -> Result<(Platform, LockedPackage), ConfigError> {
    let name = table.text("name")?.ok_or_else(|| table.problem("name", "is missing"))?;
    let needed = |key| match table.text(key)? {
        Some(text) => Ok(text),
        None => Err(table.problem("name", format!("has no `{key}` beside it"))),
    };
    let platform: Platform = needed("platform")?.parse().map_err(|_| table.problem("platform", "is no platform"))?;
    if !base.manifests.contains_key(&platform) {
        return Err(table.problem("platform", "is none of the base's"));
    }
    Ok((platform, LockedPackage { name, version: needed("version")?, checksum: needed("checksum")? }))
}
