//! How many requests a service has answered, by route, method and kind of answer, and how long they took. Routes are those
//! of its OpenAPI document: what callers write in a path makes no new ones.

use crate::histogram::{Counted, Histogram};
use actix_web::http::Method;
use cirro_models::Service;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The methods that routes have; any other is the last.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "other"];
/// The kinds of answers, by the first digit of the status.
const KINDS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The route of what has none.
const OTHER: &str = "other";
/// How many changes may be under way at once: each waits for the database, so a caller's own waits for all before it. Who
/// comes then is asked to come again, while it costs nothing yet.
const CHANGES: i64 = 1024;

/// The counts of one service.
pub struct Requests {
    service: Service,
    routes: Vec<String>,
    tree: Branch,
    cells: Vec<Cell>,
    under_way: AtomicI64,
    changes: AtomicI64,
}

/// What of one route's requests with one method.
#[derive(Default)]
struct Cell {
    answers: [AtomicU64; KINDS.len()],
    took: Histogram,
}

/// Routes by their segments.
#[derive(Default)]
struct Branch {
    named: HashMap<String, Branch>,
    /// A segment that callers fill in.
    any: Option<Box<Branch>>,
    route: Option<usize>,
}

/// What was counted of one route and method.
pub struct Answered<'r> {
    /// `/compute/v1/instance/{id}`.
    pub route: &'r str,
    /// `GET`.
    pub method: &'static str,
    /// How many answers of each kind, `2xx` and so on, without those that there were none of.
    pub answers: Vec<(&'static str, u64)>,
    /// How long they took.
    pub took: Counted,
}

/// A request that is being answered; its end is counted also if its caller goes away.
pub(crate) struct UnderWay {
    counts: Arc<Requests>,
    cell: usize,
    /// How many changes are under way with it, if it is one.
    changes: Option<i64>,
}

impl Requests {
    /// Nothing yet, of these routes.
    pub(crate) fn new(service: Service, routes: impl IntoIterator<Item = String>) -> Self {
        let mut routes: Vec<_> = routes.into_iter().collect();
        let mut tree = Branch::default();
        for (n, route) in routes.iter().enumerate() {
            let leaf = segments(route).fold(&mut tree, |branch, segment| {
                if segment.starts_with('{') {
                    branch.any.get_or_insert_default()
                } else {
                    branch.named.entry(segment.to_owned()).or_default()
                }
            });
            leaf.route = Some(n);
        }
        routes.push(OTHER.to_owned());
        let cells = (0..routes.len() * METHODS.len()).map(|_| Cell::default()).collect();
        Self { service, routes, tree, cells, under_way: AtomicI64::new(0), changes: AtomicI64::new(0) }
    }
    /// Whose they are.
    pub fn service(&self) -> Service {
        self.service
    }
    /// How many are being answered now, those that wait for news included.
    pub fn under_way(&self) -> i64 {
        self.under_way.load(Relaxed)
    }
    /// What was counted of every route and method that was asked.
    pub fn answered(&self) -> impl Iterator<Item = Answered<'_>> {
        self.cells.iter().enumerate().filter_map(|(n, cell)| {
            let answers = KINDS.into_iter().zip(cell.answers.iter().map(|count| count.load(Relaxed)));
            let answers: Vec<_> = answers.filter(|(_, count)| *count > 0).collect();
            let (route, method) = (&self.routes[n / METHODS.len()], METHODS[n % METHODS.len()]);
            (!answers.is_empty()).then(|| Answered { route, method, answers, took: cell.took.counted() })
        })
    }
    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>, method: &Method, path: &str) -> UnderWay {
        let route = self.tree.find(segments(path)).unwrap_or(self.routes.len() - 1);
        // a node's report ends what was begun, so it is always let in: there is one of each node at a time
        let is_counted = changes(method, path) && !path.contains("/nodereport/");
        let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
        self.under_way.fetch_add(1, Relaxed);
        let changes = is_counted.then(|| self.changes.fetch_add(1, Relaxed) + 1);
        UnderWay { counts: self.clone(), cell: route * METHODS.len() + method, changes }
    }
}

impl Branch {
    fn find<'p>(&self, mut path: impl Iterator<Item = &'p str>) -> Option<usize> {
        let mut branch = self;
        path.try_for_each(|segment| {
            branch = branch.named.get(segment).or(branch.any.as_deref())?;
            Some(())
        })?;
        branch.route
    }
}

