//! What is typed of images to build, to check and to ask about.

use std::num::NonZero;
use std::path::PathBuf;

use clap::Args;

use crate::build::{BuildRequest, NoPackageName, PackageQuery};
use crate::config::{PackagesFrom, UnknownPackages};
use crate::manifest::Format;
use crate::manifest::media_type::Compression;
use crate::path::HostPath;
use crate::platform::Platform;
use crate::transfer::Medium;

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

    /// Ask registries what the names of bases stand for now, and say where that is not what pirogue.lock has
    #[arg(long)]
    pub online: bool,

    /// Print notes too, and what could not be followed
    #[arg(short, long)]
    pub verbose: bool,
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

    /// Leave out of packages what the services cannot reach
    #[arg(long)]
    pub trace: bool,

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
            trace: self.trace.then_some(true),
            explain: false,
            locked: self.locked,
            fix_natives: (self.fix_natives || self.no_fix_natives).then_some(self.fix_natives),
            check: None,
            online: false,
        }
    }
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
