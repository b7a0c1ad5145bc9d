//! What can be typed. Types only; what they mean is in `commands`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::build::{BuildRequest, NoPackageName, PackageQuery};
use crate::config::{PackagesFrom, UnknownPackages};
use crate::manifest::Format;
use crate::manifest::media_type::Compression;
use crate::path::HostPath;
use crate::platform::Platform;
use crate::transfer::{CopyRequest, Medium, Place, PlaceError};

/// Minimal, reproducible OCI images of Node.js workspaces: one for each service, no Docker, no root, no RUN.
#[derive(Debug, Parser)]
#[command(name = "pirogue", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the images of a workspace's services and bring them to a registry or a directory
    Build(BuildAndCheck),
    /// Look whether the images would start; make none
    Check(Check),
    /// Print which layers the images would have, and what lies in them; make none
    Plan(Build),
    /// Say why the image of a service has a package, what it costs there, and who else has it
    Why(Why),
    /// Show a registry a user and a password, and keep them for later runs if it takes them
    Login(Login),
    /// Forget the user and the password for a registry
    Logout {
        /// The registry, such as ghcr.io or registry.example.com:5000
        #[arg(value_name = "HOST[:PORT]")]
        host: String,
    },
    /// Renew what pirogue.lock says of bases, or see which images lie on old ones
    Base {
        /// What to do.
        #[command(subcommand)]
        command: Base,
    },
    /// Move images that were pushed to another base, without their sources
    Rebase(Rebase),
    /// Copy an image between registries, layouts and archives, byte for byte
    Copy(Copy),
    /// Ask what a registry can do
    Registry {
        /// What to ask.
        #[command(subcommand)]
        command: Registry,
    },
    /// Look at what earlier builds left for later ones, or remove it
    Cache {
        /// What to do with it.
        #[command(subcommand)]
        command: Cache,
    },
}

/// `pirogue login`
#[derive(Debug, Args)]
pub struct Login {
    /// The registry, such as ghcr.io or registry.example.com:5000
    #[arg(value_name = "HOST[:PORT]")]
    pub host: String,

    /// The user
    #[arg(short, long, value_name = "NAME")]
    pub user: String,

    /// Read the password, or a token in its place, from standard input [default: ask for it on the terminal]
    #[arg(long)]
    pub password_stdin: bool,
}

/// `pirogue copy`
#[derive(Debug, Args)]
pub struct Copy {
    /// Where the image is: `HOST/REPOSITORY[:TAG][@DIGEST]`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
    /// `docker-archive:FILE[:REF]` or `docker-daemon:REF`
    #[arg(value_name = "SOURCE")]
    pub source: String,

    /// Where it goes, written the same way
    #[arg(value_name = "TARGET")]
    pub target: String,

    /// Of an index, the image for this platform alone, such as linux/arm64 [default: all of them]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// Copy what refers to the image too: signatures, SBOMs, attestations
    #[arg(long)]
    pub referrers: bool,

    /// Print what was done as one JSON document
    #[arg(long)]
    pub json: bool,

    /// Remember nothing: work in a temporary directory instead of the cache
    #[arg(long)]
    pub no_cache: bool,
}

impl Copy {
    /// The request that was typed.
    pub fn request(&self) -> Result<CopyRequest, PlaceError> {
        let here = HostPath::new("");
        Ok(CopyRequest {
            source: Place::parse(&self.source, &here)?,
            target: Place::parse_target(&self.target, &here)?,
            platform: self.platform.clone(),
            referrers: self.referrers,
        })
    }
}

/// `pirogue build`
#[derive(Debug, Args)]
pub struct BuildAndCheck {
    /// What to build.
    #[command(flatten)]
    pub build: Build,

    /// Do not look whether the images will start
    #[arg(long)]
    pub no_check: bool,
}

/// `pirogue check`
#[derive(Debug, Args)]
pub struct Check {
    /// What to look at.
    #[command(flatten)]
    pub build: Build,

    /// Print the findings in SARIF 2.1.0, for tools that review code
    #[arg(long, conflicts_with = "json")]
    pub sarif: bool,

    /// Print notes too, and what could not be followed
    #[arg(short, long)]
    pub verbose: bool,
}

