pub mod digest;
pub mod path;
pub mod platform;
pub mod manifest;
pub mod registry;
