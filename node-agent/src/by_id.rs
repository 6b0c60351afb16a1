//! Values by their ids, in one piece of memory.

use cirro_models::Id;

/// See the module. What an agent is told of each instance is gone through with every turn and seldom changes: a list in
/// order is gone through several times as fast as a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct ById<M, V>(Vec<(Id<M>, V)>);

impl<M, V> ById<M, V> {
    /// An empty one.
    pub fn new() -> Self {
        Self(Vec::new())
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The value of this id.
    pub fn get(&self, id: Id<M>) -> Option<&V> {
        self.at(id).ok().map(|at| &self.0[at].1)
    }
    /// The value of this id, to be changed.
    pub fn get_mut(&mut self, id: Id<M>) -> Option<&mut V> {
        self.at(id).ok().map(|at| &mut self.0[at].1)
    }
    /// Whether this id has a value.
    pub fn contains_key(&self, id: &Id<M>) -> bool {
        self.at(*id).is_ok()
    }
    /// All of them, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (Id<M>, &V)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }
    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id<M>, &mut V)> {
        self.0.iter_mut().map(|(id, value)| (*id, value))
    }
    /// The same as a list.
    pub fn as_slice(&self) -> &[(Id<M>, V)] {
        &self.0
    }
    /// For going through them in step with something else that is in the order of the ids.
    pub fn cursor(&self) -> Cursor<'_, M, V> {
        Cursor(&self.0)
    }
    /// Puts a value in the place of this id's.
    pub fn insert(&mut self, id: Id<M>, value: V) {
        match self.at(id) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (id, value)),
        }
    }
    /// Takes this id's value away.
    pub fn remove(&mut self, id: Id<M>) {
        if let Ok(at) = self.at(id) {
            self.0.remove(at);
        }
    }
    /// Keeps those for which this holds.
    pub fn retain(&mut self, mut keeps: impl FnMut(Id<M>) -> bool) {
        self.0.retain(|(id, _)| keeps(*id));
    }
    /// Takes everything away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn at(&self, id: Id<M>) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }
}

impl<M, V> Default for ById<M, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Of an id that comes twice, the later value counts.
impl<M, V> FromIterator<(Id<M>, V)> for ById<M, V> {
    fn from_iter<I: IntoIterator<Item = (Id<M>, V)>>(values: I) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        // the latest first among equals, as of these the first is kept
        values.reverse();
        values.sort_by_key(|(id, _)| *id);
        values.dedup_by_key(|(id, _)| *id);
        Self(values)
    }
}

/// Goes through values by ascending ids.
#[derive(Debug)]
pub struct Cursor<'a, M, V>(&'a [(Id<M>, V)]);

impl<'a, M, V> Cursor<'a, M, V> {
    /// The value of this id, which is larger than those before. Values of smaller ids are passed by, and told to `passed`.
    pub fn reach(&mut self, id: Id<M>, mut passed: impl FnMut(Id<M>)) -> Option<&'a V> {
        loop {
            let ((next, value), rest) = self.0.split_first()?;
            if *next == id {
                self.0 = rest;
                return Some(value);
            }
            if *next > id {
                return None;
            }
            passed(*next);
            self.0 = rest;
        }
    }
    /// The ids that are not reached yet.
    pub fn rest(self) -> impl Iterator<Item = Id<M>> {
        self.0.iter().map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::collections::BTreeMap;
    use uuid::Uuid;

    fn id(n: u8) -> Id<()> {
        Id::from_uuid(Uuid::from_u128(n.into()))
    }

    proptest! {
        #[test]
        fn it_does_what_a_tree_does(
            begin in vec((0_u8..20, any::<u8>()), 0..15),
            steps in vec((0_u8..20, prop::option::of(any::<u8>())), 0..15),
        ) {
            let begin = begin.into_iter().map(|(n, value)| (id(n), value));
            let (mut ours, mut tree): (ById<_, _>, BTreeMap<_, _>) = (begin.clone().collect(), begin.collect());
            for (n, value) in steps {
                if let Some(value) = value {
                    ours.insert(id(n), value);
                    tree.insert(id(n), value);
                } else {
                    ours.remove(id(n));
                    tree.remove(&id(n));
                }
                prop_assert_eq!((ours.get(id(n)), ours.contains_key(&id(n))), (tree.get(&id(n)), tree.contains_key(&id(n))));
            }
            ours.retain(|one| one != id(7));
            tree.retain(|one, _| *one != id(7));
            prop_assert_eq!(ours.iter().collect::<Vec<_>>(), tree.iter().map(|(id, value)| (*id, value)).collect::<Vec<_>>());
            let (mut cursor, mut passed, mut found) = (ours.cursor(), Vec::new(), Vec::new());
            for n in (0..20).step_by(3) {
                found.extend(cursor.reach(id(n), |id| passed.push(id)).map(|value| (id(n), *value)));
            }
            passed.extend(cursor.rest());
            let of_step = |id: &Id<()>| id.uuid().as_u128().is_multiple_of(3);
            let (theirs, others): (Vec<_>, Vec<_>) = tree.iter().partition(|(id, _)| of_step(id));
            prop_assert_eq!(found, theirs.into_iter().map(|(id, value)| (*id, *value)).collect::<Vec<_>>());
            prop_assert_eq!(passed, others.into_iter().map(|(id, _)| *id).collect::<Vec<_>>());
            prop_assert_eq!((ours.len(), ours.is_empty()), (tree.len(), tree.is_empty()));
        }
    }
}