/// `pirogue registry`
#[derive(Debug, Subcommand)]
pub enum Registry {
    /// Try out what a registry supports and whether you may push; leave nothing behind
    Check {
        /// The repository, `HOST/REPOSITORY`
        #[arg(value_name = "HOST/REPOSITORY")]
        repository: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// `pirogue base`
#[derive(Debug, Subcommand)]
pub enum Base {
    /// Resolve bases again, write pirogue.lock, and say what changed
    Update(BaseUpdate),
    /// Say which bases the images lie on that were pushed, against pirogue.lock and against the bases' tags
    Status(BaseStatus),
}

/// `pirogue base update`
#[derive(Debug, Args)]
pub struct BaseUpdate {
    /// The bases, as pirogue.toml names them [default: all]
    #[arg(value_name = "BASE")]
    pub bases: Vec<String>,

    /// The root of the workspace
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// The platforms whose images are looked into [default: those of the images]
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    pub platforms: Vec<Platform>,

    /// Say what would change, and leave pirogue.lock as it is
    #[arg(long)]
    pub dry_run: bool,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

impl BaseUpdate {
    /// The request that was typed.
    pub fn request(&self) -> BuildRequest {
        BuildRequest { dir: HostPath::new(&self.dir), platforms: self.platforms.clone(), ..BuildRequest::default() }
    }
}

/// `pirogue base status`
#[derive(Debug, Args)]
pub struct BaseStatus {
    /// The services, by name, package name or directory [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,

    /// The root of the workspace
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// Where the images were pushed: `HOST[:PORT]/PREFIX`; may be repeated [default: `to` in pirogue.toml]
    #[arg(long = "to", value_name = "DEST")]
    pub destinations: Vec<String>,

    /// A tag of the images; may be repeated [default: latest]
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

impl BaseStatus {
    /// The request that was typed.
    pub fn request(&self) -> BuildRequest {
        BuildRequest {
            dir: HostPath::new(&self.dir),
            services: self.services.clone(),
            destinations: self.destinations.clone(),
            tags: self.tags.clone(),
            ..BuildRequest::default()
        }
    }
}

/// `pirogue rebase`
#[derive(Debug, Args)]
pub struct Rebase {
    /// The services, by name; or their images, `HOST/REPOSITORY[:TAG]` [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,

    /// The directory of pirogue.toml and pirogue.lock, if there are any
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// The base that they move to [default: what a build would take now, by pirogue.toml and pirogue.lock; else what the name
    /// of their own stands for]
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,

    /// Where the images were pushed: `HOST[:PORT]/PREFIX`; may be repeated [default: `to` in pirogue.toml]
    #[arg(long = "to", value_name = "DEST")]
    pub destinations: Vec<String>,

    /// A tag of the images; may be repeated [default: latest]
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,

    /// The platforms that the images are for then [default: all that they are for]
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    pub platforms: Vec<Platform>,

    /// Check everything and say what would be done, but push nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

impl Rebase {
    /// The request that was typed.
    pub fn request(&self) -> BuildRequest {
        BuildRequest {
            dir: HostPath::new(&self.dir),
            services: self.services.clone(),
            base: self.base.clone(),
            destinations: self.destinations.clone(),
            tags: self.tags.clone(),
            platforms: self.platforms.clone(),
            ..BuildRequest::default()
        }
    }
}

/// `pirogue cache`
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Print where the cache is and what it holds
    Info {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Remove what was not used for long, and the oldest of what is too much
    Gc {
        /// How much stays at most, such as 500M or 10G
        #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = bytes)]
        max_size: u64,
        /// How many days something stays without being used
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        max_age: u64,
    },
    /// Remove everything
    Clear,
}

/// A number of bytes, with k, M or G for thousands, millions and thousands of millions.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| "not a size such as 500M or 10G".to_owned())
}

fn packages(text: &str) -> Result<PackagesFrom, String> {
    text.parse().map_err(|error: UnknownPackages| error.to_string())
}

fn package(text: &str) -> Result<PackageQuery, String> {
    text.parse().map_err(|error: NoPackageName| error.to_string())
}

/// There is no more to name.
fn nothing(_: &str) -> Result<String, String> {
    Err("one service and one package are enough".to_owned())
}

/// `pirogue why`: whatever `pirogue build` takes, for the image would be what that builds.
#[derive(Debug, Args)]
#[command(mut_arg("services", |services| services.hide(true).value_parser(nothing)))]
pub struct Why {
    /// The service, by name, package name or directory
    #[arg(value_name = "SERVICE")]
    pub service: String,

    /// The package
    #[arg(value_name = "PACKAGE[@VERSION]", value_parser = package)]
    pub package: PackageQuery,

    /// How the image would be built.
    #[command(flatten)]
    pub build: Build,
}

/// What `pirogue build`, `plan` and `check` are about.
#[derive(Debug, Args)]
pub struct Build {
    /// The services, by name, package name or directory [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,

    /// The root of the workspace
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// The base image: a reference, or `oci:DIR[:TAG]` [default: node:20-alpine]
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,

    /// Where the images go: `HOST[:PORT]/PREFIX`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:PREFIX]` or
    /// `docker-daemon:[PREFIX]`; may be repeated [default: oci:images in the workspace]
    #[arg(long = "to", value_name = "DEST")]
    pub destinations: Vec<String>,

    /// Load the images into Docker or podman on this machine: short for `--to docker-daemon:`
    #[arg(long)]
    pub load: bool,

    /// A tag of the images; may be repeated [default: latest]
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,

    /// Fail if pirogue.lock lacks a base, or would change
    #[arg(long)]
    pub locked: bool,

    /// The platform of the images, such as linux/arm64; several, separated by commas or repeated, give an index over an image
    /// for each [default: linux and this machine's processor]
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    pub platforms: Vec<Platform>,

    /// How layers are compressed: gzip, zstd or none [default: gzip]
    #[arg(long, value_name = "COMPRESSION")]
    pub compression: Option<Compression>,

    /// The format of the images: oci, or docker (version 2, schema 2), which podman reads health checks from [default: oci]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Where packages come from: installed, or the lockfile alone [default: installed]
    #[arg(long, value_name = "FROM", value_parser = packages)]
    pub packages: Option<PackagesFrom>,

    /// Take native code that the base cannot load from the lockfile's packages, where they have what fits [default: only
    /// with --packages lockfile]
    #[arg(long, overrides_with = "no_fix_natives")]
    pub fix_natives: bool,

    /// Take no native code from elsewhere
    #[arg(long)]
    pub no_fix_natives: bool,

    /// Where the lockfile's packages are fetched instead of their registries: a directory of tarballs, or a registry's URL
    #[arg(long, value_name = "DIR|URL")]
    pub npm_mirror: Option<String>,

    /// Fetch no package: what the lockfile names has to be in the cache, or in a mirror that is a directory
    #[arg(long)]
    pub offline: bool,

    /// Leave types, source maps, documentation and tests out of packages
    #[arg(long)]
    pub slim: bool,

    /// Print the report as one JSON document
    #[arg(long)]
    pub json: bool,

    /// Remember nothing: work in a temporary directory instead of the cache
    #[arg(long)]
    pub no_cache: bool,

    /// How many requests go to one registry at a time, whatever registries.toml says; fewer once it says that they are too
    /// many [default: 4]
    #[arg(long, value_name = "N")]
    pub connections: Option<NonZero<usize>>,

    /// How many threads pack; the result does not depend on it [default: the number of cores]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZero<usize>>,
}

impl Build {
    /// The request that was typed.
    pub fn request(&self) -> BuildRequest {
        let local = self.load.then(|| Medium::Daemon.prefix().to_owned());
        BuildRequest {
            dir: HostPath::new(&self.dir),
            services: self.services.clone(),
            base: self.base.clone(),
            destinations: self.destinations.iter().cloned().chain(local).collect(),
            tags: self.tags.clone(),
            platforms: self.platforms.clone(),
            compression: self.compression,
            format: self.format,
            packages: self.packages,
            slim: self.slim.then_some(true),
            explain: false,
            locked: self.locked,
            fix_natives: (self.fix_natives || self.no_fix_natives).then_some(self.fix_natives),
            check: None,
        }
    }
}
