//! The raw binary of old: C structures in little-endian order, which XGBoost wrote by default through 2.0 and
//! on demand through 3.0.
//!
//! In pickles of 1.0 to 1.2 `CONFIG-offset:` and the length of the raw part come first; from 1.1 on the raw part
//! starts with `binf`. Before 1.0 there is neither magic nor version.

use super::booster::{Booster, Parts};
use crate::Error;
use crate::trees::{NONE, Node, Tree};

const CONFIG: &[u8] = b"CONFIG-offset:";
const MAGIC: &[u8] = b"binf";
/// Bytes of the learner's parameters before the objective's name.
const LEARNER: usize = 136;

/// Whether a file without magic can be a raw binary: its header names an objective and a booster of a known kind.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    if bytes.starts_with(CONFIG) || bytes.starts_with(MAGIC) {
        return true;
    }
    let mut reader = Reader { bytes, at: LEARNER };
    let objective = reader.text().unwrap_or_default();
    let booster = reader.text().unwrap_or_default();
    !objective.is_empty() && matches!(booster.as_str(), "gbtree" | "dart" | "gblinear")
}

/// Reads a raw binary, with or without what pickles put before it.
pub(super) fn read(bytes: &[u8]) -> Result<Booster, Error> {
    let mut reader = Reader { bytes, at: 0 };
    if bytes.starts_with(CONFIG) {
        reader.at = CONFIG.len();
        let length = reader.length()?;
        let start = reader.at;
        let end = start.saturating_add(length);
        if end > bytes.len() {
            return reader.fail(format!("the model is said to have {length} bytes"));
        }
        reader.bytes = bytes.get(..end).unwrap_or_default();
    }
    if reader.bytes.get(reader.at..).unwrap_or_default().starts_with(MAGIC) {
        reader.at = reader.at.saturating_add(MAGIC.len());
    }
    learner(&mut reader)?.build()
}

fn learner(reader: &mut Reader<'_>) -> Result<Parts, Error> {
    let start = reader.at;
    let base_score = reader.f32()?;
    let features = reader.u32()? as usize;
    let classes = reader.count("num_class")?;
    let has_attributes = reader.i32()? != 0;
    let has_metrics = reader.i32()? != 0;
    let version = [reader.u32()?, reader.u32()?];
    let targets = reader.u32()? as usize;
    reader.at = start.saturating_add(LEARNER);
    let version = (version[0] > 0).then_some([version[0], version[1], 0]);
    let mut parts = Parts {
        version,
        features,
        classes,
        // Written from 1.6 on; zero before.
        targets: if version.is_some() { targets.max(1) } else { 1 },
        base_score: vec![base_score],
        base_is_margin: version.is_none(),
        objective: reader.text()?,
        booster: reader.text()?,
        width: 1,
        parallel: 1,
        ..Parts::default()
    };
    let outputs = classes.max(parts.targets).max(1);
    match parts.booster.as_str() {
        "gbtree" | "dart" => trees(reader, &mut parts)?,
        "gblinear" => {
            let inner = reader.u32()? as usize;
            let groups = reader.count("num_output_group")?;
            reader.skip(32 * 4)?;
            // 1.0 and later leave these two empty.
            if (inner, groups) != (0, 0) && (inner != features || groups != outputs) {
                return reader.fail(format!("linear weights for {inner} features and {groups} outputs"));
            }
            parts.linear = reader.floats()?;
        }
        other => return Err(Error::unsupported("", format!("booster {other}"), "gbtree, dart, gblinear")),
    }
    if has_attributes {
        let count = reader.length()?;
        for _ in 0..count {
            let key = reader.text()?;
            let value = reader.text()?;
            parts.attributes.push((key, value));
        }
    }
    // Before 1.0 a Poisson objective wrote its step here, and the metrics follow; neither matters for predicting.
    let _ = has_metrics;
    Ok(parts)
}

fn trees(reader: &mut Reader<'_>, parts: &mut Parts) -> Result<(), Error> {
    let count = reader.count("num_trees")?;
    let roots = reader.i32()?;
    if parts.version.is_none() && roots > 1 {
        return Err(Error::unsupported("", "trees with several roots", "trees with one root"));
    }
    // num_feature, padding, num_pbuffer, num_output_group, size_leaf_vector, reserved
    reader.skip(4 + 4 + 8 + 4 + 4 + 32 * 4)?;
    for index in 0..count {
        let tree = tree(reader, index, parts.version.is_none())?;
        parts.trees.push(tree);
    }
    for (index, tree) in parts.trees.iter_mut().enumerate() {
        let group = reader.i32()?;
        match u32::try_from(group) {
            Ok(group) => tree.offset = group,
            Err(_) => return reader.fail(format!("tree {index}: group {group}")),
        }
    }
    if parts.booster == "dart" && count > 0 {
        parts.weights = reader.floats()?;
    }
    Ok(())
}

