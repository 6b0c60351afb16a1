#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use super::{counted::MOST, *};
use cirro_server::testkit::{Backend, Scratch};
use futures_util::future::join_all;
use std::net::Ipv4Addr;

fn at(n: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + n).into()
}

/// Some processes of identity's on one database, with one clock.
struct Processes {
    scratch: Scratch,
    verifier: Arc<Verifier>,
    all: Vec<Attempts>,
}

impl Processes {
    async fn start(backend: Backend, n: usize) -> Self {
        let scratch = backend.open(crate::MIGRATIONS).await.unwrap();
        let verifier = Arc::new(Verifier::default());
        let mut processes = Self { scratch, verifier, all: Vec::new() };
        (0..n).for_each(|_| processes.restart());
        processes
    }
    /// One more, which remembers nothing.
    fn restart(&mut self) {
        self.all.push(Attempts::new(self.scratch.database.clone(), self.verifier.clone()));
    }
    fn pass(&self, seconds: u64) {
        self.verifier.clock().advance(Duration::from_secs(seconds));
    }
    /// How many writes of the database there were.
    fn writes(&self) -> u64 {
        self.scratch.database.load().commits.count
    }
}

/// A wrong guess; whether it was judged at all.
async fn fail(attempts: &Attempts, account: &str, from: u32) -> bool {
    let mut attempt = Attempt::new(account, at(from));
    let begun = attempts.begin(&mut attempt).await.is_ok();
    if begun {
        attempts.failed(&attempt);
    }
    begun
}

async fn fails(attempts: &Attempts, account: &str, from: u32, times: usize) -> usize {
    let mut judged = 0;
    for _ in 0..times {
        judged += usize::from(fail(attempts, account, from).await);
    }
    judged
}

async fn succeed(attempts: &Attempts, account: &str, from: u32) -> Result<()> {
    let mut attempt = Attempt::new(account, at(from));
    attempts.begin(&mut attempt).await?;
    if let Some(place) = attempts.new_place(&attempt) {
        let at = attempts.verifier.clock().now();
        let note = move |tx: &mut Tx<'_>| note_place(tx.connection(), &place, at);
        attempts.database.write(&service_subject(Service::Identity), None, note).await?;
    }
    attempts.succeeded(&attempt).await;
    Ok(())
}

#[tokio::test]
async fn a_stranger_closes_an_account_to_themselves_only_and_for_a_minute() {
    for backend in Backend::BOTH {
        let site = Processes::start(backend, 1).await;
        let [one] = &site.all[..] else { panic!("one") };
        assert_eq!(fails(one, "ann", 1, 50).await, 10);
        assert!(fail(one, "ann", 2).await);
        site.pass(20);
        let refused = one.begin(&mut Attempt::new("ann", at(1))).await.unwrap_err();
        assert!(matches!(refused, Error::TooManyRequests { retry_after_s: 38..=41, .. }), "{refused:?}");
        site.pass(40);
        assert_eq!(fails(one, "ann", 1, 50).await, 10);
    }
}

#[tokio::test]
async fn processes_hold_the_limit_together_however_the_guesses_come_and_a_restart_forgets_a_tenth() {
    for backend in Backend::BOTH {
        let mut site = Processes::start(backend, 3).await;
        let mut judged = 0;
        for n in 0..60 {
            judged += usize::from(fail(&site.all[n % 3], "ann", 1).await);
        }
        assert!((10..=12).contains(&judged), "{judged} in turn");
        // at the same moment, everywhere
        let guesses = (0..120).map(|n| fail(&site.all[n % 3], "ben", 2));
        let judged = join_all(guesses).await.into_iter().filter(|judged| *judged).count();
        assert!((10..=12).contains(&judged), "{judged} at once");
        site.restart();
        let again = fails(&site.all[3], "ann", 1, 10).await + fails(&site.all[3], "ben", 2, 10).await;
        assert!(again <= 2, "{again} after a restart");
        // of an address, and of an account
        let mut judged = 0;
        for n in 0..400 {
            judged += usize::from(fail(&site.all[n % 3], &format!("user{n}"), 3).await);
        }
        assert!((100..=120).contains(&judged), "{judged} from one address");
        let mut judged = 0;
        for n in 0..400 {
            judged += usize::from(fail(&site.all[n % 3], "cleo", 100 + u32::try_from(n).unwrap()).await);
        }
        assert!((100..=120).contains(&judged), "{judged} of one account");
    }
}

