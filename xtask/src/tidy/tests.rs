//! Every rule of tidy with an example that breaks it and one that keeps it.

use super::*;

const PURPOSE: &str = "//! For something.\n";

/// The findings as `line: start of the rule`, for a Rust file with this text after its purpose.
fn rust(path: &str, text: &str) -> Vec<String> {
    let text = format!("{PURPOSE}{text}");
    let mut findings = text_rules(path, &text);
    findings.extend(rust_rules(path, &text));
    shown(&findings)
}

fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::to_string).collect()
}

fn assert_one(found: &[String], expected: &str) {
    assert!(
        found.len() == 1 && found[0].starts_with(expected),
        "{found:?} is not one finding {expected}"
    );
}

#[test]
fn unfinished_work_is_found_in_any_text() {
    for mark in UNFINISHED {
        let found = shown(&text_rules(
            "docs/a.md",
            &format!("fine\nwell, {mark} later\n"),
        ));
        assert_one(&found, &format!("docs/a.md:2: {mark}"));
    }
    let harmless = format!(
        "a {} list, {}X, lint {} = \"warn\"",
        concat!("to", "do"),
        concat!("XX", "X"),
        concat!("to", "do")
    );
    assert!(text_rules("docs/a.md", &harmless).is_empty());
}

#[test]
fn unsafe_code_stays_in_its_files() {
    let code = "fn f() {\n    unsafe { g() }\n}\n";
    assert_one(
        &rust("geofence-common/src/packet.rs", code),
        "geofence-common/src/packet.rs:3: unsafe code outside",
    );
    assert_one(
        &rust("geofence-user/src/kernels.rs", code),
        "geofence-user/src/kernels.rs:3: unsafe",
    );
    for path in [
        "geofence-common/src/maps.rs",
        "geofence-ebpf/src/maps.rs",
        "geofence-user/src/kernel/map.rs",
    ] {
        assert!(rust(path, code).is_empty(), "{path}");
    }
    let talk = "// unsafe\n#![deny(unsafe_code)]\nconst A: &str = \"unsafe { }\";\n";
    assert!(rust("geofence-common/src/packet.rs", talk).is_empty());
}

#[test]
fn every_file_says_what_it_is_for() {
    assert!(opens_with_purpose("//! For this.\nfn f() {}\n"));
    assert!(opens_with_purpose(
        "#![no_std]\n#![no_main]\n\n//! For this.\n"
    ));
    assert!(opens_with_purpose(
        "#![expect(\n    unsafe_code,\n    reason = \"[so]\"\n)]\n//! For this.\n"
    ));
    assert!(!opens_with_purpose("fn f() {}\n//! Late.\n"));
    assert!(!opens_with_purpose("// Not about the file.\nfn f() {}\n"));
    assert!(!opens_with_purpose(""));
    assert_one(
        &shown(&rust_rules("xtask/src/a.rs", "fn f() {}\n")),
        "xtask/src/a.rs:1: does not open",
    );
}

#[test]
fn lines_end_at_the_last_column() {
    let line = |columns: usize| format!("// {}\n", "é".repeat(columns - 3));
    assert!(rust("xtask/src/a.rs", &line(120)).is_empty());
    assert_one(
        &rust("xtask/src/a.rs", &line(121)),
        "xtask/src/a.rs:2: 121 columns",
    );
}

#[test]
fn long_files_are_split() {
    assert!(rust("xtask/src/a.rs", &"\n".repeat(599)).is_empty());
    assert_one(
        &rust("xtask/src/a.rs", &"\n".repeat(600)),
        "xtask/src/a.rs:601: 601 lines",
    );
}

#[test]
fn only_the_kernel_module_names_aya() {
    let code = "use aya::Ebpf;\n";
    assert_one(
        &rust("geofence-user/src/report.rs", code),
        "geofence-user/src/report.rs:2: aya is named",
    );
    assert!(rust("geofence-user/src/kernel.rs", code).is_empty());
    assert!(rust("geofence-user/src/kernel/attach.rs", code).is_empty());
    assert!(rust("geofence-common/src/maps.rs", code).is_empty());
    assert!(
        rust(
            "geofence-user/src/report.rs",
            "// aya::Ebpf\nuse maya::Calendar;\n"
        )
        .is_empty()
    );
}

#[test]
fn the_root_is_a_table_of_contents() {
    let paths = |list: &[&str]| {
        list.iter()
            .map(|path| (*path).to_owned())
            .collect::<Vec<_>>()
    };
    let good = paths(&[
        ".ci/run",
        "Cargo.toml",
        "LICENSE-MIT",
        "geofence-user/src/main.rs",
        "geofence-user/x/y.rs",
    ]);
    assert!(root_entries(&good).is_empty());
    let found = shown(&root_entries(&paths(&[
        "Cargo.toml",
        "notes.txt",
        "scripts/a",
        "scripts/b",
    ])));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("notes.txt:1: does not belong") && found[1].starts_with("scripts:1:"),
        "{found:?}"
    );
}

#[test]
fn the_toolchain_is_named_alike_everywhere() {
    let pinned = "[toolchain]\nchannel = \"1.95.0\"\n";
    assert!(toolchain(pinned, "\nconst TOOLCHAIN: &str = \"1.95.0\";\n").is_empty());
    let found = shown(&toolchain(
        pinned,
        "\nconst TOOLCHAIN: &str = \"1.94.0\";\n",
    ));
    assert_one(
        &found,
        "geofence-user/build.rs:2: names toolchain 1.94.0, but rust-toolchain.toml pins 1.95.0",
    );
    assert_one(
        &shown(&toolchain(pinned, "")),
        "geofence-user/build.rs:1: has no line",
    );
    assert_one(&shown(&toolchain("", "")), "rust-toolchain.toml:1:");
}

#[test]
fn files_are_found_without_git() {
    let root = workspace::root();
    let mut walked = Vec::new();
    walk(&root, &root, &mut walked).unwrap();
    assert!(walked.contains(&"xtask/src/tidy.rs".to_owned()));
    assert!(
        !walked
            .iter()
            .any(|path| path.starts_with("target/") || path.starts_with(".git/"))
    );
    let listed = files(&root).unwrap();
    assert!(listed.contains(&"xtask/src/tidy.rs".to_owned()));
}
