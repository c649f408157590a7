//! What one Rust file declares and names: child modules, items, imports and the paths in its code.
//!
//! Reads tokens, not syntax trees. Items under `#[cfg(test)]` are left out. Paths inside strings and comments are not
//! seen, and neither are macros that a file uses without naming their path.

use std::collections::BTreeSet;

use crate::tidy::source::code_only;

/// A path in the code, `crate::a::b` for example, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: Vec<String>,
    /// The inline modules around it, from the outside in.
    pub(super) scope: Vec<String>,
    /// Counted from 1.
    pub(super) line: usize,
}

/// One name that a `use` declaration brings into its module; `*` for a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) named: Named,
}

/// A module declared by `mod name;` or opened by `mod name {`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) scope: Vec<String>,
    pub(super) is_inline: bool,
    /// The value of `#[path]`, if the declaration has one.
    pub(super) path: Option<String>,
}

/// What a file declares and names, its tests left out.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) children: Vec<Child>,
    pub(super) imports: Vec<Import>,
    /// Paths of two segments or more outside `use` declarations.
    pub(super) paths: Vec<Named>,
    /// Names that follow `fn`, `struct` and the like.
    pub(super) items: BTreeSet<String>,
    /// Macros that `#[macro_export]` puts at the root of the crate.
    pub(super) exported_macros: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
}

