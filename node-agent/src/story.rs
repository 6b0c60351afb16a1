//! Under which request something is done: what the log says of it, and what the report of it is called.

use std::collections::BTreeSet;
use uuid::Uuid;

/// The most requests of which it is remembered that a report is due; of more, reports have ids of their own.
const MOST: usize = 1000;

/// The requests for which something was done that one service has not been told of yet.
#[derive(Debug, Default)]
pub struct Story(BTreeSet<String>);

impl Story {
    /// Something was done for this request.
    pub fn done_for(&mut self, request: String) {
        if self.0.len() < MOST {
            self.0.insert(request);
        }
    }
    /// The id of a report that is made now, and the requests that it tells of. One that tells of one request has the id of
    /// that; of several, a line in the log of each says which report it is.
    pub fn report(&self, service: &'static str) -> (String, BTreeSet<String>) {
        if let (Some(only), 1) = (self.0.first(), self.0.len()) {
            return (only.clone(), self.0.clone());
        }
        let id = Uuid::now_v7().to_string();
        for request_id in &self.0 {
            tracing::info!(request_id, service, report = id, "what was done is reported");
        }
        (id, self.0.clone())
    }
    /// A report was taken that told of these.
    pub fn told(&mut self, requests: &BTreeSet<String>) {
        self.0.retain(|request| !requests.contains(request));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_id_of_the_only_request_that_it_tells_of() {
        let mut story = Story::default();
        assert!(story.report("compute").1.is_empty());
        story.done_for("one".to_owned());
        let (id, of_one) = story.report("compute");
        assert_eq!(id, "one");
        // it is told again until it was taken
        assert_eq!(story.report("compute").0, "one");
        story.done_for("two".to_owned());
        let (id, of_both) = story.report("compute");
        assert!(id != "one" && id != "two" && of_both.len() == 2, "{id}");
        story.told(&of_one);
        assert_eq!(story.report("compute").0, "two");
        story.told(&of_both);
        (0..2 * MOST).for_each(|n| story.done_for(n.to_string()));
        assert_eq!(story.report("compute").1.len(), MOST);
    }
}
