//! Patches of the workspace on packages from the lockfile: what changes in the image, and patches that cannot be applied.

mod harness;

use harness::layout;
use harness::locked_shop::{LockedShop, base};
use harness::package_tarball::{Entry, tarball};
use harness::tarball_cache::integrity;

const INDEX: &str = "module.exports = [\n  'one',\n  'two',\n  'three',\n];\n";

/// A workspace of pnpm whose package `left` is patched so.
fn shop(patch: &str) -> LockedShop {
    let bytes = tarball(&[
        Entry::file("package/package.json", r#"{"name": "left", "version": "1.2.0"}"#),
        Entry::file("package/index.js", INDEX),
    ]);
    let lockfile = format!(
        "lockfileVersion: '9.0'\n\
         patchedDependencies:\n  left@1.2.0:\n    hash: abc\n    path: patches/left.patch\n\
         importers:\n  .: {{}}\n  apps/web:\n    dependencies:\n      left:\n        specifier: ^1.0.0\n        \
         version: 1.2.0(patch_hash=abc)\n\
         packages:\n  left@1.2.0:\n    resolution: {{integrity: {}}}\n\
         snapshots:\n  left@1.2.0(patch_hash=abc): {{}}\n",
        integrity(&bytes)
    );
    LockedShop::of(&bytes).and(&[
        (
            "package.json",
            r#"{"name": "shop", "private": true, "packageManager": "pnpm@9.15.9",
                "pnpm": {"patchedDependencies": {"left@1.2.0": "patches/left.patch"}}}"#,
        ),
        ("pnpm-workspace.yaml", "packages:\n  - apps/*\n"),
        ("pnpm-lock.yaml", &lockfile),
        ("patches/left.patch", patch),
    ])
}

/// One that makes another text of `'two'`.
fn patch_of(text: &str) -> String {
    format!(
        "diff --git a/index.js b/index.js\n--- a/index.js\n+++ b/index.js\n@@ -2,3 +2,3 @@\n   'one',\n-  'two',\n+  '{text}',\n   'three',\n"
    )
}

#[test]
fn a_patch_that_changes_changes_the_image_and_fetches_nothing() {
    let mut shop = shop(&patch_of("first"));
    for (text, more) in [("first", &[][..]), ("second", &["--offline"][..])] {
        shop = shop.and(&[("patches/left.patch", &patch_of(text))]);
        let run = shop.workspace.run(&LockedShop::arguments(&base(), more));
        assert_eq!(run.code, Some(0), "{run}");
        let images = layout::validate(&shop.workspace.root().join("images"));
        let files = &images["web"].files;
        let (left, _) = files.packages().into_iter().find(|(_, label)| label == "left@1.2.0").expect("it is there");
        let content = files.bytes(&format!("{left}/index.js")).expect("it is there");
        assert_eq!(String::from_utf8_lossy(content), INDEX.replace("two", text));
    }
    assert_eq!(shop.registry.lines().len(), 1);
}

#[test]
fn a_patch_that_cannot_be_applied() {
    let two = patch_of("patched");
    let patch = "the patch `patches/left.patch`";
    let table = [
        (
            "of another version",
            two.replace("'one'", "'zero'"),
            format!("the hunk in line 4 of {patch} fits nowhere in the file `index.js`"),
        ),
        (
            "of a file that is not there",
            two.replace("index.js", "lib.js"),
            format!("{patch} changes a file that the package does not have: `lib.js`"),
        ),
        (
            "of a file outside",
            two.replace("index.js", "../../index.js"),
            format!("line 1 of {patch} names a file whose path "),
        ),
        ("cut", two.replace("   'three',\n", ""), "line ".to_owned()),
        ("no patch", "hello\n".to_owned(), "the file is no patch: `patches/left.patch`".to_owned()),
    ];
    for (comment, text, expected) in table {
        let run = shop(&text).failed(&[]);
        assert!(run.stderr.starts_with(&format!("error: {expected}")), "{comment}: {run}");
        let first = run.stderr.lines().next().unwrap_or_default();
        assert!(first.ends_with("`left@1.2.0`"), "{comment}: {run}");
    }
}

#[test]
fn a_patch_that_is_missing() {
    let mut shop = shop("");
    shop.workspace = shop.workspace.without("patches");
    let run = shop.failed(&[]);
    assert!(run.stderr.starts_with("error: the patch of `left@1.2.0` is missing: `patches/left.patch`\n"), "{run}");
}
