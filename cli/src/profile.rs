//! The profile: where the site is and how its person is known there, kept between commands.
//!
//! It holds secrets, so its file has mode 0600 in a folder of mode 0700, is replaced in one step (a reader sees the old
//! one or the new one), and one that others may read is refused.

use crate::failure::Failure;
use cirro_models::{
    Id, Timestamp,
    identity::{Project, Secret, token::Token},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

const FILE: &str = "profile.json";

/// Where the site is, who works there, and what proves it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// The site's address. Secrets of this profile go there and nowhere else.
    pub(crate) url: String,
    /// Whom to trust besides the system's authorities, a PEM file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Who logs in: a user's name, or an API key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The project to work in when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    /// The password, where its owner wanted it kept: the generated one of the site's first admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<Secret>,
    /// Gets the next token without a password, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh: Option<Secret>,
    /// The token for each project that was asked for; "" is the one that the site chose.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tokens: BTreeMap<String, HeldToken>,
}

/// A token with what it is good for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeldToken {
    /// Goes into `Authorization: Bearer`.
    pub(crate) token: Secret,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
    /// The project it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project_id: Option<Id<Project>>,
}

impl Profile {
    /// The profile of somebody whose password is kept: how `cirro up` leaves the first admin's login.
    pub(crate) fn with_password(url: &str, user: &str, password: Secret, project: &str) -> Self {
        Self {
            url: url.to_owned(),
            user: Some(user.to_owned()),
            project: Some(project.to_owned()),
            password: Some(password),
            ..Self::default()
        }
    }
    /// Whether this is the site's address.
    pub(crate) fn is_at(&self, url: &str) -> bool {
        self.url.trim_end_matches('/') == url.trim_end_matches('/')
    }
    /// Whether anything is left to get a token with.
    pub(crate) fn can_log_in(&self) -> bool {
        self.refresh.is_some() || (self.user.is_some() && self.password.is_some())
    }
}

impl From<Token> for HeldToken {
    fn from(token: Token) -> Self {
        Self { token: token.token, expires_at: token.expires_at, project_id: token.project_id }
    }
}

