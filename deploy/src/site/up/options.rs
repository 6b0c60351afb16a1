//! What `cirro site up` can be told.

use crate::simulated::Simulation;
use cirro_models::{Error, Name, Result, Service};
use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, str::FromStr};

/// The most processes of one service here: this is one machine.
const MOST: usize = 16;

/// What `cirro site up` can be told.
#[derive(Clone)]
pub struct Options {
    /// Where everything is kept.
    pub data: PathBuf,
    /// The site's name.
    pub name: Name,
    /// How many processes of each service.
    pub workers: Workers,
    /// A database of a PostgreSQL server on which others may be created. It may hold a password.
    pub postgres: String,
    /// Servers of etcd: `etcd://HOST:PORT,…`, or `etcds://` if it speaks TLS with certificates of the site.
    pub etcd: String,
    /// Where people and scripts call.
    pub listen: SocketAddr,
    /// Where the agents of nodes call.
    pub nodes: Option<SocketAddr>,
    /// Nodes that a process of their own simulates.
    pub simulation: Option<Simulation>,
}

impl Options {
    /// Where the processes find each other.
    pub(super) fn registry(&self) -> Result<String> {
        let servers = self.etcd.trim_end_matches('/');
        if !servers.starts_with("etcd://") && !servers.starts_with("etcds://") {
            return Err(Error::invalid("etcd", format!("{servers} names no etcd: give it as etcd(s)://HOST:PORT")));
        }
        Ok(format!("{servers}/cirro/{}", self.name))
    }
}

/// The URL and the name of a service's database on the server of `postgres`, for the site `name`.
pub(in crate::site) fn database(postgres: &str, name: &Name, service: Service) -> Result<(String, String)> {
    let wrong = "give it as postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    let (server, rest) = postgres
        .rsplit_once('/')
        .filter(|_| postgres.starts_with("postgres"))
        .ok_or_else(|| Error::invalid("postgres", format!("that is no database of a PostgreSQL server: {wrong}")))?;
    let parameters = rest.split_once('?').map(|(_, parameters)| format!("?{parameters}")).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let site: String = name.chars().map(plain).collect();
    let name = format!("cirro_{site}_{}", service.name());
    Ok((format!("{server}/{name}{parameters}"), name))
}

/// How many processes of each service: `identity=2,compute=3`; one of each that is not named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers([usize; 4]);

impl Workers {
    /// How many of this service.
    pub fn of(&self, service: Service) -> usize {
        Service::ALL.iter().zip(self.0).find(|(other, _)| **other == service).map_or(0, |(_, count)| count)
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self([1; 4])
    }
}

impl FromStr for Workers {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} says no numbers of processes: give it as identity=2,compute=3, with 1 to {MOST} of each")
        };
        let (mut workers, mut named) = (Self::default(), BTreeSet::new());
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, count) = part.split_once('=').ok_or_else(wrong)?;
            let place = Service::ALL.iter().position(|service| service.name() == name).ok_or_else(wrong)?;
            let count = count.parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or_else(wrong)?;
            if !named.insert(place) {
                return Err(wrong());
            }
            workers.0[place] = count;
        }
        Ok(workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_processes_are_read_and_anything_else_is_refused() {
        let workers: Workers = "identity=2,compute=3".parse().unwrap();
        assert_eq!(Service::ALL.map(|service| workers.of(service)), [2, 3, 1, 1]);
        assert_eq!("".parse::<Workers>().unwrap(), Workers::default());
        for bad in ["compute", "compute=", "compute=0", "compute=17", "network=1", "compute=1,compute=2", "compute=-1"]
        {
            assert!(bad.parse::<Workers>().is_err(), "{bad}");
        }
    }
}
