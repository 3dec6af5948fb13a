//! The module tree of one crate and the meaning of its paths: which module defines what `crate::a::Name` names.
//!
//! A path is followed through `use` and `pub use`, renames and globs, to the module that defines its last name. What
//! leads out of the crate has no meaning here. A name that a macro makes is unknown, so its path ends at the deepest
//! module that exists. Items compiled for tests alone are not part of the tree.

use std::collections::{BTreeMap, BTreeSet};

use super::syntax::parse;

/// The sources of a crate: the text of each file below `src/`, under its path there (`a/mod.rs`).
pub type Sources = BTreeMap<String, String>;

/// A `use` of one name: `use a::{b as c}` is the path `a::b` under the name `c`.
pub struct Leaf {
    pub path: Vec<String>,
    pub name: String,
    pub line: usize,
}

/// The names that a module or a block declares.
#[derive(Default)]
pub struct Names {
    items: BTreeSet<String>,
    imports: BTreeMap<String, Vec<Vec<String>>>,
    globs: Vec<Vec<String>>,
}

/// A module: a file, or an inline module, which belongs to the file it is written in.
pub struct Module {
    pub path: Vec<String>,
    pub file: String,
    /// The module that is the file.
    pub owner: usize,
    pub parent: Option<usize>,
    pub children: BTreeMap<String, usize>,
    pub names: Names,
}

/// What a path names.
#[derive(Debug, PartialEq)]
pub enum Found {
    Module(usize),
    /// An item, with the module that defines it.
    Item(usize, String),
}

/// A crate's modules; the first one is its root.
pub struct Tree {
    pub modules: Vec<Module>,
    /// The syntax of each file, with the module that it is.
    pub files: Vec<(usize, syn::File)>,
    /// `macro_rules!` are found by their names alone, wherever they are.
    macros: BTreeMap<String, usize>,
}

/// Look-ups in progress: a name that leads back to itself is not found that way.
type Going = Vec<(usize, usize, String)>;

impl Tree {
    /// The tree below `root`, which is `lib.rs` or `main.rs`.
    pub fn new(sources: &Sources, root: &str) -> Tree {
        let mut tree = Tree { modules: Vec::new(), files: Vec::new(), macros: BTreeMap::new() };
        tree.add_file(sources, root, None, Vec::new());
        tree
    }

    fn add_file(&mut self, sources: &Sources, file: &str, parent: Option<usize>, path: Vec<String>) -> usize {
        let text = sources.get(file).unwrap_or_else(|| panic!("no file {file} for module {}", path.join("::")));
        let syntax = parse(file, text);
        let module = self.modules.len();
        self.modules.push(Module {
            path,
            file: file.to_string(),
            owner: module,
            parent,
            children: BTreeMap::new(),
            names: Names::default(),
        });
        self.add_items(sources, module, &syntax.items, &folder_of(file));
        self.files.push((module, syntax));
        module
    }

    fn add_items(&mut self, sources: &Sources, module: usize, items: &[syn::Item], folder: &str) {
        for item in items {
            if let syn::Item::Mod(inner) = item {
                let name = inner.ident.to_string();
                let child = self.add_module(sources, module, inner, folder);
                self.modules[module].children.entry(name).or_insert(child);
                continue;
            }
            if let syn::Item::Macro(syn::ItemMacro { ident: Some(name), .. }) = item {
                self.macros.insert(name.to_string(), module);
            }
            self.modules[module].names.add(item);
        }
    }

    fn add_module(&mut self, sources: &Sources, parent: usize, inner: &syn::ItemMod, folder: &str) -> usize {
        let name = inner.ident.to_string();
        let mut path = self.modules[parent].path.clone();
        path.push(name.clone());
        let Some((_, items)) = &inner.content else {
            let beside = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
            let file = beside.iter().find(|file| sources.contains_key(*file)).unwrap_or(&beside[0]);
            return self.add_file(sources, file, Some(parent), path);
        };
        let module = self.modules.len();
        let (file, owner) = (self.modules[parent].file.clone(), self.modules[parent].owner);
        let (children, names) = (BTreeMap::new(), Names::default());
        self.modules.push(Module { path, file, owner, parent: Some(parent), children, names });
        self.add_items(sources, module, items, &format!("{folder}{name}/"));
        module
    }

    /// What `path` means in `module`, inside of `blocks` with names of their own (outermost first).
    pub fn resolve(&self, module: usize, blocks: &[Names], path: &[String]) -> Option<Found> {
        self.follow(module, blocks, path, false, &mut Vec::new())
    }

    /// The module that defines the macro `name`.
    pub fn macro_named(&self, name: &str) -> Option<usize> {
        self.macros.get(name).copied()
    }

    /// Whether `module` is `ancestor` or below it.
    pub fn is_within(&self, module: usize, ancestor: usize) -> bool {
        std::iter::successors(Some(module), |m| self.modules[*m].parent).any(|m| m == ancestor)
    }

    /// `leads_on` where something follows after `path`, which then means a module rather than a function of its name.
    fn follow(
        &self,
        module: usize,
        blocks: &[Names],
        path: &[String],
        leads_on: bool,
        going: &mut Going,
    ) -> Option<Found> {
        let (first, mut rest) = path.split_first()?;
        let mut found = match first.as_str() {
            "crate" => Found::Module(0),
            "self" => Found::Module(module),
            "super" => Found::Module(self.modules[module].parent?),
            name => self.first_name(module, blocks, name, leads_on || !rest.is_empty(), going)?,
        };
        while let (Found::Module(at), Some((name, after))) = (&found, rest.split_first()) {
            let at = *at;
            found = match name.as_str() {
                "super" => Found::Module(self.modules[at].parent?),
                "self" => Found::Module(at),
                name => {
                    let found = self.in_module(at, name, leads_on || !after.is_empty(), going);
                    found.unwrap_or(Found::Item(at, name.to_string()))
                }
            };
            rest = after;
        }
        Some(found)
    }

