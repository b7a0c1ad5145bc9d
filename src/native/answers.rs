//! What of a base's libraries decided how native code was judged.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::BaseLibraries;
use super::fit::{lacking_version, musl_has, offered_versions};

/// What was asked of a base's libraries while native code was judged, each with whether the base has it. Where a base
/// answers all of it alike, the same code is judged alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryAnswers {
    /// Libraries and loaders, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    names: BTreeMap<String, bool>,
    /// By library, versions of its symbols: whether it is as new.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    versions: BTreeMap<String, BTreeMap<String, bool>>,
    /// Symbols of the C library.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    symbols: BTreeMap<String, bool>,
}

impl LibraryAnswers {
    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What another base answers.
    pub fn of(&self, base: &BaseLibraries) -> Self {
        let mut answers = Self::default();
        self.names.keys().for_each(|name| _ = answers.has_library(base, name));
        for (library, versions) in &self.versions {
            versions.keys().for_each(|version| _ = answers.is_as_new(base, library, version));
        }
        self.symbols.keys().for_each(|symbol| _ = answers.has_symbol(base, symbol));
        answers
    }

    /// What other answers are the contrary, in words, with whether it is there in them.
    pub fn contrary(&self, others: &Self) -> Vec<(String, bool)> {
        let (said, other) = (self.in_words(), others.in_words());
        said.into_iter()
            .filter_map(|(what, was)| Some((*other.get(&what)?, what)).filter(|(is, _)| *is != was))
            .map(|(is, what)| (what, is))
            .collect()
    }

    fn in_words(&self) -> BTreeMap<String, bool> {
        let names = self.names.iter().map(|(name, is)| (format!("`{name}`"), *is));
        let versions = self.versions.iter().flat_map(|(library, versions)| {
            versions.iter().map(move |(version, is)| (format!("{version} of `{library}`"), *is))
        });
        let symbols = self.symbols.iter().map(|(symbol, is)| (format!("the symbol `{symbol}`"), *is));
        names.chain(versions).chain(symbols).collect()
    }

    /// Whether a base has a library or loader of this name.
    pub(super) fn has_library(&mut self, base: &BaseLibraries, name: &str) -> bool {
        let answer = base.names.contains(name);
        self.names.insert(name.to_owned(), answer);
        answer
    }

    /// Whether a base's library has a version of symbols, or a later one of that kind.
    pub(super) fn is_as_new(&mut self, base: &BaseLibraries, library: &str, version: &str) -> bool {
        let offered = offered_versions(library, base, &BTreeSet::new());
        let answer = offered.is_none_or(|offered| lacking_version(library, version, offered).is_none());
        self.versions.entry(library.to_owned()).or_default().insert(version.to_owned(), answer);
        answer
    }

    /// Whether a base's C library has a symbol of glibc's.
    pub(super) fn has_symbol(&mut self, base: &BaseLibraries, symbol: &str) -> bool {
        let answer = base.c_library().is_some_and(|musl| musl_has(musl, symbol));
        self.symbols.insert(symbol.to_owned(), answer);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{Libc, Library};

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn base(libc: Libc, libraries: &[&str], versions: &[&str], symbols: &[&str]) -> BaseLibraries {
        let name = if libc == Libc::Musl { "libc.so" } else { "libc.so.6" };
        let described = Library { versions: names(versions), symbols: names(symbols) };
        let described = BTreeMap::from([(name.to_owned(), described)]);
        BaseLibraries { libc: Some(libc), names: names(libraries), described }
    }

    #[test]
    fn what_another_base_answers_otherwise() {
        let glibc = |libraries: &[&str], versions: &[&str]| base(Libc::Glibc, libraries, versions, &[]);
        let musl = |libraries: &[&str], symbols: &[&str]| base(Libc::Musl, libraries, &[], symbols);
        let table: [(&str, BaseLibraries, BaseLibraries, &str); 7] = [
            ("the same", glibc(&["liba.so.1"], &["GLIBC_2.34"]), glibc(&["liba.so.1"], &["GLIBC_2.34"]), ""),
            ("newer", glibc(&["liba.so.1"], &["GLIBC_2.34"]), glibc(&["liba.so.1", "libb.so"], &["GLIBC_2.36"]), ""),
            ("older", glibc(&[], &["GLIBC_2.34"]), glibc(&[], &["GLIBC_2.31"]), "GLIBC_2.34 of `libc.so.6` is false"),
            (
                "new enough now",
                glibc(&[], &["GLIBC_2.31"]),
                glibc(&[], &["GLIBC_2.36"]),
                "GLIBC_2.34 of `libc.so.6` is true",
            ),
            ("a library less", musl(&["liba.so.1"], &["open"]), musl(&[], &["open"]), "`liba.so.1` is false"),
            ("a symbol less", musl(&[], &["open"]), musl(&[], &[]), "the symbol `open64` is false"),
            ("a symbol more", musl(&[], &[]), musl(&[], &["open64"]), "the symbol `open64` is true"),
        ];
        for (comment, first, second, expected) in table {
            let mut answers = LibraryAnswers::default();
            assert!(answers.is_empty());
            answers.has_library(&first, "liba.so.1");
            match first.libc {
                Some(Libc::Musl) => answers.has_symbol(&first, "open64"),
                _ => answers.is_as_new(&first, "libc.so.6", "GLIBC_2.34"),
            };
            let told = answers.contrary(&answers.of(&second));
            let told: Vec<String> = told.iter().map(|(what, is)| format!("{what} is {is}")).collect();
            assert_eq!(told.join(", "), expected, "{comment}");
            assert!(answers.contrary(&answers.of(&first)).is_empty(), "{comment}");
            let text = serde_json::to_string(&answers).unwrap();
            assert_eq!(serde_json::from_str::<LibraryAnswers>(&text).unwrap(), answers, "{comment}");
        }
    }
}
