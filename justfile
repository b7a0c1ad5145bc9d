# Recipes for working on pirogue; `just` lists them. They only shorten what can be typed without just.

# List the recipes
default:
    @just --list --unsorted

# Format, lints and documentation, as CI checks them
check:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# All tests, or those that match: `just test layer`
test *ARGS:
    scripts/test {{ARGS}}

# Accept what the tests print and what the README promises as it is now (needs cargo-insta); then read `git diff`
bless *ARGS:
    -INSTA_UPDATE=new PIROGUE_BLESS=1 scripts/test --no-fail-fast {{ARGS}}
    cargo insta accept

# The benchmarks
bench *ARGS:
    cargo bench --locked {{ARGS}}

# Fuzz one target: `just fuzz tar_header -- -max_total_time=60` (needs nightly Rust and cargo-fuzz)
fuzz TARGET *ARGS:
    cargo +nightly fuzz run {{TARGET}} {{ARGS}}

# Build the documentation of the crate, private items too, and open it
doc:
    cargo doc --no-deps --locked --document-private-items --open