    /// The first name of a path: of the innermost block that has it, or else of the module.
    fn first_name(
        &self,
        module: usize,
        blocks: &[Names],
        name: &str,
        leads_on: bool,
        going: &mut Going,
    ) -> Option<Found> {
        for depth in (0..blocks.len()).rev() {
            let found = self.in_names(module, &blocks[..=depth], &blocks[depth], name, leads_on, going);
            if found.is_some() {
                return found;
            }
        }
        self.in_module(module, name, leads_on, going)
    }

    /// `name` in `module`.
    fn in_module(&self, module: usize, name: &str, leads_on: bool, going: &mut Going) -> Option<Found> {
        let child = || self.modules[module].children.get(name).map(|child| Found::Module(*child));
        if let (true, Some(found)) = (leads_on, child()) {
            return Some(found);
        }
        self.in_names(module, &[], &self.modules[module].names, name, leads_on, going).or_else(child)
    }

    fn in_names(
        &self,
        module: usize,
        blocks: &[Names],
        names: &Names,
        name: &str,
        leads_on: bool,
        going: &mut Going,
    ) -> Option<Found> {
        if names.items.contains(name) {
            return Some(Found::Item(module, name.to_string()));
        }
        let key = (module, blocks.len(), name.to_string());
        if going.contains(&key) {
            return None;
        }
        going.push(key);
        let imports = names.imports.get(name).into_iter().flatten();
        let found = imports.flat_map(|path| self.follow(module, blocks, path, leads_on, going)).next();
        let found = found.or_else(|| {
            names.globs.iter().find_map(|glob| match self.follow(module, blocks, glob, true, going)? {
                Found::Module(at) => self.in_module(at, name, leads_on, going),
                Found::Item(..) => None,
            })
        });
        going.pop();
        found
    }
}

impl Names {
    /// The names that the items among `statements` declare.
    pub fn of_block(block: &syn::Block) -> Names {
        let mut names = Names::default();
        for statement in &block.stmts {
            if let syn::Stmt::Item(item) = statement {
                names.add(item);
            }
        }
        names
    }

    /// Whether there is anything but modules and names from elsewhere.
    pub fn has_items(&self) -> bool {
        !self.items.is_empty()
    }

    fn add(&mut self, item: &syn::Item) {
        let name = match item {
            syn::Item::Use(item) => return leaves(item).into_iter().for_each(|leaf| self.add_import(leaf)),
            syn::Item::ForeignMod(block) => {
                let functions = block.items.iter().filter_map(|item| match item {
                    syn::ForeignItem::Fn(function) => Some(function.sig.ident.to_string()),
                    _ => None,
                });
                return self.items.extend(functions);
            }
            syn::Item::Const(item) => &item.ident,
            syn::Item::Enum(item) => &item.ident,
            syn::Item::Fn(item) => &item.sig.ident,
            syn::Item::Static(item) => &item.ident,
            syn::Item::Struct(item) => &item.ident,
            syn::Item::Trait(item) => &item.ident,
            syn::Item::Type(item) => &item.ident,
            syn::Item::Union(item) => &item.ident,
            syn::Item::Macro(syn::ItemMacro { ident: Some(ident), .. }) => ident,
            _ => return,
        };
        self.items.insert(name.to_string());
    }

    fn add_import(&mut self, leaf: Leaf) {
        match leaf.name.as_str() {
            "*" => self.globs.push(leaf.path),
            _ => self.imports.entry(leaf.name).or_default().push(leaf.path),
        }
    }
}

/// The names that a `use` brings in; a glob has the name `*`. Paths that begin with `::` lead out of the crate.
pub fn leaves(item: &syn::ItemUse) -> Vec<Leaf> {
    let mut found = Vec::new();
    if item.leading_colon.is_none() {
        add_leaves(&item.tree, &[], &mut found);
    }
    found
}

fn add_leaves(tree: &syn::UseTree, before: &[String], found: &mut Vec<Leaf>) {
    let with = |ident: &syn::Ident| match ident.to_string() {
        name if name == "self" && !before.is_empty() => before.to_vec(),
        name => before.iter().cloned().chain([name]).collect(),
    };
    match tree {
        syn::UseTree::Path(path) => add_leaves(&path.tree, &with(&path.ident), found),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| add_leaves(tree, before, found)),
        syn::UseTree::Glob(glob) => {
            let line = glob.star_token.spans[0].start().line;
            found.push(Leaf { path: before.to_vec(), name: "*".to_string(), line });
        }
        syn::UseTree::Name(leaf) => {
            let path: Vec<String> = with(&leaf.ident);
            let name = path.last().cloned().unwrap_or_default();
            found.push(Leaf { path, name, line: leaf.ident.span().start().line });
        }
        syn::UseTree::Rename(leaf) => {
            let line = leaf.ident.span().start().line;
            found.push(Leaf { path: with(&leaf.ident), name: leaf.rename.to_string(), line });
        }
    }
}

/// The folder in which a file's modules are: its own for `mod.rs` and the root, one of its name for any other.
fn folder_of(file: &str) -> String {
    let (folder, name) = file.rsplit_once('/').map_or((String::new(), file), |(f, name)| (format!("{f}/"), name));
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder,
        name => format!("{folder}{}/", name.trim_end_matches(".rs")),
    }
}
