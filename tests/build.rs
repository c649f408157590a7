//! Builds the eBPF programs that measure the filter, when the feature `bench` asks for them.
//!
//! The product's own build script does the work, so there is one account of how eBPF is built here. An ordinary build
//! of this crate builds nothing for the kernel.
#[expect(dead_code, reason = "its own entry point")]
#[path = "../geofence-user/build.rs"]
mod product;

fn main() -> anyhow::Result<()> {
    if std::env::var_os("CARGO_FEATURE_BENCH").is_some() {
        product::build(&["bench"])?;
    }
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