#[tokio::test]
async fn a_login_that_succeeds_needs_no_write_and_a_flood_makes_no_flood_of_them() {
    let site = Processes::start(Backend::Sqlite, 2).await;
    succeed(&site.all[0], "ann", 1).await.unwrap();
    let before = site.writes();
    for _ in 0..20 {
        succeed(&site.all[0], "ann", 1).await.unwrap();
    }
    assert_eq!(site.writes(), before);
    fails(&site.all[0], "ann", 2, 1000).await;
    fails(&site.all[1], "ann", 2, 1000).await;
    assert!(site.writes() <= before + 24, "{}", site.writes() - before);
    // many who are right at once are taken back everywhere
    let many = join_all((0..10).map(|_| succeed(&site.all[0], "ben", 3))).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");
    assert_eq!(fails(&site.all[1], "ben", 3, 50).await, 10);
}

#[tokio::test]
async fn many_strangers_meet_the_limit_of_the_account_and_its_owner_goes_on_at_any_process() {
    for backend in Backend::BOTH {
        let mut site = Processes::start(backend, 2).await;
        succeed(&site.all[0], "ann", 1).await.unwrap();
        let mut judged = 0;
        for from in (2..100).flat_map(|from| [from; 10]) {
            judged += usize::from(fail(&site.all[0], "ann", from).await);
        }
        assert_eq!(judged, 100);
        assert!(!fail(&site.all[0], "ann", 1000).await, "from where she never was");
        site.restart();
        for process in &site.all {
            succeed(process, "ann", 1).await.unwrap();
        }
        let home = fails(&site.all[1], "ann", 1, 50).await;
        assert!((9..=11).contains(&home), "home is limited too: {home}");
    }
}

#[tokio::test]
async fn a_whole_network_of_one_household_is_one_address() {
    let site = Processes::start(Backend::Sqlite, 1).await;
    let v6 = |net: u16, last: u16| IpAddr::from([0x2001, 0xdb8, 1, net, 3, 4, 5, last]);
    let mut begun = 0;
    for n in 0..100 {
        begun += usize::from(site.all[0].begin(&mut Attempt::new("ann", v6(2, n))).await.is_ok());
    }
    assert_eq!(begun, 10);
    site.all[0].begin(&mut Attempt::new("ann", v6(3, 1))).await.unwrap();
    // an IPv4 address is itself, however it is written
    let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
    assert_eq!(Attempt::new("x", mapped).address, at(1));
}

#[tokio::test]
async fn those_who_log_in_with_a_drawn_secret_at_the_same_moment_are_not_meant() {
    let site = Processes::start(Backend::Sqlite, 1).await;
    let before = site.writes();
    for _ in 0..200 {
        site.all[0].begin(&mut Attempt::new("node:1", at(1)).with_drawn_secret()).await.unwrap();
    }
    assert_eq!(site.writes(), before);
    let mut judged = 0;
    for _ in 0..50 {
        let mut attempt = Attempt::new("node:1", at(1)).with_drawn_secret();
        if site.all[0].begin(&mut attempt).await.is_ok() {
            site.all[0].failed(&attempt);
            judged += 1;
        }
    }
    assert_eq!(judged, 10);
}

#[tokio::test]
async fn memory_and_rows_are_bounded_and_who_is_known_still_gets_in() {
    let site = Processes::start(Backend::Sqlite, 1).await;
    let one = &site.all[0];
    succeed(one, "ann", 1).await.unwrap();
    let mut refused = false;
    for n in 2..u32::try_from(MOST).unwrap() {
        refused = refused || !fail(one, &format!("user{n}"), n).await;
        if refused {
            break;
        }
    }
    assert!(refused && one.counted.lock().counters.len() <= MOST);
    succeed(one, "ann", 1).await.unwrap();
    fails(one, "ann", 1, 5).await;
    let rows = async || site.scratch.database.read(shared::rows).await.unwrap();
    assert!(rows().await > 0);
    site.pass(121);
    assert!(fail(one, "user1", 2).await, "there is room again");
    sweep(&site.scratch.database, site.verifier.clock().now()).await.unwrap();
    assert_eq!(rows().await, 0);
}
