//! The modules of one crate: which file holds each, and which file a path in the code leads to.
//!
//! A re-export leads to the file that defines the item, so a face that only collects what its children define is not
//! part of a circle.

use std::collections::{BTreeMap, HashMap};

use super::paths::{Contents, Named, contents};

/// How many imports are followed from name to definition before the search ends at the module it has reached.
const STEPS_MAX: usize = 16;

/// The path of a module below the root of its crate.
type ModulePath = Vec<String>;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Module(ModulePath),
    /// An item of this name in the file of this index.
    Item(usize, String),
    /// Another crate, a type parameter or a local name.
    Elsewhere,
}

#[derive(Default)]
struct Module {
    file: usize,
    /// Where each imported name comes from.
    imports: BTreeMap<String, Vec<Named>>,
    globs: Vec<Named>,
}

/// The modules of a crate.
pub(super) struct Crate {
    files: Vec<(String, Contents)>,
    modules: HashMap<ModulePath, Module>,
    /// The module that each file opens with.
    homes: Vec<ModulePath>,
}

/// One use of another file's item or module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) name: String,
    pub(super) line: usize,
}

impl Crate {
    /// Reads the crate whose root is this file, following `mod` declarations.
    pub(super) fn read(root: &str, texts: &BTreeMap<&str, &str>) -> Self {
        let mut read = Self {
            files: Vec::new(),
            modules: HashMap::new(),
            homes: Vec::new(),
        };
        read.add(root, Vec::new(), directory(root), texts);
        read
    }

    /// Adds a file and what it declares; `below` is the directory of its children.
    fn add(&mut self, path: &str, home: ModulePath, below: &str, texts: &BTreeMap<&str, &str>) {
        let Some(text) = texts.get(path) else {
            return;
        };
        let file = self.files.len();
        let contents = contents(text);
        let children = contents.children.clone();
        self.module(home.clone(), file);
        for child in children.iter().filter(|child| child.is_inline) {
            let inner = [&home[..], &child.scope, std::slice::from_ref(&child.name)].concat();
            self.module(inner, file);
        }
        for import in &contents.imports {
            let module = [&home[..], &import.named.scope].concat();
            let module = self.module(module, file);
            if import.name == "*" {
                module.globs.push(import.named.clone());
            } else {
                let from = module.imports.entry(import.name.clone()).or_default();
                from.push(import.named.clone());
            }
        }
        self.files.push((path.to_owned(), contents));
        self.homes.push(home.clone());
        for child in children.iter().filter(|child| !child.is_inline) {
            let name = &child.name;
            let inner = [&home[..], &child.scope, std::slice::from_ref(name)].concat();
            let mut place = below.to_owned();
            for scope in &child.scope {
                place = join(&place, scope);
            }
            let candidates = match &child.path {
                Some(named) => vec![join(directory(path), named)],
                None => vec![
                    join(&place, &format!("{name}.rs")),
                    join(&place, &format!("{name}/mod.rs")),
                ],
            };
            let found = candidates
                .iter()
                .find(|path| texts.contains_key(path.as_str()));
            if let Some(found) = found.filter(|_| name != "tests") {
                let below = match child.path {
                    Some(_) => directory(found).to_owned(),
                    None => join(&place, name),
                };
                self.add(found, inner, &below, texts);
            }
        }
    }

    fn module(&mut self, path: ModulePath, file: usize) -> &mut Module {
        self.modules.entry(path).or_insert_with(|| Module {
            file,
            ..Module::default()
        })
    }

    /// The path of a file.
    pub(super) fn path(&self, file: usize) -> &str {
        &self.files[file].0
    }

    /// Everything that a file uses of another one.
    pub(super) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (from, (_, contents)) in self.files.iter().enumerate() {
            let imports = contents.imports.iter().map(|import| &import.named);
            for named in imports.chain(&contents.paths) {
                let (to, name) = match self.resolve(&self.homes[from], named, 0) {
                    Target::Module(module) => {
                        let name = module.last().map_or("crate", String::as_str);
                        (self.modules[&module].file, name.to_owned())
                    }
                    Target::Item(file, name) => (file, name),
                    Target::Elsewhere => continue,
                };
                if to != from {
                    let line = named.line;
                    uses.push(Use {
                        from,
                        to,
                        name,
                        line,
                    });
                }
            }
        }
        uses
    }

    /// Follows a path that stands in the file whose module this is.
    fn resolve(&self, home: &[String], named: &Named, steps: usize) -> Target {
        let mut module = [home, &named.scope].concat();
        let mut rest = named.path.as_slice();
        let mut is_relative = true;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" if is_relative => module.clear(),
                "self" if is_relative => {}
                "super" => {
                    module.pop();
                }
                _ => break,
            }
            is_relative = false;
            rest = after;
        }
        if is_relative {
            let first = rest.first().map_or("", String::as_str);
            match self.find(&module, first, steps) {
                None => return Target::Elsewhere,
                Some(target) => {
                    return self.descend(target, rest.get(1..).unwrap_or_default(), steps);
                }
            }
        }
        self.descend(Target::Module(module), rest, steps)
    }

    /// Follows the rest of a path from where its first part led.
    fn descend(&self, from: Target, rest: &[String], steps: usize) -> Target {
        let mut target = from;
        for name in rest {
            let Target::Module(module) = &target else {
                break;
            };
            let Some(held) = self.modules.get(module) else {
                return Target::Elsewhere;
            };
            target = self
                .find(module, name, steps)
                .unwrap_or_else(|| Target::Item(held.file, name.clone()));
        }
        match &target {
            Target::Module(module) if !self.modules.contains_key(module) => Target::Elsewhere,
            Target::Module(_) | Target::Item(..) | Target::Elsewhere => target,
        }
    }

    /// Finds what a name means in a module: a child, an import, an item, or a name that a glob brings.
    fn find(&self, path: &[String], name: &str, steps: usize) -> Option<Target> {
        let module = self.modules.get(path)?;
        let child = [path, &[name.to_owned()]].concat();
        if self.modules.contains_key(&child) {
            return Some(Target::Module(child));
        }
        let (_, contents) = &self.files[module.file];
        let home = &self.homes[module.file];
        if steps < STEPS_MAX
            && let Some(imports) = module.imports.get(name)
        {
            // `use name::Other as name` and a macro's `pub(crate) use name` name what the file itself defines.
            let is_own = |named: &Named| named.path == [name] && contents.items.contains(name);
            return Some(match imports.iter().find(|named| !is_own(named)) {
                Some(named) => self.resolve(home, named, steps + 1),
                None => Target::Item(module.file, name.to_owned()),
            });
        }
        if contents.items.contains(name) {
            return Some(Target::Item(module.file, name.to_owned()));
        }
        if steps < STEPS_MAX {
            for glob in &module.globs {
                if let Target::Module(from) = self.resolve(home, glob, steps + 1)
                    && from != path
                    && let Some(found) = self.find(&from, name, steps + 1)
                {
                    return Some(found);
                }
            }
        }
        let is_root = path.is_empty();
        let exporter = self
            .files
            .iter()
            .position(|(_, contents)| is_root && contents.exported_macros.contains(name));
        exporter.map(|file| Target::Item(file, name.to_owned()))
    }
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Joins a directory and a relative path, taking out `..`.
fn join(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = directory
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}
