//! Which members of an object feed which columns.

use super::column::Columns;

/// A tree, since a path may lead into objects.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    pub(super) members: Vec<(String, Member)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    /// The column that it feeds itself.
    pub(super) column: Option<usize>,
    /// What feeds columns within it.
    pub(super) inner: Tree,
}

impl Tree {
    /// The members that columns are read from.
    ///
    /// # Errors
    /// Which column, and why it cannot be read beside the others.
    pub(super) fn new(columns: &Columns) -> Result<Tree, (usize, String)> {
        let mut tree = Tree::default();
        for (number, column) in columns.iter().enumerate() {
            let path = if column.path.is_empty() { std::slice::from_ref(&column.name) } else { &column.path };
            tree.insert(path, number).map_err(|message| (number, message))?;
        }
        Ok(tree)
    }

    fn insert(&mut self, path: &[String], column: usize) -> Result<(), String> {
        let Some((key, rest)) = path.split_first() else {
            return Err("the path is empty".to_string());
        };
        if self.find(key).is_none() {
            self.members.push((key.clone(), Member::default()));
        }
        let Some((_, member)) = self.members.iter_mut().find(|(name, _)| name == key) else { return Ok(()) };
        match rest {
            [] if member.column.is_some() => return Err(format!("another column already reads `{key}` there")),
            [] => member.column = Some(column),
            rest => member.inner.insert(rest, column)?,
        }
        Ok(())
    }

    pub(super) fn find(&self, key: &str) -> Option<&Member> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, member)| member)
    }
}
