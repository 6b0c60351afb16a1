//! The command line: what may be typed, what it means, and the help for somebody who is new here.

use crate::{
    audit::AuditArgs,
    capacity::CapacityArgs,
    events::EventsArgs,
    failure::Failure,
    launch::LaunchArgs,
    login::{self, LoginArgs, LogoutArgs},
    nouns::{
        attachment, flavor, grant, group, image, instance, key, node, plan, pool, project, ssh_key, unclaimed, user,
        volume,
    },
    out::{self, Format},
    quota,
    serve::ServeArgs,
    site::Site,
    site_verbs,
    undo::UndoArgs,
    up::UpArgs,
    why::WhyArgs,
    why_not::WhyNotArgs,
};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::path::{Path, PathBuf};

/// What the top-level help ends with.
pub(crate) const AFTER_HELP: &str = "\
Things are named by name or by id. A name means something in your own project first, then among public things.

First steps:
  cirro login --user alice                   asks for the password
  cirro image create --file debian-12.qcow2
  cirro instance create --name web1 --image debian-12 --flavor small --wait
  cirro instance console-log web1
  cirro instance list -o json | jq -r '.items[].address'

Environment:
  CIRRO_URL         the site's address, as --url
  CIRRO_TOKEN       a bearer token (`cirro token` prints one) or an API key (`cirro key create`); the profile is not used then
  CIRRO_PROJECT     the project to work in, as --project
  CIRRO_CONFIG      the folder of the profile [default: $XDG_CONFIG_HOME/cirro or ~/.config/cirro]
  CIRRO_REQUEST_ID  under which request id a command's calls are found in logs [default: a new one]
  CIRRO_LOG         what to log on stderr, such as debug

Exit codes:
  0  done
  1  refused or failed
  2  what was typed can't be done
  3  not found
  4  not logged in
  5  not reachable, or not done in time: try again
  6  conflict, quota or capacity
  7  some of many did not go well: of a launch, not all run; of an audit, something was found";

/// What the help of `launch` ends with.
const LAUNCH_HELP: &str = "\
Examples:
  cirro launch workers --count 1000 --flavor small --image demo --watch
  cirro launch workers --count 1000 --flavor small --image demo --dry-run
  cirro launch -f plan.yaml --hold && cirro launch --plan shop --wait
  cirro launch --schema >launch.schema.json

Exit codes:
  0  all that were asked for run (without --wait and --watch: the plan is accepted); with --dry-run, all fit
  5  not done within --timeout: it goes on
  6  refused, and nothing is made: no room, quota, or a name that is taken; with --dry-run, not all fit
  7  some do not run: failed, or no place for them (--best-effort)
  others as of every command (`cirro --help`)";

/// Cirro: virtual machines, volumes and images in your own cloud.
#[derive(Debug, Parser)]
#[command(name = "cirro", version, after_help = AFTER_HELP, max_term_width = 120)]
#[command(disable_help_subcommand = true, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The site's address [default: the profile's, or this machine's]
    #[arg(long, global = true, env = "CIRRO_URL", hide_env = true)]
    url: Option<String>,
    /// The project to work in [default: the profile's]
    #[arg(long, global = true, env = "CIRRO_PROJECT", hide_env = true, value_name = "NAME|ID")]
    project: Option<String>,
    /// A PEM file with the site's certificate authority [default: the profile's]
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How to print results
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "table|json"
    )]
    output: Format,
}

impl Global {
    /// The address that was asked for; an empty variable asks for nothing.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| !url.is_empty())
    }
    /// The project that was asked for.
    pub(crate) fn project(&self) -> Option<&str> {
        self.project.as_deref().filter(|project| !project.is_empty())
    }
    /// The certificate authority that was named.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }
    /// How results are printed.
    pub(crate) fn output(&self) -> Format {
        self.output
    }
}