/// Reads a file.
pub(super) fn contents(text: &str) -> Contents {
    let tokens = without_tests(tokens(&code_only(text)));
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        depth: 0,
        inline: Vec::new(),
        contents: Contents::default(),
    };
    while reader.at < tokens.len() {
        reader.step();
    }
    let mut contents = reader.contents;
    for (name, path) in path_attributes(text) {
        let declared = contents.children.iter_mut();
        for child in declared.filter(|child| child.name == name && !child.is_inline) {
            child.path = Some(path.clone());
        }
    }
    contents
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, code) in (1..).zip(code.lines()) {
        let mut rest = code.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(length);
            tokens.push(Token {
                text: text.to_owned(),
                line,
            });
            rest = after.trim_start();
        }
    }
    tokens
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Leaves out every item under `#[cfg(test)]` and `#[cfg(all(test, ...))]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if is_test_attribute(&tokens[at..]) {
            at += item_length(&tokens[at..]);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn is_test_attribute(tokens: &[Token]) -> bool {
    let starts = |words: &[&str]| {
        tokens.len() >= words.len()
            && words
                .iter()
                .zip(tokens)
                .all(|(word, token)| token.text == *word)
    };
    starts(&["#", "[", "cfg", "(", "test", ")", "]"])
        || starts(&["#", "[", "cfg", "(", "all", "(", "test"])
}

/// Measures an item from its first attribute to its closing `}` or `;`.
fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    let mut in_attribute = false;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "#" if depth == 0 => in_attribute = true,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 && token.text == "}" {
                    return at + 1;
                }
                if depth == 0 && token.text == "]" && in_attribute {
                    in_attribute = false;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// The inline modules that are open, each with the depth of its braces.
    inline: Vec<(String, usize)>,
    contents: Contents,
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    fn before(&self, back: usize) -> &str {
        self.at.checked_sub(back).map_or("", |at| self.text(at))
    }

    fn scope(&self) -> Vec<String> {
        self.inline.iter().map(|(name, _)| name.clone()).collect()
    }

    fn named(&self, path: Vec<String>, line: usize) -> Named {
        Named {
            path,
            scope: self.scope(),
            line,
        }
    }

    fn step(&mut self) {
        let next = self.text(self.at + 1).to_owned();
        match self.text(self.at) {
            "{" => self.depth += 1,
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                self.inline.retain(|(_, depth)| *depth <= self.depth);
            }
            "use" if self.text(self.at + 1) != "<" => return self.declaration(),
            "mod" if is_identifier(&next) => self.module(next),
            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" => {
                self.contents.items.insert(next);
            }
            "macro_rules" => {
                let name = self.text(self.at + 2).to_owned();
                if self.is_exported_macro() {
                    self.contents.exported_macros.insert(name.clone());
                }
                self.contents.items.insert(name);
            }
            word if is_identifier(word) => return self.path(),
            _ => {}
        }
        self.at += 1;
    }

    fn is_exported_macro(&self) -> bool {
        let before = &self.tokens[self.at.saturating_sub(12)..self.at];
        let attribute = before
            .iter()
            .rposition(|token| token.text == "macro_export");
        attribute.is_some_and(|at| {
            before[at..]
                .iter()
                .all(|token| token.text != "}" && token.text != ";")
        })
    }

    fn module(&mut self, name: String) {
        let is_inline = match self.text(self.at + 2) {
            ";" => false,
            "{" => true,
            _ => return,
        };
        self.contents.children.push(Child {
            name: name.clone(),
            scope: self.scope(),
            is_inline,
            path: None,
        });
        self.at += 1;
        if is_inline {
            self.inline.push((name, self.depth + 1));
            self.depth += 1;
            self.at += 1;
        }
    }

    /// Reads a path outside a `use` declaration and skips it.
    fn path(&mut self) {
        let line = self.tokens[self.at].line;
        let is_start = !matches!(self.before(1), "::" | ".");
        // `pub(in crate::a)` says who may look, and imports nothing.
        let is_visibility = self.before(1) == "in" && self.before(2) == "(";
        let mut path = vec![self.text(self.at).to_owned()];
        self.at += 1;
        while self.text(self.at) == "::" && is_identifier(self.text(self.at + 1)) {
            path.push(self.text(self.at + 1).to_owned());
            self.at += 2;
        }
        if is_start && !is_visibility && path.len() > 1 {
            let named = self.named(path, line);
            self.contents.paths.push(named);
        }
    }

    /// Reads a `use` declaration and skips it.
    fn declaration(&mut self) {
        self.at += 1;
        self.tree(&[]);
        while self.at < self.tokens.len() && self.text(self.at) != ";" {
            self.at += 1;
        }
        self.at += 1;
    }

    /// Reads `a::b`, `a::{b, c::d}`, `a::*` or `a as b` below a prefix.
    fn tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        loop {
            let Some(token) = self.tokens.get(self.at) else {
                return;
            };
            let line = token.line;
            match token.text.as_str() {
                "::" => {
                    // A path that begins with `::` leads to another crate.
                    if path.is_empty() {
                        path.push(String::new());
                    }
                    self.at += 1;
                    continue;
                }
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(self.at), "}" | "") {
                        self.tree(&path);
                        if self.text(self.at) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "*" => {
                    self.at += 1;
                    return self.import("*".to_owned(), path, line);
                }
                "self" if !path.is_empty() => self.at += 1,
                word if is_identifier(word) => {
                    path.push(word.to_owned());
                    self.at += 1;
                }
                _ => return,
            }
            if self.text(self.at) == "::" {
                continue;
            }
            let mut name = path.last().cloned().unwrap_or_default();
            if self.text(self.at) == "as" {
                name = self.text(self.at + 1).to_owned();
                self.at += 2;
            }
            return self.import(name, path, line);
        }
    }

    fn import(&mut self, name: String, path: Vec<String>, line: usize) {
        let named = self.named(path, line);
        self.contents.imports.push(Import { name, named });
    }
}

/// Finds `#[path = "FILE"]` followed by `mod NAME;` as (NAME, FILE).
fn path_attributes(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let path = pair[0].strip_prefix("#[path = \"")?.strip_suffix("\"]")?;
        let name = pair[1].strip_suffix(';')?.rsplit_once("mod ")?.1;
        Some((name.to_owned(), path.to_owned()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(text: &str) -> Vec<(String, String)> {
        let imports = contents(text).imports.into_iter();
        imports
            .map(|import| (import.name, import.named.path.join("::")))
            .collect()
    }

    fn pair(name: &str, path: &str) -> (String, String) {
        (name.to_owned(), path.to_owned())
    }

    #[test]
    fn nested_imports_are_read_one_by_one() {
        assert_eq!(
            imports("pub(crate) use crate::{a, b::{self, c as d}, e::*};\nuse ::std::fmt;\n"),
            [
                pair("a", "crate::a"),
                pair("b", "crate::b"),
                pair("d", "crate::b::c"),
                pair("*", "crate::e"),
                pair("fmt", "::std::fmt"),
            ]
        );
    }

    #[test]
    fn paths_in_code_are_read_with_line_and_scope() {
        let text = "mod a {\n    fn f() -> super::B {\n        crate::c::d(x.e, Self::f::<crate::G>())\n    }\n}\n";
        let paths = contents(text).paths;
        let shown: Vec<_> = paths
            .iter()
            .map(|named| (named.path.join("::"), named.scope.join("::"), named.line))
            .collect();
        let row = |path: &str, line| (path.to_owned(), "a".to_owned(), line);
        assert_eq!(
            shown,
            [
                row("super::B", 2),
                row("crate::c::d", 3),
                row("Self::f", 3),
                row("crate::G", 3)
            ]
        );
    }

    #[test]
    fn tests_comments_strings_and_visibility_name_nothing() {
        for text in [
            "#[cfg(test)]\nmod tests {\n    use crate::a;\n    fn f() { crate::b::c() }\n}\n",
            "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\n",
            "#[cfg(all(test, unix))]\nuse crate::{a, b};\n",
            "// crate::a\n/* use crate::b; */\nconst C: &str = \"crate::c\";\n",
            "pub(in crate::a) fn f() {}\n",
        ] {
            let contents = contents(text);
            assert!(
                contents.imports.is_empty()
                    && contents.paths.is_empty()
                    && contents.children.is_empty(),
                "{text}: {contents:?}"
            );
        }
        let after = "#[cfg(test)]\nfn f() {}\nuse crate::a;\n";
        assert_eq!(imports(after), [pair("a", "crate::a")]);
    }

    #[test]
    fn children_items_and_macros_are_declared() {
        let text = "#[path = \"../x.rs\"]\npub mod a;\nmod b { pub mod c; }\nstruct D;\n\
                    #[macro_export]\nmacro_rules! e { () => { $crate::f::g() } }\nmod h;\n";
        let contents = contents(text);
        let children: Vec<_> = contents
            .children
            .iter()
            .map(|child| (child.name.as_str(), child.scope.join("::"), child.is_inline))
            .collect();
        assert_eq!(
            children,
            [
                ("a", String::new(), false),
                ("b", String::new(), true),
                ("c", "b".to_owned(), false),
                ("h", String::new(), false),
            ]
        );
        assert_eq!(contents.children[0].path.as_deref(), Some("../x.rs"));
        assert!(contents.items.contains("D"));
        assert!(contents.exported_macros.contains("e"));
        assert_eq!(contents.paths[0].path.join("::"), "crate::f::g");
    }
}