/// `old` is what is without a version, of before 1.0.
fn tree(reader: &mut Reader<'_>, index: usize, old: bool) -> Result<Tree, Error> {
    reader.skip(4)?; // num_roots
    let count = reader.count("num_nodes")?;
    // num_deleted, max_depth, num_feature
    reader.skip(12)?;
    let width = reader.i32()?;
    reader.skip(31 * 4)?;
    if width > 1 {
        return Err(Error::unsupported(format!("tree {index}"), "leaf vectors in a binary", "JSON or UBJSON"));
    }
    // 20 bytes of structure and 16 of statistics for each node: the count must fit before room is made for it.
    let needed = count.saturating_mul(36);
    if needed > reader.left() {
        return reader.fail(format!("tree {index}: {count} nodes need {needed} bytes, {} are left", reader.left()));
    }
    let mut tree = Tree { nodes: Vec::with_capacity(count), ..Tree::default() };
    let mut leaves = 0u32;
    for _ in 0..count {
        reader.skip(4)?; // parent
        let left = reader.u32()?;
        let right = reader.u32()?;
        let feature = reader.u32()?;
        let value = f64::from(reader.f32()?);
        let is_leaf = left == NONE;
        tree.nodes.push(Node {
            left,
            right: if is_leaf { NONE } else { right },
            feature: if is_leaf { leaves } else { feature & 0x7fff_ffff },
            set: NONE,
            missing_left: feature >> 31 == 1,
            threshold: value,
            cover: 0.0,
            gain: 0.0,
        });
        if is_leaf {
            tree.values.push(value);
            leaves = leaves.saturating_add(1);
        }
    }
    for node in &mut tree.nodes {
        node.gain = f64::from(reader.f32()?);
        node.cover = f64::from(reader.f32()?);
        reader.skip(8)?; // base weight, number of leaf children
    }
    // Before 1.0 a leaf vector, its length and its floats, followed where the tree declared one; from 2.0 on every tree
    // declares one, and none follows.
    if old && width == 1 {
        reader.floats()?;
    }
    Ok(tree)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::Format { format: "XGBoost binary", offset: self.at, message: message.into() })
    }

    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Error> {
        let end = self.at.saturating_add(count);
        let Some(bytes) = self.bytes.get(self.at..end) else {
            return self.fail(format!("{count} bytes are needed, {} are left", self.left()));
        };
        self.at = end;
        Ok(bytes)
    }

    fn skip(&mut self, count: usize) -> Result<(), Error> {
        self.take(count).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, Error> {
        self.array().map(i32::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, Error> {
        self.array().map(f32::from_le_bytes)
    }

    fn count(&mut self, name: &str) -> Result<usize, Error> {
        let count = self.i32()?;
        usize::try_from(count).or_else(|_| self.fail(format!("`{name}` is {count}")))
    }

    fn length(&mut self) -> Result<usize, Error> {
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).or_else(|_| self.fail(format!("the length {length} is out of range")))
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = self.length()?;
        let bytes = self.take(length)?.to_vec();
        String::from_utf8(bytes).or_else(|_| self.fail("a text is not UTF-8"))
    }

    fn floats(&mut self) -> Result<Vec<f32>, Error> {
        let length = self.length()?;
        let bytes = self.take(length.saturating_mul(4))?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lying_lengths_are_refused_with_their_byte() {
        let mut bytes = vec![0; LEARNER];
        bytes.extend(9u64.to_le_bytes());
        bytes.extend(b"reg:gamma");
        bytes.extend(6u64.to_le_bytes());
        bytes.extend(b"gbtree");
        assert!(looks_like(&bytes));
        let error = read(&bytes).unwrap_err().to_string();
        assert_eq!(error, "XGBoost binary: byte 167: 4 bytes are needed, 0 are left");
        bytes.extend(1i32.to_le_bytes());
        bytes.extend([0; 156]);
        bytes.extend(1i32.to_le_bytes());
        bytes.extend(i32::MAX.to_le_bytes());
        bytes.extend([0; 140]);
        let error = read(&bytes).unwrap_err().to_string();
        assert_eq!(error, "XGBoost binary: byte 475: tree 0: 2147483647 nodes need 77309411292 bytes, 0 are left");
        let error = read(b"CONFIG-offset:\xff\xff\xff\xff\xff\xff\xff\xff").unwrap_err().to_string();
        assert_eq!(error, "XGBoost binary: byte 22: the model is said to have 18446744073709551615 bytes");
    }
}
