pub mod cancel;
pub mod closure;
pub mod digest;
mod host;
pub mod layer;
pub mod manifest;
pub mod path;
pub mod platform;
pub mod workspace;