/// The folder of the profile.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// `CIRRO_CONFIG`, else `cirro` in `XDG_CONFIG_HOME` or `~/.config`.
    pub(crate) fn find() -> Result<Self, Failure> {
        Self::chosen(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }
    fn chosen(env: impl Fn(&str) -> Option<OsString>) -> Result<Self, Failure> {
        if let Some(folder) = env("CIRRO_CONFIG") {
            return Ok(Self(folder.into()));
        }
        // a relative path there is to be ignored (XDG Base Directory Specification)
        let base = env("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = base.or_else(|| env("HOME").map(|home| Path::new(&home).join(".config")));
        base.map(|base| Self(base.join("cirro"))).ok_or_else(|| {
            Failure::failed("there is no home folder for the profile: set CIRRO_CONFIG to a folder of yours")
        })
    }
    /// This folder.
    #[cfg(test)]
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
    /// The profile's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }
    /// The profile, if there is one.
    pub(crate) fn read(&self) -> Result<Option<Profile>, Failure> {
        let path = self.file();
        let broken = |why: String| {
            Failure::failed(format!("{} can't be used ({why}): remove it and run `cirro login`", path.display()))
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken(error.to_string())),
        };
        let mode = file.metadata().map_err(|error| broken(error.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Failure::failed(format!(
                "{path} holds secrets and others may read it (mode {:o}): `chmod 600 {path}`, and change what they may have seen",
                mode & 0o777,
                path = path.display(),
            )));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| broken(error.to_string()))?;
        serde_json::from_str(&text).map(Some).map_err(|error| broken(error.to_string()))
    }
    /// Puts this profile in the place of the one before, in one step.
    pub(crate) fn write(&self, profile: &Profile) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(profile).map_err(cirro_models::Error::internal)?;
        self.replace(&text).map_err(|error| self.unwritable(&error))
    }
    fn replace(&self, text: &[u8]) -> io::Result<()> {
        self.create()?;
        let fresh = self.0.join(format!(".{FILE}.{}", uuid::Uuid::now_v7()));
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).and_then(|mut file| {
            file.write_all(text)?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
        let replaced = written.and_then(|()| fs::rename(&fresh, self.file()));
        if replaced.is_err() {
            // what is left of it holds secrets; the first error says what is wrong with the folder
            let _ = fs::remove_file(&fresh);
        }
        replaced
    }
    fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }
    fn unwritable(&self, error: &io::Error) -> Failure {
        Failure::failed(format!(
            "the profile can't be written to {} ({error}): make room, or set CIRRO_CONFIG to a folder of yours",
            self.0.display()
        ))
    }
    /// Keeps the present profile under another name: it may hold a password that stands nowhere else.
    pub(crate) fn set_aside(&self, profile: &Profile) -> Result<PathBuf, Failure> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let user: String = profile.user.as_deref().unwrap_or("nobody").chars().take(64).map(plain).collect();
        let kept = self.0.join(format!("profile-{user}-{}.json", uuid::Uuid::now_v7()));
        fs::rename(self.file(), &kept).map_err(|error| self.unwritable(&error))?;
        Ok(kept)
    }
    /// Waits until no other command renews the login, and keeps others waiting until the file is dropped: a refresh
    /// secret works once, so two commands that use it at the same time would leave one of them logged out.
    pub(crate) fn lock(&self) -> Result<File, Failure> {
        let locked = self.create().and_then(|()| {
            let file =
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.0.join(".lock"))?;
            file.lock()?;
            Ok(file)
        });
        locked.map_err(|error| self.unwritable(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let temp = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let folder = Folder::at(temp.path().join("config/cirro"));
        (temp, folder)
    }
    fn mode(path: &Path) -> u32 {
        fs::metadata(path).map(|meta| meta.permissions().mode() & 0o777).unwrap_or_default()
    }

    #[test]
    fn what_was_written_is_read_and_nobody_else_may() {
        let (_temp, folder) = folder();
        assert_eq!(folder.read().ok(), Some(None));
        let first = Profile::with_password("http://127.0.0.1:7070", "admin", Secret::new("correct horse"), "default");
        folder.write(&first).unwrap_or_else(|failure| panic!("{failure:?}"));
        let second = Profile { project: Some("other".into()), ..first };
        folder.write(&second).unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(folder.read().ok(), Some(Some(second)));
        assert_eq!((mode(&folder.file()), mode(&folder.0)), (0o600, 0o700));
        let left: Vec<_> = fs::read_dir(&folder.0).map(|entries| entries.flatten().collect()).unwrap_or_default();
        assert_eq!(left.len(), 1, "only the profile itself is left: {left:?}");
    }

    #[test]
    fn a_reader_never_sees_half_a_profile() {
        let (_temp, folder) = folder();
        let profile = |n: usize| Profile { url: "x".repeat(n), ..Profile::default() };
        assert!(folder.write(&profile(10)).is_ok());
        let writer = {
            let folder = folder.clone();
            std::thread::spawn(move || (0..100).all(|n| folder.write(&profile(10 + n * 1000)).is_ok()))
        };
        while !writer.is_finished() {
            assert!(matches!(folder.read(), Ok(Some(_))));
        }
        assert!(writer.join().is_ok_and(|all| all));
    }

    #[test]
    fn one_that_others_may_read_is_refused() {
        let (_temp, folder) = folder();
        assert!(folder.write(&Profile::default()).is_ok());
        assert!(fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o640)).is_ok());
        let refused = folder.read().err().map(|failure| failure.sentence()).unwrap_or_default();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn a_broken_or_unwritable_one_says_what_to_do() {
        let (_temp, folder) = folder();
        assert!(folder.write(&Profile::default()).is_ok());
        assert!(fs::write(folder.file(), "{").is_ok());
        assert!(folder.read().err().is_some_and(|failure| failure.sentence().contains("`cirro login`")));
        let below_a_file = Folder::at(folder.file().join("deeper"));
        let failure = below_a_file.write(&Profile::default()).err().map(|failure| failure.sentence());
        assert!(failure.is_some_and(|sentence| sentence.contains("CIRRO_CONFIG")));
    }

    #[test]
    fn the_folder_follows_the_environment() {
        let chosen = |set: &[(&str, &str)]| {
            let set: BTreeMap<String, String> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Folder::chosen(|name| set.get(name).map(OsString::from)).ok().map(|folder| folder.0.display().to_string())
        };
        let home = ("HOME", "/h");
        assert_eq!(chosen(&[home]).as_deref(), Some("/h/.config/cirro"));
        assert_eq!(chosen(&[home, ("XDG_CONFIG_HOME", "/x")]).as_deref(), Some("/x/cirro"));
        assert_eq!(chosen(&[home, ("XDG_CONFIG_HOME", "x")]).as_deref(), Some("/h/.config/cirro"));
        assert_eq!(chosen(&[home, ("CIRRO_CONFIG", "/c")]).as_deref(), Some("/c"));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn secrets_are_in_no_debug() {
        let profile = Profile::with_password("u", "admin", Secret::new("correct horse"), "p");
        assert!(!format!("{profile:?}").contains("horse"));
    }
}
