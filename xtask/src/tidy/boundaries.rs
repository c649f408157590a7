//! The rules on what only some files may contain: unsafe code, and the name of aya.

use super::finding::{Finding, finding, matches};
use super::source::{code_only, has_word};

/// Where unsafe code may be. The compiler refuses it in a file that does not opt in; this list limits the opt-ins.
const UNSAFE_FILES: [&str; 12] = [
    "geofence-common/src/maps.rs",
    "geofence-ebpf/src/*",
    "geofence-user/build.rs",
    "geofence-user/src/kernel/batch.rs",
    "geofence-user/src/kernel/image_map.rs",
    "geofence-user/src/kernel/link_calls.rs",
    "geofence-user/src/kernel/records.rs",
    "geofence-user/src/os/memory.rs",
    "tests/src/bpf.rs",
    "tests/src/packet_socket.rs",
    "tests/src/supervisor.rs",
    "tests/src/tun.rs",
];

/// Where files may be opened without a bound: the module for the files that a configuration names, what reads /proc and
/// /sys, and what reads a capture for one command.
const READING_FILES: [&str; 10] = [
    "geofence-user/src/os/input.rs",
    "geofence-user/src/os/name_servers.rs",
    "geofence-user/src/kernel/*",
    "geofence-user/src/os/memory_limit.rs",
    "geofence-user/src/os/privilege/*",
    "geofence-user/src/checks/doctor/*",
    "geofence-user/src/checks/lockout/*",
    "geofence-user/src/prepare/clock.rs",
    // The login of a process.
    "geofence-user/src/daemon/runtime_exceptions/audit_log.rs",
    "geofence-user/src/cli/explain/*",
];

/// Calls that open a file whatever it is and read it whatever its length.
const UNBOUNDED_READS: [&str; 3] = ["fs::read(", "fs::read_to_string(", "File::open("];

/// Checks one Rust file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let may_be_unsafe = UNSAFE_FILES.iter().any(|pattern| matches(pattern, path));
    let may_name_aya =
        !path.starts_with("geofence-user/") || path.starts_with("geofence-user/src/kernel/");
    let mut may_read = !path.starts_with("geofence-user/src/")
        || path.contains("/tests")
        || READING_FILES.iter().any(|pattern| matches(pattern, path));
    for (number, code) in (1..).zip(code_only(text).lines()) {
        // Tests come last in a file.
        may_read |= code.starts_with("mod tests");
        if !may_read && UNBOUNDED_READS.iter().any(|call| code.contains(call)) {
            let rule = "a file is opened without a bound: use os::input";
            findings.push(finding(path, number, rule));
        }
        if !may_be_unsafe && has_word(code, "unsafe") {
            let rule = "unsafe code outside the files that may contain it";
            findings.push(finding(path, number, rule));
        }
        if !may_name_aya && names_aya(code) {
            let rule = "aya is named outside geofence-user/src/kernel";
            findings.push(finding(path, number, rule));
        }
    }
    findings
}

fn names_aya(code: &str) -> bool {
    code.match_indices("aya::")
        .any(|(at, _)| has_word(&code[..at + "aya".len()], "aya"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::assert_one;

    #[test]
    fn unsafe_code_is_refused_outside_its_files() {
        let code = "\nfn f() {\n    unsafe { g() }\n}\n";
        assert_one(
            &check("geofence-common/src/packet.rs", code),
            "geofence-common/src/packet.rs:3: unsafe code outside",
        );
        assert_one(
            &check("geofence-user/src/kernels.rs", code),
            "geofence-user/src/kernels.rs:3: unsafe",
        );
        for path in [
            "geofence-common/src/maps.rs",
            "geofence-ebpf/src/maps.rs",
            "geofence-user/src/kernel/batch.rs",
        ] {
            assert!(check(path, code).is_empty(), "{path}");
        }
    }

    #[test]
    fn files_are_read_through_one_module() {
        let code = "\nfn f() {\n    let text = fs::read_to_string(path);\n}\n";
        assert_one(
            &check("geofence-user/src/daemon/trial.rs", code),
            "geofence-user/src/daemon/trial.rs:3: a file is opened without a bound",
        );
        for path in [
            "geofence-user/src/os/input.rs",
            "geofence-user/src/kernel/bpffs.rs",
        ] {
            assert!(check(path, code).is_empty(), "{path}");
        }
        let in_tests = format!("mod tests {{{code}}}");
        assert!(check("geofence-user/src/daemon/trial.rs", &in_tests).is_empty());
    }

    #[test]
    fn a_sentence_about_unsafe_code_is_kept() {
        let talk = "// unsafe\n#![deny(unsafe_code)]\nconst A: &str = \"unsafe { }\";\n";
        assert!(check("geofence-common/src/packet.rs", talk).is_empty());
    }

    #[test]
    fn aya_is_refused_outside_the_kernel_module() {
        let code = "\nuse aya::Ebpf;\n";
        for path in ["geofence-user/src/report.rs", "geofence-user/src/kernel.rs"] {
            assert_one(&check(path, code), &format!("{path}:2: aya is named"));
        }
        for path in [
            "geofence-user/src/kernel/attach.rs",
            "geofence-common/src/maps.rs",
        ] {
            assert!(check(path, code).is_empty(), "{path}");
        }
        let talk = "// aya::Ebpf\nuse maya::Calendar;\n";
        assert!(check("geofence-user/src/report.rs", talk).is_empty());
    }
}
