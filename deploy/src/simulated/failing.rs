//! `--fail NODES:WHAT[@WHEN]`: what goes wrong on which simulated nodes, and from when on.

use cirro_models::{Error, Result};
use cirro_node_agent_core::simulated::{Due, Fault};
use std::{collections::BTreeMap, fmt, ops::Range, str::FromStr, time::Duration};

/// How the words are written.
const SHAPE: &str = "write NODES:WHAT[@WHEN], such as node-0005:hang@30s, node-0001..0050:refuse or 5%:slow=2s";

/// Nodes, and what goes wrong on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    nodes: Nodes,
    what: What,
    from: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nodes {
    /// By their numbers.
    Range(u32, u32),
    /// So many of a hundred, chosen by the seed.
    Share(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Machine(Fault),
    Silent,
    Crash,
}

/// How an agent ends before its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The agent dies; its machine and the guests run on.
    Silent,
    /// Agent and machine vanish.
    Crash,
}

/// All that goes wrong on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plight {
    pub(super) faults: Vec<Due>,
    pub(super) ending: Option<(Ending, Duration)>,
}

/// Which of the nodes with these numbers meets what. Shares take different nodes, as long as there are any.
pub(super) fn plights(all: &[Failing], nodes: &Range<u32>, seed: u64) -> BTreeMap<u32, Plight> {
    let mut order: Vec<u32> = nodes.clone().collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    let mut chosen = order.into_iter().cycle();
    let mut plights: BTreeMap<u32, Plight> = BTreeMap::new();
    for failing in all {
        let numbers: Vec<u32> = match failing.nodes {
            Nodes::Range(first, last) => nodes.clone().filter(|number| (first..=last).contains(number)).collect(),
            // a share of few nodes is one of them at least
            Nodes::Share(percent) => {
                let count = (nodes.len() * usize::from(percent)).div_ceil(100);
                chosen.by_ref().take(count).collect()
            }
        };
        for number in numbers {
            plights.entry(number).or_default().meet(failing);
        }
    }
    plights
}

impl Plight {
    fn meet(&mut self, failing: &Failing) {
        let ending = match failing.what {
            What::Machine(fault) => return self.faults.push(Due { fault, from: failing.from }),
            What::Silent => Ending::Silent,
            What::Crash => Ending::Crash,
        };
        if self.ending.is_none_or(|(_, at)| failing.from < at) {
            self.ending = Some((ending, failing.from));
        }
    }
}

impl Failing {
    /// Refuses nodes that there are not.
    pub(super) fn check(&self, nodes: &Range<u32>) -> Result<()> {
        let Nodes::Range(first, last) = self.nodes else { return Ok(()) };
        match [first, last].into_iter().find(|number| !nodes.contains(number)) {
            Some(other) => {
                let there = format!("node-{:04} to node-{:04}", nodes.start, nodes.end.saturating_sub(1));
                Err(wrong(format!("node-{other:04} is not there: this process has {there}")))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.nodes, self.what)?;
        if self.from.is_zero() { Ok(()) } else { write!(f, "@{}ms", self.from.as_millis()) }
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(first, last) => write!(f, "node-{first:04}..{last:04}"),
            Self::Share(percent) => write!(f, "{percent}%"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(Fault::Refuse) => f.write_str("refuse"),
            Self::Machine(Fault::Hang) => f.write_str("hang"),
            Self::Machine(Fault::Slow(delay)) => write!(f, "slow={}ms", delay.as_millis()),
            Self::Machine(Fault::Error(percent)) => write!(f, "error={percent}%"),
            Self::Silent => f.write_str("silent"),
            Self::Crash => f.write_str("crash"),
        }
    }
}

impl FromStr for Failing {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (nodes, rest) = text.split_once(':').ok_or_else(|| wrong(format!("{text} says no nodes: {SHAPE}")))?;
        let (what, from) = match rest.split_once('@') {
            Some((what, from)) => (what, duration(from)?),
            None => (rest, Duration::ZERO),
        };
        Ok(Self { nodes: nodes.parse()?, what: what.parse()?, from })
    }
}

impl FromStr for Nodes {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if let Some(share) = text.strip_suffix('%') {
            return percent(share).map(Self::Share);
        }
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let number = |name: &str| name.strip_prefix("node-").unwrap_or(name).parse::<u32>().ok();
        match (first.starts_with("node-"), number(first), number(last)) {
            (true, Some(first), Some(last)) if 0 < first && first <= last => Ok(Self::Range(first, last)),
            _ => Err(wrong(format!("{text} names no nodes: {SHAPE}"))),
        }
    }
}

impl FromStr for What {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (word, amount) = text.split_once('=').map_or((text, None), |(word, amount)| (word, Some(amount)));
        Ok(match (word, amount) {
            ("refuse", None) => Self::Machine(Fault::Refuse),
            ("hang", None) => Self::Machine(Fault::Hang),
            ("silent", None) => Self::Silent,
            ("crash", None) => Self::Crash,
            ("slow", Some(amount)) => Self::Machine(Fault::Slow(duration(amount)?)),
            ("error", Some(amount)) => Self::Machine(Fault::Error(percent(amount.trim_end_matches('%'))?)),
            _ => {
                let ways = "say refuse, hang, silent, crash, slow=2s or error=5%";
                return Err(wrong(format!("{text} is nothing that can go wrong: {ways}")));
            }
        })
    }
}

fn wrong(detail: String) -> Error {
    Error::invalid("fail", detail)
}

fn percent(text: &str) -> Result<u8> {
    let share = text.parse().ok().filter(|share| (1..=100).contains(share));
    share.ok_or_else(|| wrong(format!("{text} is no share: give 1% to 100%")))
}

/// A number with its unit; at most a day.
fn duration(text: &str) -> Result<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let millis = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    let time = millis.filter(|millis| *millis <= 86_400_000).map(Duration::from_millis);
    time.ok_or_else(|| wrong(format!("{text} is no time: give it as 500ms, 30s or 5m, up to a day")))
}

#[cfg(test)]
mod tests;
