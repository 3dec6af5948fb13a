//! What each file of a crate uses of its other files: `use` lines, and paths in expressions, types, attributes and
//! macros, each resolved to the file that defines the name.
//!
//! Three things use nothing. `use` of a module: what is taken through it has a path of its own. `pub use` in a
//! folder's own file of what is inside of the folder: that is where the folder's names are listed. And code compiled
//! for tests alone.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::tree::{Found, Names, Tree, leaves};

/// One name of another file, used for the first time on `line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The modules that are the two files.
    pub from: usize,
    pub to: usize,
    pub line: usize,
    /// `b::Name`
    pub name: String,
}

/// Every use of a file by another one; each name once a file.
pub fn uses(tree: &Tree) -> Vec<Use> {
    let mut found = Vec::new();
    for (module, syntax) in &tree.files {
        let mut reader = Reader { tree, module: *module, blocks: Vec::new(), found: Vec::new() };
        reader.visit_file(syntax);
        reader.found.sort_by_key(|used| used.line);
        let mut seen = BTreeSet::new();
        found.extend(reader.found.into_iter().filter(|used| seen.insert((used.to, used.name.clone()))));
    }
    found
}

/// Walks over the syntax of one file.
struct Reader<'a> {
    tree: &'a Tree,
    module: usize,
    blocks: Vec<Names>,
    found: Vec<Use>,
}

/// Attributes whose string is a path.
const PATH_KEYS: [&str; 5] = ["with", "serialize_with", "deserialize_with", "default", "skip_serializing_if"];

impl Reader<'_> {
    fn read_path(&mut self, path: &[String], line: usize) {
        match self.tree.resolve(self.module, &self.blocks, path) {
            // A single name is a local variable as often as a module.
            Some(Found::Module(_)) if path.len() < 2 => {}
            Some(found) => self.add(found, line),
            None => {}
        }
    }

    fn add(&mut self, found: Found, line: usize) {
        let (module, item) = match found {
            Found::Module(module) => (module, None),
            Found::Item(module, item) => (module, Some(item)),
        };
        let (from, to) = (self.tree.modules[self.module].owner, self.tree.modules[module].owner);
        if from != to {
            let path = &self.tree.modules[module].path;
            let root = path.is_empty().then(|| "crate".to_string());
            let name = root.into_iter().chain(path.iter().cloned()).chain(item).collect::<Vec<_>>().join("::");
            self.found.push(Use { from, to, line, name });
        }
    }

    fn read_use(&mut self, item: &syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        for leaf in leaves(item) {
            let found = self.tree.resolve(self.module, &self.blocks, &leaf.path);
            let at = match &found {
                None => continue,
                Some(Found::Module(at) | Found::Item(at, _)) => *at,
            };
            if is_public && self.tree.is_within(at, self.module) {
                continue;
            }
            match found {
                Some(Found::Module(at)) if leaf.name == "*" && self.tree.modules[at].names.has_items() => {
                    self.add(Found::Item(at, "*".to_string()), leaf.line);
                }
                Some(found @ Found::Item(..)) => self.add(found, leaf.line),
                _ => {}
            }
        }
    }

    /// The paths in tokens that have no syntax of their own: the insides of macros and attributes. `before` is the
    /// path in front of a group (`a::{b, c}`).
    fn read_tokens(&mut self, tokens: TokenStream, before: &[String], in_attribute: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.read_tokens(group.stream(), &[], in_attribute),
                TokenTree::Literal(literal) if in_attribute && at >= 2 && is_path_key(&tokens[at - 2]) => {
                    let text = literal.to_string();
                    let path: Vec<String> = text.trim_matches('"').split("::").map(str::to_string).collect();
                    self.read_path(&path, literal.span().start().line);
                }
                TokenTree::Ident(first) => {
                    let line = first.span().start().line;
                    let begins = begins_path(&tokens[..at]) || first == "crate";
                    let (path, next, group) = path_at(&tokens, at, before);
                    match group {
                        Some(group) if begins => self.read_tokens(group, &path, in_attribute),
                        None if begins => self.read_path(&path, line),
                        _ => {}
                    }
                    at = next;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn within_block(&mut self, names: Names, walk: impl FnOnce(&mut Self)) {
        self.blocks.push(names);
        walk(self);
        self.blocks.pop();
    }
}

/// The path that begins at `tokens[at]`, where it ends, and the group of names if it ends in one.
fn path_at(tokens: &[TokenTree], mut at: usize, before: &[String]) -> (Vec<String>, usize, Option<TokenStream>) {
    let mut path = before.to_vec();
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        path.push(name.to_string());
        at += 1;
        if !(is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')) {
            return (path, at, None);
        }
        at += 2;
    }
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => (path, at + 1, Some(group.stream())),
        _ => (path, at, None),
    }
}

/// Whether an identifier after these tokens begins a path: it is no field, no method, no lifetime, no variable of a
/// macro, and nothing after `::`.
fn begins_path(before: &[TokenTree]) -> bool {
    let back = |by: usize| before.len().checked_sub(by).and_then(|at| before.get(at));
    let is_range = is_punct(back(1), '.') && is_punct(back(2), '.');
    let is_field = is_punct(back(1), '.') && !is_range;
    let is_inner = is_punct(back(1), ':') && is_punct(back(2), ':');
    !(is_field || is_inner || is_punct(back(1), '\'') || is_punct(back(1), '$'))
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_path_key(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Ident(name) if PATH_KEYS.iter().any(|key| name == key))
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, inner: &'ast syn::ItemMod) {
        if let Some((_, items)) = &inner.content {
            let outer = self.module;
            self.module = self.tree.modules[outer].children[&inner.ident.to_string()];
            items.iter().for_each(|item| self.visit_item(item));
            self.module = outer;
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.read_use(item);
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.within_block(Names::of_block(block), |reader| visit::visit_block(reader, block));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let line = path.segments[0].ident.span().start().line;
            self.read_path(&names, line);
        }
        visit::visit_path(self, path);
    }

    /// `pub(in crate::a)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.get_ident() {
            let line = name.span().start().line;
            let name = name.to_string();
            let named = self.tree.resolve(self.module, &self.blocks, std::slice::from_ref(&name));
            match (named, self.tree.macro_named(&name)) {
                (Some(found @ Found::Item(..)), _) => self.add(found, line),
                (_, Some(at)) => self.add(Found::Item(at, name), line),
                _ => {}
            }
        } else {
            self.visit_path(&call.path);
        }
        self.read_tokens(call.tokens.clone(), &[], false);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.read_tokens(list.tokens.clone(), &[], true);
    }
}
