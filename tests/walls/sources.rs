//! What each source file names, with names followed to the file that defines them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

use crate::circles::Arrows;

/// The path of a name, beginning with `crate` or with a crate.
pub(crate) type Name = Vec<String>;

/// A source file.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root of the repository.
    pub(crate) path: String,
    /// What it names, as far as that is defined elsewhere.
    pub(crate) names: BTreeSet<Name>,
}

/// All source files that are not tests.
#[derive(Debug)]
pub(crate) struct Sources {
    /// In the order of their modules.
    pub(crate) files: Vec<File>,
    /// The file of each module.
    modules: BTreeMap<Name, String>,
}

/// A file as it is read, before names are followed.
#[derive(Debug, Default)]
struct Written {
    path: String,
    /// What a `use` calls by a name of its own, in the whole file.
    imports: BTreeMap<String, Name>,
    /// What it passes on under a name.
    exports: BTreeMap<String, Name>,
    /// All paths in it.
    paths: BTreeSet<Name>,
}

impl Sources {
    /// Reads `src`.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut written = BTreeMap::new();
        for (root_file, krate) in [("src/lib.rs", "crate"), ("src/main.rs", "main")] {
            read_module(root, &root.join(root_file), &vec![krate.to_owned()], &mut written);
        }
        let modules =
            written.iter().map(|(name, file)| (name.clone(), file.path.clone())).collect();
        let files = written
            .iter()
            .map(|(module, file)| File {
                path: file.path.clone(),
                names: file
                    .paths
                    .iter()
                    .filter_map(|path| absolute(path, module, file, &written))
                    .map(|name| followed(name, &written))
                    .collect(),
            })
            .collect();
        Self { files, modules }
    }

    /// Which file depends on which.
    pub(crate) fn arrows(&self) -> Arrows {
        self.files
            .iter()
            .map(|file| {
                let to = file.names.iter().filter_map(|name| self.file_of(name));
                (file.path.clone(), to.filter(|to| *to != file.path).collect())
            })
            .collect()
    }

    /// The file in which a name is defined. A module that is named as a whole is no dependency: what
    /// is used of it is named elsewhere.
    fn file_of(&self, name: &[String]) -> Option<String> {
        if self.modules.contains_key(name) {
            return None;
        }
        (1..name.len()).rev().find_map(|length| self.modules.get(&name[..length])).cloned()
    }
}

fn read_module(root: &Path, path: &Path, name: &Name, written: &mut BTreeMap<Name, Written>) {
    let syntax = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
    let shown = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let mut reader =
        Reader { file: Written { path: shown, ..Written::default() }, children: vec![] };
    reader.visit_file(&syntax);
    let Reader { file, children } = reader;
    written.insert(name.clone(), file);
    for (child, given) in children {
        let path = match given {
            Some(given) => path.parent().unwrap().join(given),
            None => file_of_child(path, &child),
        };
        read_module(root, &path, &[name.clone(), vec![child]].concat(), written);
    }
}

fn file_of_child(path: &Path, child: &str) -> PathBuf {
    let own = ["lib", "main", "mod"].contains(&path.file_stem().unwrap().to_str().unwrap());
    let directory = if own { path.parent().unwrap().to_owned() } else { path.with_extension("") };
    let file = directory.join(format!("{child}.rs"));
    if file.exists() { file } else { directory.join(child).join("mod.rs") }
}

/// Collects what a file names. What is in macros is not seen, nor is what is for tests alone.
struct Reader {
    file: Written,
    /// Modules in files of their own, and the file if one is given.
    children: Vec<(String, Option<String>)>,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_none() {
            self.children.push((item.ident.to_string(), given_path(&item.attrs)));
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let exported = !matches!(item.vis, Visibility::Inherited);
        let mut leaves = vec![];
        flatten(&item.tree, &[], &mut leaves);
        for (called, path) in leaves {
            if exported {
                self.file.exports.insert(called.clone(), path.clone());
            } else {
                self.file.paths.insert(path.clone());
            }
            self.file.imports.insert(called, path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.file.paths.insert(path.segments.iter().map(|part| part.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|flag| flag == "test")
    })
}

fn given_path(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    let value = &attribute.meta.require_name_value().ok()?.value;
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = value else { return None };
    Some(path.value())
}

fn flatten(tree: &UseTree, before: &[String], leaves: &mut Vec<(String, Name)>) {
    let with = |last: String| [before, &[last]].concat();
    match tree {
        UseTree::Path(path) => flatten(&path.tree, &with(path.ident.to_string()), leaves),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, leaves)),
        UseTree::Name(name) if name.ident == "self" => {
            leaves.push((before.last().unwrap().clone(), before.to_vec()));
        }
        UseTree::Name(name) => leaves.push((name.ident.to_string(), with(name.ident.to_string()))),
        UseTree::Rename(renamed) => {
            leaves.push((renamed.rename.to_string(), with(renamed.ident.to_string())));
        }
        UseTree::Glob(_) => leaves.push(("*".to_owned(), before.to_vec())),
    }
}

/// A path as written in a module, from its root; `None` for what is the file's own.
fn absolute(
    path: &[String],
    module: &[String],
    file: &Written,
    written: &BTreeMap<Name, Written>,
) -> Option<Name> {
    let (first, rest) = path.split_first()?;
    let child = [module, std::slice::from_ref(first)].concat();
    let above = || module[..module.len() - 1].to_vec();
    let name = match first.as_str() {
        "crate" => [&module[..1], rest].concat(),
        "ifmatch" => [&["crate".to_owned()], rest].concat(),
        "self" => return absolute(rest, module, file, written),
        "super" if module.len() == 1 => return None,
        "super" if rest.first().is_some_and(|next| next == "super") => {
            let above = above();
            return absolute(rest, &above, written.get(&above)?, written);
        }
        "super" => [above(), rest.to_vec()].concat(),
        _ if written.contains_key(&child) => [&child, rest].concat(),
        _ => match file.imports.get(first) {
            // An import whose own first word is what it is called, as in `use http;`.
            Some(import) if import.first() == Some(first) => [import, rest].concat(),
            Some(import) => {
                let import = absolute(import, module, file, written)?;
                [&import, rest].concat()
            }
            None if rest.is_empty() => return None,
            None => path.to_vec(),
        },
    };
    Some(name)
}

/// A name at the module that defines it, where modules between pass it on.
fn followed(name: Name, written: &BTreeMap<Name, Written>) -> Name {
    for length in 1..name.len() {
        let (module, rest) = name.split_at(length);
        let Some(file) = written.get(module) else { break };
        let is_module = written.contains_key(&name[..=length]);
        let Some(export) = file.exports.get(&rest[0]).filter(|_| !is_module) else { continue };
        let Some(target) = absolute(export, module, file, written) else { continue };
        let target = [&target, &rest[1..]].concat();
        if target != name {
            return followed(target, written);
        }
    }
    name
}
