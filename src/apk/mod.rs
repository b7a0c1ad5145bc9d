//! Packages of Alpine, without apk: from what a base says of its packages, an index and packages' files to a layer that
//! holds what `apk add` would have installed. Nothing is run.
//!
//! Everything that is used is vouched for: the index by the signature of a key that the base has, a package by the checksum
//! that the index has of its control segment, its files by the hash that the control segment has of them.
//!
//! Sources: the Alpine wiki, "Apk spec"; the manual of apk-tools (apk-package(5), apk-world(5), apk-repositories(5)).

mod checksum;
mod database;
mod dependency;
mod error;
mod index;
mod layer;
mod package_file;
mod records;
mod resolve;
mod segment;
mod signature;
mod signed_index;
mod version;

pub use checksum::Checksum;
pub use database::{Installed, InstalledPackage};
pub use dependency::Dependency;
pub use error::ApkError;
pub use index::{Package, Provided, parse_index};
pub use layer::{AddedPackage, SystemLayer};
pub use package_file::{DataEntry, DataKind, PackageFile};
pub use records::{BaseRecords, RECORDS, RepositoryLine};
pub use resolve::{ChosenPackage, PinnedPackage, Repository, resolve};
pub use signature::PublicKey;
pub use signed_index::signed_index;
pub use version::Version;
