//! What is typed of bases, and of images that were pushed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::build::BuildRequest;
use crate::path::HostPath;
use crate::platform::Platform;

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