/// What is to be done. A command that runs a site, such as `up`, is one more variant and its arm in [`Command::run`];
/// it calls [`crate::log`] with a default first.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole site on this machine: the four services and, unless told otherwise, the agent that runs its guests
    #[command(after_help = "Examples:\n  cirro up\n  cirro up --data /srv/cirro --listen 127.0.0.1:8080\n  \
        cirro up --no-agent --simulate 100 --seed 7 --fail '5%:refuse' --fail 'node-0005:hang@30s'")]
    Up(UpArgs),
    /// Run one service in this process, one of any number: it finds the others, and is found, by the registry
    #[command(after_help = "Example:\n  CIRRO_DATABASE=postgres://cirro:…@db/compute cirro serve compute \\\n    \
        --registry etcd://10.0.0.1:2379/cirro/lab --listen 10.0.0.2:7102 --credential /etc/cirro/compute")]
    Serve(ServeArgs),
    /// Sites of several processes: their authority, the bus in front of them, and what they do
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro site init --dir /etc/cirro --name lab\n  cirro site status --data /srv/try\n  \
        cirro site logs --data /srv/try --request 0197…"
    )]
    Site(site_verbs::Verb),
    /// Log in, and remember the site and the project
    #[command(after_help = "Examples:\n  cirro login --url https://cloud.example --user alice --project web\n  \
        cirro login --user 0197… --password-stdin <secret-of-the-api-key --keep-password")]
    Login(LoginArgs),
    /// Forget the login
    Logout(LogoutArgs),
    /// Print a bearer token for scripts; it is good for some minutes
    #[command(after_help = "Example, which keeps the token out of the command line:\n  \
        curl -H @<(printf 'Authorization: Bearer %s' \"$(cirro token)\") http://127.0.0.1:7070/compute/v1/instance")]
    Token,
    /// Users: people who may log in
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro user me\n  cirro user create --name alice --full-name 'Alice A.'\n  \
        cirro user update alice --password\n  cirro user disable alice"
    )]
    User(user::Verb),
    /// Projects: who owns things, and how many
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro project create --name web --max-instances 50 --max-memory 200GiB\n  \
        cirro project update web --max-volumes 100\n  cirro --project web instance list"
    )]
    Project(project::Verb),
    /// Quotas: what a project may have, and how much of it is taken
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro quota show\n  cirro --project web quota show -o json\n  \
        cirro --project web quota set instances=50 memory=200GiB\n\nThe project is the one that you work in, or --project. \
        Only an operator sets limits."
    )]
    Quota(quota::Verb),
    /// Grants: who may do what where
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro grant create --user alice --role member --in web\n  \
        cirro grant list --in web\n  cirro grant delete 0197…"
    )]
    Grant(grant::Verb),
    /// Groups: people who are granted roles together
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro group create --name web-team\n  cirro group add web-team alice bob\n  \
        cirro grant create --group web-team --role member --in web\n  cirro group remove web-team bob"
    )]
    Group(group::Verb),
    /// API keys: for scripts that work in your name
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro key create --name backup --role viewer --expires-in 30d\n  \
        cirro key delete backup"
    )]
    Key(key::Verb),
    /// Machine images: what instances start from
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro image create --file debian-12.qcow2\n  \
        cirro image create --file disk.img --name appliance --format raw\n  cirro image download debian-12 copy.qcow2"
    )]
    Image(image::Verb),
    /// Flavors: the sizes that instances come in
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro flavor list\n  \
        cirro flavor create --name small --vcpus 1 --memory 512MiB --disk 5GiB"
    )]
    Flavor(flavor::Verb),
    /// Public SSH keys: who may log in to instances
    #[command(subcommand, after_help = "Example:\n  cirro sshkey create --name laptop --file ~/.ssh/id_ed25519.pub")]
    Sshkey(ssh_key::Verb),
    /// Nodes: the machines that run guests
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro node list\n  cirro node drain node1\n  cirro node maintenance node1\n  \
        cirro node return node1\n  cirro node join-token --memory 64GiB >token\n  cirro node revoke node1\n  cirro node join-token --node node1 >token"
    )]
    Node(node::Verb),
    /// Storage pools: where volumes lie
    #[command(subcommand, after_help = "Example:\n  cirro pool create --name fast --node node1 --capacity 500GiB")]
    Pool(pool::Verb),
    /// Volumes: disks that outlive instances
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro volume create --name data --size 20GiB --wait\n  \
        cirro volume attach data web1 --wait\n  cirro volume detach data --wait"
    )]
    Volume(volume::Verb),
    /// Attachments: which volume is in which instance
    #[command(
        subcommand,
        after_help = "Example:\n  cirro attachment list --instance web1\n\n\
        They are made by `cirro volume attach` and ended by `cirro volume detach`."
    )]
    Attachment(attachment::Verb),
    /// Instances: virtual machines
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro instance create --name web1 --image debian-12 --flavor small --sshkey laptop --wait\n  \
        cirro instance console-log web1 --lines 20\n  cirro instance stop web1 --wait --timeout 60\n  \
        cirro instance list --status failed\n  cirro instance resize web1 --flavor large --wait\n  cirro instance delete web1 web2 --wait"
    )]
    Instance(instance::Verb),
    /// Launch many instances by one request
    #[command(after_help = LAUNCH_HELP)]
    Launch(LaunchArgs),
    /// Launch plans: what was launched, is held, or was only looked at
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro plan list --status launching\n  cirro plan show workers -o json\n\n\
        They are made by `cirro launch` and taken back by `cirro undo`."
    )]
    Plan(plan::Verb),
    /// Take a launch back: what it made goes, but for what somebody has changed since
    #[command(after_help = "Examples:\n  cirro undo workers\n  cirro undo workers --yes --wait")]
    Undo(UndoArgs),
    /// Tell why an instance is on its node
    #[command(after_help = "Examples:\n  cirro why web-0001\n  cirro why web-0001 -o json | jq .placement.refused")]
    Why(WhyArgs),
    /// Tell why an instance is not on a node, or could not be there; for operators
    #[command(after_help = "Example:\n  cirro why-not web-0001 node-0005\n\n\
        It is judged by the scheduler's own rules, as if the instance had no place yet.")]
    WhyNot(WhyNotArgs),
    /// Tell how many more instances fit, as the scheduler sees it
    #[command(after_help = "Example:\n  cirro capacity --flavor small\n\nThe project's quota counts, too.")]
    Capacity(CapacityArgs),
    /// Unclaimed guests: held by a node, but no instance stands for them
    #[command(
        subcommand,
        after_help = "Examples:\n  cirro unclaimed list\n  cirro unclaimed adopt web1\n  cirro unclaimed delete web2\n\n\
        They appear when the site's databases were put back to an earlier state. Their nodes leave them alone."
    )]
    Unclaimed(unclaimed::Verb),
    /// Audit: what has no owner, and which books do not agree; `list` tells what was done, by whom
    #[command(
        after_help = "Examples:\n  cirro audit\n  cirro audit --service compute -o json | jq -r '.items[].code'\n  \
        cirro audit list --service compute --since 1d\n  cirro audit list --service identity --user alice --all -o json\n\n\
        Exit codes of the audit:\n  0  nothing was found\n  7  something was found: a line each, with its code and what to do\n  \
        others as of every command (`cirro --help`)"
    )]
    Audit(AuditArgs),
    /// Events: what changes, a line each; JSON lines in a pipe
    #[command(after_help = "Examples:\n  cirro events --follow\n  \
        cirro events --service compute --model instance --follow -o json | jq -r .id\n  \
        cirro events --service compute --after 64cf….0.2a\n\n\
        Only what you may read is told. A broken connection is taken up again where it ended.")]
    Events(EventsArgs),
    /// Print the completions of a shell
    #[command(after_help = "Examples:\n  cirro completion bash >~/.local/share/bash-completion/completions/cirro\n  \
        cirro completion zsh >~/.zfunc/_cirro\n  cirro completion fish >~/.config/fish/completions/cirro.fish")]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

