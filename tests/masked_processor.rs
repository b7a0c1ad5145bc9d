//! The same bytes on processors that know fewer instructions: hashes and compressors choose their code by the processor,
//! and some compressors choose other matches with it.
//!
//! The program runs under qemu's user emulation, which shows it the processor asked for.

mod harness;

use std::collections::BTreeMap;

use harness::build::Build;
use harness::layout::validate;
use harness::workspace::TestWorkspace;

const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vendor-fixtures/base");

/// Without AVX2 and BMI2; without AVX; without SSE4 and everything after it.
const PROCESSORS: [&str; 3] = ["SandyBridge", "Nehalem", "core2duo"];

#[test]
fn digests_do_not_depend_on_the_processor() {
    if !harness::program::are_installed(&["qemu-x86_64"]) || !cfg!(target_arch = "x86_64") {
        return harness::skip("`qemu-x86_64` cannot show the program another processor");
    }
    // Source code compresses as source code does; noise and zeros are what it does not look like.
    let code = include_str!("../src/layer/pack.rs").repeat(40);
    let workspace = TestWorkspace::new(&[
        ("package.json", r#"{ "name": "web", "main": "server.js", "dependencies": { "left": "1.0.0" } }"#),
        ("server.js", "require('left')"),
        ("node_modules/left/package.json", r#"{ "name": "left", "version": "1.0.0" }"#),
        ("node_modules/left/index.js", &code),
    ])
    .with_noise("node_modules/left/noise.bin", 300_000)
    .with_zeros("node_modules/left/zeros.bin", 300_000);
    for compression in ["gzip", "zstd"] {
        let native = digests(&workspace, compression, "native", &[]);
        for processor in PROCESSORS {
            let masked = digests(&workspace, compression, processor, &["qemu-x86_64", "-cpu", processor]);
            assert_eq!(masked, native, "{compression} on {processor}");
        }
    }
}

/// The digests of a build with nothing cached, through `wrapper`.
fn digests(
    workspace: &TestWorkspace,
    compression: &str,
    processor: &str,
    wrapper: &[&str],
) -> BTreeMap<String, String> {
    let place = workspace.beside(&format!("{compression}-{processor}"));
    let build = Build::of(&workspace.root(), &place.join("cache"))
        .base(&format!("oci:{BASE}"))
        .with("--platform", "linux/amd64")
        .with("--compression", compression)
        .into_layout(&place.join("images"));
    let report = if wrapper.is_empty() { build.run() } else { build.through(wrapper).run() };
    validate(&place.join("images"));
    report.digests()
}
