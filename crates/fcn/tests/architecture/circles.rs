//! Circles between the files of a crate, and between the folders at each level, with the names that tie them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::tree::{Module, Tree};
use super::uses::{Use, uses};

/// Nodes are files, or files and folders side by side; an edge holds the uses that make it, each as a sentence.
#[derive(Default)]
pub struct Graph {
    edges: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// A strongly connected component of two nodes or more.
pub struct Circle {
    pub members: BTreeSet<String>,
    /// The edges inside, those of the shortest circle first: the sentences.
    pub ties: Vec<String>,
    /// The nodes of the shortest circle, in order.
    pub shortest: Vec<String>,
}

impl Graph {
    fn add(&mut self, from: String, to: String, tie: String) {
        self.edges.entry(to.clone()).or_default();
        self.edges.entry(from).or_default().entry(to).or_default().push(tie);
    }

    /// The nodes on a shortest way from `from` to `to`, both included, through at least one edge.
    fn way<'a>(&'a self, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
        let mut queue = VecDeque::from([vec![from]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = queue.pop_front() {
            for next in self.edges.get(*way.last()?)?.keys() {
                let longer: Vec<&str> = way.iter().copied().chain([next.as_str()]).collect();
                if next == to {
                    return Some(longer);
                }
                if seen.insert(next) {
                    queue.push_back(longer);
                }
            }
        }
        None
    }

    /// All circles. No file is in two of them.
    pub fn circles(&self) -> Vec<Circle> {
        let mut found: Vec<Circle> = Vec::new();
        for node in self.edges.keys() {
            if found.iter().any(|circle| circle.members.contains(node)) || self.way(node, node).is_none() {
                continue;
            }
            let others = self.edges.keys().filter(|other| *other != node);
            let mutual = others.filter(|other| self.way(node, other).is_some() && self.way(other, node).is_some());
            found.push(self.circle(mutual.chain([node]).cloned().collect()));
        }
        found
    }

    fn circle(&self, members: BTreeSet<String>) -> Circle {
        let mut edges = Vec::new();
        for from in &members {
            for (to, ties) in self.edges[from].iter().filter(|(to, _)| members.contains(*to)) {
                let back = self.way(to, from).unwrap_or_default();
                edges.push((back.len(), back.iter().map(|node| node.to_string()).collect::<BTreeSet<_>>(), ties, back));
            }
        }
        edges.sort();
        let closed = |back: &Vec<&str>| back.iter().rev().take(1).chain(back).map(|node| node.to_string()).collect();
        let shortest = edges.first().map(|(.., back)| closed(back));
        let ties = edges.iter().flat_map(|(_, _, ties, _)| ties.iter().cloned()).collect();
        Circle { members, ties, shortest: shortest.unwrap_or_default() }
    }
}

/// Which file uses which.
pub fn of_files(tree: &Tree) -> Graph {
    let mut graph = Graph::default();
    for used in uses(tree) {
        let [from, to] = [used.from, used.to].map(|module| tree.modules[module].file.clone());
        graph.add(from, to, sentence(tree, &used));
    }
    graph
}

/// Which file or folder uses which of those beside it: a graph for each folder of modules, under the folder's name. A
/// folder's own file is a node too, since it may use its folder or be used by it, but not both.
pub fn of_folders(tree: &Tree) -> BTreeMap<String, Graph> {
    let mut graphs: BTreeMap<String, Graph> = BTreeMap::new();
    for used in uses(tree) {
        let [from, to] = [used.from, used.to].map(|module| files_down_to(tree, module));
        let level = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        // A file that the way ends in is the folder's own.
        let folder = from[level - 1];
        let [a, b] = [&from, &to].map(|way| match way.get(level) {
            Some(node) => node_name(tree, *node),
            None => tree.modules[folder].file.clone(),
        });
        graphs.entry(node_name(tree, folder)).or_default().add(a, b, sentence(tree, &used));
    }
    graphs
}

/// The files from the crate's root down to `module`.
fn files_down_to(tree: &Tree, module: usize) -> Vec<usize> {
    let mut way: Vec<usize> = std::iter::successors(Some(module), |m| tree.modules[*m].parent)
        .filter(|m| tree.modules[*m].owner == *m)
        .collect();
    way.reverse();
    way
}

/// `a/b/` for a module with files inside, `a/b.rs` for one without.
fn node_name(tree: &Tree, module: usize) -> String {
    let is_inside = |other: &Module| other.parent.is_some_and(|p| tree.modules[p].owner == module);
    match tree.files.iter().any(|(file, _)| is_inside(&tree.modules[*file])) {
        true => format!("{}/", tree.modules[module].path.join("/")),
        false => tree.modules[module].file.clone(),
    }
}

fn sentence(tree: &Tree, used: &Use) -> String {
    format!("{}:{} uses {}", tree.modules[used.from].file, used.line, used.name)
}

/// The circles of a crate between its files, and those between folders, or a folder and files, that are not circles
/// of files alone.
pub fn circles(tree: &Tree) -> (Vec<Circle>, Vec<Circle>) {
    let files = of_files(tree).circles();
    let folders = of_folders(tree).into_values().flat_map(|graph| graph.circles());
    (files, folders.filter(|circle| circle.members.iter().any(|node| node.ends_with('/'))).collect())
}

impl std::fmt::Display for Circle {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let members: Vec<&str> = self.members.iter().map(String::as_str).collect();
        writeln!(f, "{} in a circle: {}", members.len(), members.join(", "))?;
        writeln!(f, "  the shortest: {}", self.shortest.join(" -> "))?;
        self.ties.iter().try_for_each(|tie| writeln!(f, "    {tie}"))
    }
}