impl Command {
    /// What a process is called that runs until it is told to end.
    pub(crate) fn serves(&self) -> Option<&'static str> {
        match self {
            Self::Up(_) => Some("site"),
            Self::Serve(args) => Some(args.service()),
            Self::Site(verb) => verb.serves().then_some("operator"),
            _ => None,
        }
    }
    /// What is logged if `CIRRO_LOG` does not say: a command that serves tells what it does.
    pub(crate) fn default_log(&self) -> Option<&'static str> {
        self.serves().map(|_| match self {
            // one process of many tells of each request; a site in one process leaves that to those who ask, and reads
            // without spans
            Self::Up(_) => "info,actix_server=warn,cirro::request=warn,cirro::span::read=warn",
            _ => "info,actix_server=warn",
        })
    }
    /// Does it.
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let site = || Site::open(global);
        match self {
            Self::Login(args) => args.run(global).await,
            Self::Up(args) => args.run().await,
            Self::Serve(args) => args.run().await,
            Self::Site(verb) => verb.run(global).await,
            Self::Logout(args) => args.run(global).await,
            Self::Token => login::token(global).await,
            Self::User(verb) => verb.run(&site()?).await,
            Self::Project(verb) => verb.run(&site()?).await,
            Self::Quota(verb) => verb.run(&site()?).await,
            Self::Grant(verb) => verb.run(&site()?).await,
            Self::Group(verb) => verb.run(&site()?).await,
            Self::Key(verb) => verb.run(&site()?).await,
            Self::Image(verb) => verb.run(&site()?).await,
            Self::Flavor(verb) => verb.run(&site()?).await,
            Self::Sshkey(verb) => verb.run(&site()?).await,
            Self::Node(verb) => verb.run(&site()?).await,
            Self::Pool(verb) => verb.run(&site()?).await,
            Self::Volume(verb) => verb.run(&site()?).await,
            Self::Attachment(verb) => verb.run(&site()?).await,
            Self::Instance(verb) => verb.run(&site()?).await,
            Self::Launch(args) if args.is_schema() => LaunchArgs::print_schema(),
            Self::Launch(args) => args.run(&site()?).await,
            Self::Plan(verb) => verb.run(&site()?).await,
            Self::Undo(args) => args.run(&site()?).await,
            Self::Why(args) => args.run(&site()?).await,
            Self::WhyNot(args) => args.run(&site()?).await,
            Self::Capacity(args) => args.run(&site()?).await,
            Self::Unclaimed(verb) => verb.run(&site()?).await,
            Self::Audit(args) => args.run(&site()?).await,
            Self::Events(args) => args.run(&site()?).await,
            Self::Completion { shell } => completion(shell),
            Self::Version => out::text(concat!("cirro ", env!("CARGO_PKG_VERSION"))),
        }
    }
}

