//! What can be typed. Types only; what they mean is in `commands`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::build::BuildRequest;
use crate::manifest::media_type::Compression;
use crate::path::HostPath;
use crate::platform::Platform;

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
    Build(Build),
}

/// `pirogue build`
#[derive(Debug, Args)]
pub struct Build {
    /// The services, by name, package name or directory [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,

    /// The root of the workspace
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// The base image: a reference, or oci:DIR[:TAG] [default: node:20-alpine]
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,

    /// Where the images go: HOST[:PORT]/PREFIX or oci:DIR[:TAG]; may be repeated [default: oci:images in the workspace]
    #[arg(long = "to", value_name = "DEST")]
    pub destinations: Vec<String>,

    /// A tag of the images; may be repeated [default: latest]
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,

    /// The platform of the images, such as linux/arm64 [default: linux and this machine's processor]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// How layers are compressed: gzip, zstd or none [default: gzip]
    #[arg(long, value_name = "COMPRESSION")]
    pub compression: Option<Compression>,

    /// Print the report as one JSON document
    #[arg(long)]
    pub json: bool,

    /// Remember nothing: work in a temporary directory instead of the cache
    #[arg(long)]
    pub no_cache: bool,

    /// How many threads pack; the result does not depend on it [default: the number of cores]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZero<usize>>,
}

impl Build {
    /// The request that was typed.
    pub fn request(&self) -> BuildRequest {
        BuildRequest {
            dir: HostPath::new(&self.dir),
            services: self.services.clone(),
            base: self.base.clone(),
            destinations: self.destinations.clone(),
            tags: self.tags.clone(),
            platform: self.platform.clone(),
            compression: self.compression,
        }
    }
}
