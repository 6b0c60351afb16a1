//! `cirro login`, `logout` and `token`.

use crate::{
    args::Global,
    failure::Failure,
    input, out,
    profile::{Folder, Profile},
    site::{self, Site},
};
use cirro_client::Login;
use cirro_models::Timestamp;
use clap::Args;

/// `login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Who you are: a user's name, or an API key's id; asked for if not given
    #[arg(long, value_name = "NAME|KEY-ID")]
    user: Option<String>,
    /// Read the password, or the key's secret, from the first line of stdin instead of asking
    #[arg(long)]
    password_stdin: bool,
    /// Keep the password in the profile, so that this login renews itself: for scripts with an API key
    #[arg(long)]
    keep_password: bool,
}

impl LoginArgs {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let folder = Folder::find()?;
        let before = folder.read()?;
        let url = site::address(global, before.as_ref());
        let own = before.as_ref().filter(|profile| profile.is_at(&url));
        let ca_file = global.ca_file().map(std::path::absolute).transpose().map_err(|error| {
            Failure::usage(format!("the path of the CA file can't be used ({error}): give an absolute one"))
        })?;
        let ca_file = ca_file.or_else(|| own.and_then(|profile| profile.ca_file.clone()));
        let http = site::client(&url, ca_file.as_deref())?;
        let user = match self.user {
            Some(user) => user,
            None => input::ask("User")?,
        };
        let password = input::password(self.password_stdin, "Password")?;
        let project = global.project().map(str::to_owned);
        let login = Login { name: user.clone(), secret: password.clone(), project: project.clone() };
        let token = login.token(&http).await?;

        let kept =
            own.filter(|profile| profile.user.as_ref() == Some(&user)).and_then(|profile| profile.password.clone());
        let keeps = self.keep_password || kept.is_some();
        if let Some(other) = before.as_ref().filter(|profile| profile.password.is_some() && kept.is_none()) {
            let path = folder.set_aside(other)?;
            let whose = other.user.as_deref().unwrap_or("another user");
            out::note(&crate::escape::line(&format!(
                "The profile held the password of {whose}: it is kept in {}.",
                path.display()
            )));
        }
        let mut profile = Profile {
            url: url.clone(),
            ca_file,
            user: Some(user.clone()),
            project: project.clone(),
            password: keeps.then_some(password),
            ..Profile::default()
        };
        let (role, expires) = (token.role.clone(), token.expires_at);
        let held = site::take_over(&mut profile, project.clone().unwrap_or_default(), token);
        folder.write(&profile)?;
        let place = match (project.or(held.project_id.map(|id| id.to_string())), role) {
            (Some(project), Some(role)) => format!("in project {project} ({role})"),
            _ => "in no project: name one with --project".to_owned(),
        };
        out::note(&crate::escape::line(&format!("Logged in at {url} as {user}, {place}.")));
        if !profile.can_log_in() {
            out::note(&format!(
                "This login ends at {expires} and can't renew itself: --keep-password would keep the key's secret in the profile."
            ));
        }
        Ok(())
    }
}

/// `logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// End what you are logged in with on every machine, not only here
    #[arg(long)]
    everywhere: bool,
    /// Also forget the password that the profile keeps
    #[arg(long)]
    forget_password: bool,
}

impl LogoutArgs {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let folder = Folder::find()?;
        let Some(mut profile) = folder.read()? else {
            out::note("You were not logged in.");
            return Ok(());
        };
        if profile.password.is_some() && !self.forget_password {
            return Err(Failure::usage(format!(
                "{file} keeps the password of {user}, which may stand nowhere else: note it, or set another with \
                 `cirro user update {user} --password`, then run `cirro logout --forget-password`",
                file = folder.file().display(),
                user = profile.user.as_deref().unwrap_or("this user"),
            )));
        }
        if self.everywhere {
            let site = Site::open(global)?;
            let site = &site;
            let end = |ctx: cirro_models::Context| async move {
                let answer = site.http().answer(&ctx, "DELETE", "/identity/v1/token", None, &[]).await?;
                if answer.status < 300 { Ok(()) } else { Err(answer.error()) }
            };
            site.call(None, end).await?;
        }
        profile.password = None;
        profile.refresh = None;
        profile.tokens.clear();
        folder.write(&profile)?;
        out::note(&format!("Logged out of {}.", crate::escape::line(&profile.url)));
        Ok(())
    }
}

/// `token`.
pub(crate) async fn token(global: &Global) -> Result<(), Failure> {
    let site = Site::open(global)?;
    let held = site.token().await?;
    if site.is_json() {
        let whole = serde_json::json!({
            "token": held.token, "expires_at": held.expires_at, "project_id": held.project_id,
        });
        return out::json(&whole);
    }
    if held.expires_at <= Timestamp::now() {
        return Err(cirro_models::Error::unauthenticated("the token in CIRRO_TOKEN has expired: get a new one").into());
    }
    out::text(held.token.expose())
}
