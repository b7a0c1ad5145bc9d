//! Files that installers write anew each time, with times, absolute paths or the host's name in them. They are no part
//! of a package, so they are left out; a file of the same name anywhere else is kept.

use std::path::Path;

/// Whether `path`, relative to the root of a package, is written by node-gyp for the machine it ran on. What it built
/// lies beside (`build/Release/*.node`) and is kept.
/// Source: node-gyp's generator writes these beside its `build/config.gypi`.
pub(super) fn is_volatile(path: &Path) -> bool {
    let Ok(below_build) = path.strip_prefix("build") else { return false };
    let name = below_build.to_str().unwrap_or_default();
    match name {
        "config.gypi" | "Makefile" | "binding.Makefile" | "gyp-mac-tool" => true,
        "Release/.deps" | "Release/obj.target" | "Release/obj" | "node_gyp_bins" => true,
        _ => !name.contains('/') && name.ends_with(".target.mk"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_places_only() {
        let table = [
            ("build/config.gypi", true),
            ("build/Makefile", true),
            ("build/bcrypt_lib.target.mk", true),
            ("build/Release/.deps", true),
            ("build/Release/bcrypt_lib.node", false),
            ("src/build/config.gypi", false),
            ("config.gypi", false),
            ("Makefile", false),
            ("build/deep/x.target.mk", false),
            ("build", false),
        ];
        for (path, expected) in table {
            assert_eq!(is_volatile(Path::new(path)), expected, "{path}");
        }
    }
}
