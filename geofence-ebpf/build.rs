//! Tells the linker, which generates the code, what the kernel's processors can do.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The machines geofence runs on read unaligned words at once, and so does the verifier let programs do there
    // (CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS). Without it an address is read, moved and compared byte by byte.
    println!("cargo:rustc-link-arg=--cpu-features=+allows-misaligned-mem-access");
}