fn completion(shell: Shell) -> Result<(), Failure> {
    // into memory first: the generator can't report a closed pipe
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cirro", &mut script);
    out::text(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_of_everything() {
        let mut command = Cli::command().term_width(110);
        command.build();
        insta::assert_snapshot!("help", command.render_help().to_string());
        let nouns: Vec<String> = command.get_subcommands().map(|noun| noun.get_name().to_owned()).collect();
        for noun in nouns {
            let mut text = String::new();
            if let Some(noun) = command.find_subcommand_mut(&noun) {
                text.push_str(&noun.render_help().to_string());
                for verb in noun.get_subcommands_mut() {
                    text += "\n----\n";
                    text += &verb.render_help().to_string();
                }
            }
            insta::assert_snapshot!(format!("help-{noun}"), text);
        }
    }

    #[test]
    fn no_secret_is_an_argument() {
        let mut command = Cli::command();
        command.build();
        let mut commands = vec![&command];
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands());
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let takes = argument.get_action().takes_values();
                assert!(!(takes && (id.contains("password") || id.contains("secret") || id.contains("token"))), "{id}");
            }
        }
    }

    #[test]
    fn what_quickstart_types_is_understood() {
        for line in [
            "instance create --image demo --flavor small --name web1 --wait",
            "image create --name demo --file demo.qcow2 --public",
            "image show demo -o json",
            "node list -o json",
            "instance console-log web1",
            "instance stop web1 --force --wait --timeout 20",
            "--project web -o json instance list --all --label env=prod",
            "volume attach data web1 --wait",
            "token",
        ] {
            let words = std::iter::once("cirro").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
