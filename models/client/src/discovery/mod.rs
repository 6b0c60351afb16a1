//! Discovery: where the processes of a service are, named by one URL.
//!
//! * `tcp://a:1,b:2`: these, always;
//! * `http://host:1` or `https://host:1`: this one, which may be a bus or a site in one process;
//! * `etcd://host:2379,host2:2379/cirro/prod/compute`: whoever is registered there now;
//! * `etcds://…`: the same, and etcd is spoken to over TLS.

mod follow;

use crate::{address::Address, connect::Net, etcd::Etcd, tls::Tls};
use cirro_models::{Error, Result};
use std::{str::FromStr, sync::Arc};
use tokio::sync::watch;

/// More addresses than this are no list that somebody wrote.
const MOST: usize = 1000;

/// What a discovery URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// These endpoints, always.
    Fixed(Vec<Address>),
    /// These `host:port`, whose security is that of the stack.
    Listed(Vec<String>),
    /// Who is registered under a prefix of these etcd servers.
    Registry {
        /// `host:port` of each server.
        servers: Vec<String>,
        /// Whether they are spoken to over TLS.
        tls: bool,
        /// The keys' beginning, such as `/cirro/prod/compute`, without a slash at its end.
        prefix: String,
    },
}

impl FromStr for Place {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            let ways = "tcp://HOST:PORT,HOST:PORT, http(s)://HOST:PORT or etcd(s)://HOST:PORT,…/PREFIX";
            Error::invalid("url", format!("{text} names no endpoints: {what}; give it as {ways}"))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        match scheme {
            "http" | "https" => Ok(Self::Fixed(vec![site(scheme, rest).ok_or_else(|| wrong("that is no address"))?])),
            "tcp" => Ok(Self::Listed(hosts(rest).ok_or_else(|| wrong("an address in it is none"))?)),
            "etcd" | "etcds" => {
                let (servers, prefix) = rest.split_once('/').ok_or_else(|| wrong("it has no prefix"))?;
                let servers = hosts(servers).ok_or_else(|| wrong("an address in it is none"))?;
                let prefix = format!("/{}", prefix.trim_end_matches('/'));
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
                if prefix.len() < 2 || !prefix.bytes().all(plain) {
                    return Err(wrong("its prefix is empty or holds more than letters, digits and /-_."));
                }
                Ok(Self::Registry { servers, tls: scheme == "etcds", prefix })
            }
            _ => Err(wrong("its scheme is unknown")),
        }
    }
}

impl Place {
    /// A client of the registry that this is. `tls` is used if the URL says so, and then it must be there.
    pub(crate) fn etcd(&self, tls: Option<Tls>) -> Result<Etcd> {
        let Self::Registry { servers, tls: secure, .. } = self else {
            return Err(Error::invalid("registry", "that is no registry: give it as etcd(s)://HOST:PORT/PREFIX"));
        };
        let tls = tls.filter(|_| *secure);
        if *secure && tls.is_none() {
            let what = "etcds:// wants a credential to show: give etcd:// where etcd takes calls in the clear";
            return Err(Error::invalid("registry", what));
        }
        let servers = servers.iter().map(|server| Address::parse(server, *secure)).collect::<Result<_>>()?;
        Ok(Etcd::new(servers, Arc::new(Net { tls })))
    }
}

fn site(scheme: &str, rest: &str) -> Option<Address> {
    let tls = scheme == "https";
    let authority = rest.trim_end_matches('/');
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if has_port {
        return Address::parse(authority, tls).ok();
    }
    Address::new(authority, if tls { 443 } else { 80 }, tls)
}

fn hosts(list: &str) -> Option<Vec<String>> {
    let hosts: Vec<_> = list.split(',').map(str::to_owned).collect();
    (hosts.len() <= MOST && hosts.iter().all(|host| Address::parse(host, false).is_ok())).then_some(hosts)
}

/// The endpoints of a service as they are known now, and word of their changes.
#[derive(Debug, Clone)]
pub struct Endpoints(watch::Receiver<Arc<[Address]>>);

impl Endpoints {
    /// These, always.
    pub(crate) fn fixed(addresses: Vec<Address>) -> Self {
        Self(watch::channel(addresses.into()).1)
    }
    /// Finds them at this place. `tls` is what endpoints of a list or a registry are spoken to with (without it: in the
    /// clear), `registry` what a registry is whose URL says TLS.
    ///
    /// # Errors
    /// A registry is followed by a task: it must be opened inside a tokio runtime.
    pub fn at(place: &Place, tls: bool, registry: Option<Tls>) -> Result<Self> {
        match place {
            Place::Fixed(addresses) => Ok(Self::fixed(addresses.clone())),
            Place::Listed(hosts) => Ok(Self::fixed(hosts.iter().flat_map(|host| Address::parse(host, tls)).collect())),
            Place::Registry { prefix, .. } => {
                let runtime = tokio::runtime::Handle::try_current()
                    .map_err(|_| Error::internal("a registry can only be followed inside a tokio runtime"))?;
                let etcd = place.etcd(registry)?;
                let (sender, receiver) = watch::channel(Arc::from([]));
                runtime.spawn(follow::follow(etcd, prefix.clone(), tls, sender));
                Ok(Self(receiver))
            }
        }
    }
    /// Those that are known now.
    pub fn now(&self) -> Arc<[Address]> {
        self.0.borrow().clone()
    }
    /// Waits for a change; none if there will be no more.
    pub async fn changed(&mut self) -> Option<()> {
        self.0.changed().await.ok()
    }
    /// These, until the sender says otherwise.
    #[cfg(test)]
    pub(crate) fn of(receiver: watch::Receiver<Arc<[Address]>>) -> Self {
        Self(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_places() {
        let fixed = |text: &str| match text.parse::<Place>().unwrap() {
            Place::Fixed(addresses) => addresses[0].to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(fixed("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(fixed("https://cloud.example/"), "https://cloud.example:443");
        assert_eq!(fixed("http://[::1]"), "http://[::1]:80");
        assert_eq!("tcp://a:1,b:2".parse::<Place>().unwrap(), Place::Listed(vec!["a:1".into(), "b:2".into()]));
        let registry = |tls| {
            let servers = vec!["a:1".into(), "b:2".into()];
            Place::Registry { servers, tls, prefix: "/cirro/lab/x".into() }
        };
        assert_eq!("etcd://a:1,b:2/cirro/lab/x/".parse::<Place>().unwrap(), registry(false));
        assert_eq!("etcds://a:1,b:2/cirro/lab/x".parse::<Place>().unwrap(), registry(true));
        let error = registry(true).etcd(None).err().unwrap().to_string();
        assert!(error.contains("wants a credential"), "{error}");
    }

    #[test]
    fn what_names_none_is_refused_with_the_ways_to_say_it() {
        let bad = [
            "",
            "a:1",
            "tcp://",
            "tcp://a",
            "tcp://a:1,",
            "ftp://a:1",
            "http://",
            "http://a/b",
            "http://a:x",
            "etcd://a:1",
            "etcd://a:1/",
            "etcd:///x",
            "etcd://a:1/x y",
            "etcd://a:1/x\n",
        ];
        for text in bad {
            let error = text.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains("give it as"), "{text}: {error}");
        }
    }
}
