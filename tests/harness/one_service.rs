//! A workspace with one service, `web`, which can run with nothing but node and a package of the workspace.

use super::workspace::TestWorkspace;

/// The file that the service starts with.
pub const MAIN: &str = "apps/web/dist/main.js";

/// The workspace.
pub fn workspace() -> TestWorkspace {
    TestWorkspace::new(&[
        ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*", "packages/*"]}"#),
        ("yarn.lock", "# yarn lockfile v1\n"),
        ("packages/names/package.json", r#"{"name": "names", "version": "1.0.0", "main": "index.js", "types": "x"}"#),
        ("packages/names/index.js", "exports.it = 'names';\n"),
        (
            "apps/web/package.json",
            r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies": {"names": "1.0.0"}}"#,
        ),
        (MAIN, "console.log('web');\n"),
    ])
    .linked("node_modules/names", "../packages/names")
}
