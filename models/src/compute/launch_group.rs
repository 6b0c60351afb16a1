//! What a launch plan asks for: groups of equal instances, and how they stand to each other.

use crate::{
    Count, Id, Labels, Name, choice,
    compute::{flavor::Flavor, instance::NodeLoss, ssh_key::SshKey},
    images::MachineImage,
    meta::check_labels,
    patch::Check,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most instances of one plan.
pub const MOST: i64 = 100_000;
/// The most groups of one plan.
pub const MOST_GROUPS: usize = 100;
/// The most relationships of one plan.
pub const MOST_RELATIONSHIPS: usize = 100;

/// Equal instances, named `web-0001`, `web-0002` and so on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LaunchGroup {
    /// What their names begin with; relationships call the group by it.
    pub name: Name,
    /// How many.
    pub count: Count,
    /// What each of them is.
    pub template: Template,
    /// Labels of each of them.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// What each instance of a group is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its size.
    pub flavor_id: Id<Flavor>,
    /// What its root disk is made from.
    pub image_id: Id<MachineImage>,
    /// The keys that its first boot authorises.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_key_ids: Vec<Id<SshKey>>,
    /// What becomes of it when its node is lost; it stays if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_node_loss: Option<NodeLoss>,
}

choice! {
    /// Where instances go that have a relationship.
    pub enum RelationshipKind {
        /// Of one group: no two on the same node. Of several: none of one group beside one of another.
        DifferentNode = "different_node",
        /// All of them on one node.
        SameNode = "same_node",
        /// Evenly over the values of a node label, such as `rack`.
        Spread = "spread",
    }
}

/// How the instances of one group, or those of several, stand to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Relationship {
    /// What is wished.
    pub kind: RelationshipKind,
    /// The groups that it is about.
    pub groups: Vec<Name>,
    /// The node label of `spread`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether an instance is rather not launched than against it; if not, it is a preference.
    #[serde(default = "required")]
    pub required: bool,
}

fn required() -> bool {
    true
}

impl LaunchGroup {
    /// The name of its instance with this number, which counts from 1. Numbers have as many digits as the largest one
    /// has, and four at least, so that names sort as they count.
    pub fn instance_name(&self, number: i64) -> Result<Name, String> {
        let digits = self.count.get().max(1).ilog10() as usize + 1;
        Name::parse(&format!("{}-{number:0width$}", self.name, width = digits.max(4)))
            .map_err(|error| format!("the instances of group {} would have no usable names: {error}", self.name))
    }
    /// The number of its instance with this name; nothing if it has none.
    pub fn number_of(&self, name: &str) -> Option<i64> {
        let digits = name.strip_prefix(self.name.as_str())?.strip_prefix('-')?;
        let number = digits.parse().ok().filter(|number| (1..=self.count.get()).contains(number))?;
        // only one way of writing it is its name
        self.instance_name(number).is_ok_and(|own| own.as_str() == name).then_some(number)
    }
}

impl Check for LaunchGroup {
    fn check(&self) -> Result<(), String> {
        let count = self.count.get();
        if !(1..=MOST).contains(&count) {
            return Err(format!("group {} has a count of {count}: give 1 to {MOST}", self.name));
        }
        self.template.on_node_loss.check()?;
        if self.template.ssh_key_ids.len() > 100 {
            return Err(format!(
                "group {} names {} SSH keys: use at most 100",
                self.name,
                self.template.ssh_key_ids.len()
            ));
        }
        check_labels(self.labels.iter().map(|(key, value)| (key, value.as_str())))
            .map_err(|error| error.to_string())?;
        self.instance_name(count).map(drop)
    }
}

impl Check for Relationship {
    fn check(&self) -> Result<(), String> {
        let kind = &self.kind;
        match (kind, &self.label) {
            (RelationshipKind::Unknown(other), _) => return Err(format!("{other:?} is no kind of relationship")),
            (RelationshipKind::Spread, None) => {
                return Err("a spread names no node label: add `label`, such as \"rack\"".to_owned());
            }
            (RelationshipKind::DifferentNode | RelationshipKind::SameNode, Some(label)) => {
                return Err(format!("{kind} takes no label, and {label:?} is given: use spread, or leave it out"));
            }
            _ => {}
        }
        if self.groups.is_empty() || self.groups.len() > MOST_GROUPS {
            return Err(format!("{kind} names {} groups: name 1 to {MOST_GROUPS}", self.groups.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, count: i64) -> LaunchGroup {
        let template =
            Template { flavor_id: Id::new(), image_id: Id::new(), ssh_key_ids: Vec::new(), on_node_loss: None };
        let name = Name::parse(name).unwrap();
        LaunchGroup { name, count: Count::new(count), template, labels: Labels::default() }
    }

    #[test]
    fn names_sort_as_they_count() {
        let name = |count, number| group("web", count).instance_name(number).unwrap().to_string();
        assert_eq!(name(3, 1), "web-0001");
        assert_eq!(name(9_999, 9_999), "web-9999");
        assert_eq!(name(10_000, 1), "web-00001");
    }

    #[test]
    fn a_name_tells_its_number_in_the_group_that_gives_it() {
        for (count, number) in [(1, 1), (3, 2), (9_999, 9_999), (10_000, 10_000), (MOST, 7)] {
            let group = group("web-1", count);
            let name = group.instance_name(number).unwrap();
            assert_eq!(group.number_of(name.as_str()), Some(number));
        }
        let web = group("web", 20);
        for other in ["web", "web-", "web-1", "web-0000", "web-0021", "web-00001", "web-+001", "db-0001", "web-a-0001"]
        {
            assert_eq!(web.number_of(other), None, "{other}");
        }
    }

    #[test]
    fn counts_that_make_no_sense_are_refused() {
        for bad in [0, MOST + 1, 10_000_000] {
            let said = group("web", bad).check().unwrap_err();
            assert!(said.contains("group web") && said.contains("give 1 to"), "{said}");
        }
        assert!(group("web", MOST).check().is_ok());
        assert!(group(&"w".repeat(63), 3).check().is_err(), "the numbered names would be too long");
    }

    #[test]
    fn a_relationship_says_what_it_needs() {
        let relationship = |kind, label: Option<&str>, groups: &[&str]| Relationship {
            kind,
            groups: groups.iter().map(|name| Name::parse(name).unwrap()).collect(),
            label: label.map(str::to_owned),
            required: true,
        };
        assert!(relationship(RelationshipKind::Spread, None, &["web"]).check().is_err());
        assert!(relationship(RelationshipKind::SameNode, Some("rack"), &["web"]).check().is_err());
        assert!(relationship(RelationshipKind::DifferentNode, None, &[]).check().is_err());
        assert!(relationship(RelationshipKind::Spread, Some("rack"), &["web"]).check().is_ok());
    }
}
