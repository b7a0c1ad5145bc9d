//! **pirogue** turns a compiled Node.js workspace into minimal, reproducible OCI images, one for each service, and brings
//! them to a registry: no Docker daemon, no root, no `RUN`.
//!
//! # Vocabulary
//!
//! The words of the OCI specifications mean what they mean there: descriptor, digest, diff ID, manifest, index, config,
//! layer, blob, platform, layout, reference, tag, repository, mount. So do Node's: workspace, member, specifier,
//! hoisting, production, development, optional and peer dependency. pirogue's own:
//!
//! - **service**: a member that runs; one image is built of it.
//! - **dependency closure**: the installed packages and members a service needs, each with the **reason** why; what was
//!   considered and left out is an **exclusion**.
//! - **plan**: every decision about images, with no byte written.
//! - **fragment**: the entries of one package, the unit of packing. A layer is a run of fragments.
//! - **check**: tell from the plan whether an image would start; what is wrong is a **finding**.
//! - **pack**, **assemble**, **deliver**: make the layers' bytes, put the documents together, bring both to their place.
//!
//! # Pipeline
//!
//! [`build::build`] reads as the list of its steps.
//!
//! # Modules
//!
//! From the top: [`cli`] and [`commands`] (what is typed and shown), [`build`] (the pipeline), [`transfer`] (images between
//! places), the edges [`registry`], [`npm_registry`], [`apk_repository`], [`layout`], [`store`], the pure [`check`], [`closure`], [`layer`],
//! [`image`], [`workspace`], [`lock`], [`config`], [`apk`], [`manifest`], [`native`], [`javascript`], and the vocabulary [`digest`], [`path`],
//! [`platform`], [`http`]. A test holds who may import whom.

pub mod apk;
pub mod apk_repository;
pub mod build;
pub mod cancel;
pub mod check;
pub mod cli;
pub mod closure;
pub mod commands;
pub mod config;
pub mod digest;
pub mod environment;
pub mod host;
pub mod http;
pub mod image;
pub mod javascript;
pub mod layer;
pub mod layout;
pub mod lock;
pub mod manifest;
pub mod native;
pub mod npm_registry;
pub mod path;
pub mod platform;
pub mod progress;
pub mod registry;
pub mod report;
pub mod store;
pub mod transfer;
pub mod workspace;
