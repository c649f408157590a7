//! The rule that no file of a crate imports another one that imports it in turn, directly or by way of others.
//!
//! Nodes are files. An arrow leads from a file to the file that defines what it names: by `use`, or by a path in its
//! code. `mod child;` alone is no arrow. Tests do not count.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::shortest_circles;
use super::modules::Crate;
use crate::tidy::finding::{Finding, finding};

/// How many names a finding shows for each arrow.
const NAMES_MAX: usize = 4;

/// An arrow between two files.
struct Arrow<'a> {
    names: BTreeSet<&'a str>,
    line: usize,
}

/// Finds the circles of one crate.
pub(super) fn check(modules: &Crate) -> Vec<Finding> {
    let uses = modules.uses();
    let mut arrows: BTreeMap<(usize, usize), Arrow<'_>> = BTreeMap::new();
    let mut graph: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for one in &uses {
        graph.entry(one.from).or_default().insert(one.to);
        let arrow = arrows.entry((one.from, one.to)).or_insert(Arrow {
            names: BTreeSet::new(),
            line: one.line,
        });
        arrow.names.insert(&one.name);
    }
    let circles = shortest_circles(&graph);
    let circles = circles.iter().map(|circle| {
        let first = circle[0];
        let mut way = modules.path(first).to_owned();
        let next = circle.iter().skip(1).chain([&first]);
        for (from, to) in circle.iter().zip(next) {
            let names = names(&arrows[&(*from, *to)].names);
            way.push_str(&format!(" -> {} ({names})", modules.path(*to)));
        }
        let line = arrows[&(first, *circle.get(1).unwrap_or(&first))].line;
        let rule = format!("circle of imports: {way}");
        finding(modules.path(first), line, &rule)
    });
    circles.collect()
}

fn names(names: &BTreeSet<&str>) -> String {
    let mut shown: Vec<&str> = names.iter().copied().take(NAMES_MAX).collect();
    if names.len() > NAMES_MAX {
        shown.push("...");
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (format!("x/src/{path}"), (*text).to_owned()))
            .collect();
        super::super::check(&files)
            .iter()
            .map(Finding::to_string)
            .collect()
    }

    #[test]
    fn two_files_that_import_each_other_are_refused() {
        assert_eq!(
            found(&[
                ("lib.rs", "mod a;\nmod b;\n"),
                ("a.rs", "\nuse crate::b::{B, C};\npub struct A;\n"),
                (
                    "b.rs",
                    "pub struct B(super::a::A);\npub struct C;\nfn f() { crate::a::g() }\n"
                ),
            ]),
            [
                "x/src/a.rs:2: circle of imports: x/src/a.rs -> x/src/b.rs (B, C) -> x/src/a.rs (A, g)"
            ]
        );
    }

    #[test]
    fn a_circle_of_three_is_refused_once() {
        assert_eq!(
            found(&[
                ("main.rs", "mod a;\nmod b;\nmod c;\n"),
                ("a.rs", "use crate::b;\nfn f() { b::f() }\n"),
                ("b/mod.rs", "use super::c::*;\n"),
                ("c.rs", "pub(crate) use crate::{a::f as g, std::fmt};\n"),
            ])
            .len(),
            1
        );
    }

    #[test]
    fn a_child_that_uses_its_face_closes_a_circle() {
        for child in [
            "use super::A;\n",
            "fn f(a: super::A) {}\n",
            "mod inner { use super::super::A; }\n",
        ] {
            let face = "mod child;\npub(crate) use child::f;\npub struct A;\n";
            let found = found(&[
                ("lib.rs", "mod a;\n"),
                ("a/mod.rs", face),
                ("a/child.rs", child),
            ]);
            assert_eq!(found.len(), 1, "{child}: {found:?}");
        }
    }

    #[test]
    fn a_re_export_does_not_hide_a_circle() {
        let found = found(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a/mod.rs", "mod one;\npub use self::one::*;\n"),
            ("a/one.rs", "use crate::b::B;\npub struct One;\n"),
            ("b/mod.rs", "mod two;\npub use two::{B, C as D};\n"),
            (
                "b/two.rs",
                "use crate::a::One;\npub struct B;\npub struct C;\n",
            ),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("x/src/a/one.rs -> x/src/b/two.rs (B)"),
            "{found:?}"
        );
    }

    #[test]
    fn imports_that_run_one_way_are_kept() {
        let kept = found(&[
            ("lib.rs", "mod a;\nmod b;\npub use a::A;\n"),
            // The face collects what its children define, and a child uses its sibling through the face.
            (
                "a/mod.rs",
                "mod one;\nmod two;\npub use one::A;\nuse std::fmt;\n#[cfg(test)]\nmod tests;\n",
            ),
            ("a/one.rs", "use super::fmt;\npub struct A;\n"),
            ("a/two.rs", "use super::A;\nuse crate::b::B;\n"),
            ("a/tests.rs", "use super::*;\n"),
            (
                "b.rs",
                "pub struct B;\n// use crate::a;\n#[cfg(test)]\nmod tests { use crate::a::A; }\n",
            ),
        ]);
        assert!(kept.is_empty(), "{kept:?}");
    }

    #[test]
    fn a_macro_at_the_root_leads_to_its_file() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use b::B;\n"),
            ("a.rs", "#[macro_export]\nmacro_rules! hide { () => {} }\n"),
            ("b.rs", "pub struct B;\nfn f() { crate::hide!() }\n"),
        ];
        assert!(found(&files).is_empty());
    }

    #[test]
    fn files_named_by_a_path_attribute_count() {
        let found = found(&[
            (
                "bin/tool.rs",
                "#[path = \"../tool/a.rs\"]\nmod a;\n#[path = \"../tool/b.rs\"]\nmod b;\n",
            ),
            ("tool/a.rs", "use crate::b::B;\npub struct A;\n"),
            ("tool/b.rs", "use crate::a::A;\npub struct B;\n"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