impl UnderWay {
    /// Its route.
    pub(crate) fn route(&self) -> &str {
        &self.counts.routes[self.cell / METHODS.len()]
    }
    /// Its method, if routes have it.
    pub(crate) fn method(&self) -> &'static str {
        METHODS[self.cell % METHODS.len()]
    }
    /// Whether it is a change, and so many are under way that it has to wait outside.
    pub(crate) fn is_too_much(&self) -> bool {
        self.changes.is_some_and(|changes| changes > CHANGES)
    }
    /// It was answered.
    pub(crate) fn end(self, status: u16, took: Duration) {
        let cell = &self.counts.cells[self.cell];
        let kind = usize::from(status / 100).clamp(1, KINDS.len()) - 1;
        cell.answers[kind].fetch_add(1, Relaxed);
        cell.took.add(took);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.counts.under_way.fetch_sub(1, Relaxed);
        if self.changes.is_some() {
            self.counts.changes.fetch_sub(1, Relaxed);
        }
    }
}

/// Whether a request may change something: all but those that HTTP calls safe, the reading of many rows at once, and heartbeats
/// of nodes, which must be heard for as long as their guests run.
pub(crate) fn changes(method: &Method, path: &str) -> bool {
    !method.is_safe() && !path.ends_with("/batch") && !path.contains("/nodeheartbeat/")
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_start_matches('/').split('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Arc<Requests> {
        let routes = [
            "/compute/v1/instance",
            "/compute/v1/instance/batch",
            "/compute/v1/instance/{id}",
            "/compute/v1/nodereport/{node}",
        ];
        Arc::new(Requests::new(Service::Compute, routes.map(str::to_owned)))
    }

    #[test]
    fn a_path_counts_for_its_route_and_makes_no_new_one() {
        let counts = counts();
        let asked = [
            (Method::GET, "/compute/v1/instance", 200),
            (Method::GET, "/compute/v1/instance/one", 200),
            (Method::GET, "/compute/v1/instance/two", 404),
            (Method::POST, "/compute/v1/instance/batch", 200),
            (Method::GET, "/compute/v1/instance/one/more", 404),
            (Method::TRACE, "/compute/v1/\u{7f}", 700),
        ];
        for (method, path, status) in asked {
            counts.begin(&method, path).end(status, Duration::from_millis(1));
        }
        let told: Vec<_> = counts.answered().map(|of| (of.route, of.method, of.answers, of.took.count)).collect();
        let expected = [
            ("/compute/v1/instance", "GET", vec![("2xx", 1)], 1),
            ("/compute/v1/instance/batch", "POST", vec![("2xx", 1)], 1),
            ("/compute/v1/instance/{id}", "GET", vec![("2xx", 1), ("4xx", 1)], 2),
            ("other", "GET", vec![("4xx", 1)], 1),
            ("other", "other", vec![("5xx", 1)], 1),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn one_change_too_many_waits_outside_and_nothing_else_does() {
        let counts = counts();
        let post = |path: &str| counts.begin(&Method::POST, path);
        let mut changes: Vec<_> = (0..CHANGES).map(|_| post("/compute/v1/instance")).collect();
        assert!(!changes.iter().any(UnderWay::is_too_much));
        assert!(post("/compute/v1/instance").is_too_much());
        for (method, path) in [
            (Method::GET, "/compute/v1/instance"),
            (Method::POST, "/compute/v1/instance/batch"),
            (Method::POST, "/compute/v1/nodereport/one"),
            (Method::POST, "/compute/v1/nodeheartbeat/one"),
        ] {
            assert!(!counts.begin(&method, path).is_too_much(), "{method} {path}");
        }
        changes.pop();
        assert!(!post("/compute/v1/instance").is_too_much());
    }

    #[test]
    fn who_goes_away_is_under_way_no_longer() {
        let counts = counts();
        let (one, two) = (counts.begin(&Method::GET, "/x"), counts.begin(&Method::GET, "/x"));
        assert_eq!(counts.under_way(), 2);
        drop(one);
        two.end(200, Duration::ZERO);
        assert_eq!(counts.under_way(), 0);
    }
}
