//! The derive, seen from outside: what it writes for a model, and what it says to a mistake.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails where it is")]

use crate::expand;
use syn::DeriveInput;

/// What the derive writes for this declaration, as readable Rust; or what it says.
fn expanded(declaration: &str) -> String {
    let input: DeriveInput = syn::parse_str(declaration).expect("the test's declaration is Rust");
    match expand(&input) {
        Ok(tokens) => prettyplease::unparse(&syn::parse2(tokens).expect("the derive writes items")),
        Err(error) => format!("error: {error}"),
    }
}

/// What the derive says to this mistake.
fn said(declaration: &str) -> String {
    let answer = expanded(declaration);
    assert!(answer.starts_with("error: "), "this was accepted:\n{declaration}");
    answer
}

#[test]
fn a_model_of_the_site_with_extras() {
    insta::assert_snapshot!(expanded(
        r#"
        /// A harbour.
        #[model(service = Storage, path = "harbour", scope = Site, unique(name), accepted)]
        #[model(create = Operator, read = Anyone, update = Operator, delete = Nobody)]
        #[model(input(password: Option<Secret>, create, update), once(secret: Secret))]
        pub struct Harbour {
            /// Its id.
            #[model(node)]
            pub id: Id<Harbour>,
            /// What people call it.
            #[model(create, update, filter)]
            pub name: Name,
            #[model(meta)]
            pub meta: Meta,
        }"#
    ));
}

#[test]
fn a_model_of_a_project_with_every_marker() {
    insta::assert_snapshot!(expanded(
        r#"
        #[model(service = Compute, path = "boat", scope = ProjectOrPublic(public), unique(project_id, name))]
        #[model(create = Member, read = Viewer, update = Member, delete = Admin, services(read, create = Identity))]
        pub(crate) struct Boat {
            pub id: Id<Boat>,
            pub project_id: Id<Project>,
            #[model(create, update)]
            pub name: Name,
            #[model(create, update, filter, default = false)]
            pub public: bool,
            #[model(create, update)]
            pub note: Option<String>,
            #[model(create, json)]
            pub crew: Option<Vec<String>>,
            #[model(update, desired, default = Power::Running)]
            pub power: Power,
            #[model(generation)]
            pub generation: Generation,
            #[model(status)]
            pub seen_at: Option<Timestamp>,
            #[model(system, filter, node)]
            pub node_id: Option<Id<Node>>,
            #[model(meta)]
            pub meta: Meta,
        }"#
    ));
}

#[test]
fn the_scopes_of_a_project_and_of_a_person() {
    for (name, scope, field) in
        [("Plan", "Project", "project_id: Id<Project>"), ("Badge", "Own(user_id)", "user_id: Id<User>")]
    {
        let text = expanded(&format!(
            "#[model(service = Identity, path = \"thing\", scope = {scope})]
             #[model(create = Anyone, read = Anyone, update = Nobody, delete = Anyone)]
             pub struct {name} {{ pub id: Id<{name}>, pub {field}, #[model(meta)] pub meta: Meta }}"
        ));
        // only what differs by scope; the rest is in the other snapshots
        let parts = ["fn project(", "fn build(", "fn within("].map(|part| function(&text, part));
        insta::assert_snapshot!(name, parts.join("\n"));
    }
}

/// The text of one function.
fn function<'t>(text: &'t str, start: &str) -> &'t str {
    let from = &text[text.find(start).expect("the function is written")..];
    &from[..from.find("\n    }\n").expect("the function ends") + 6]
}

/// A good declaration with one place to spoil.
fn with(head: &str, fields: &str) -> String {
    format!(
        "#[model({head})] #[model(create = Member, read = Viewer, update = Member, delete = Member)]
         pub struct Boat {{ {fields} #[model(meta)] pub meta: Meta }}"
    )
}

const HEAD: &str = "service = Compute, path = \"boat\", scope = Site";
const ID: &str = "pub id: Id<Boat>,";

#[test]
fn the_declaration_that_the_mistakes_are_made_in_is_good() {
    assert!(!expanded(&with(HEAD, ID)).starts_with("error"));
}

#[test]
fn each_mistake_is_told_what_to_write_instead() {
    let fields = |fields: &str| with(HEAD, &format!("{ID} {fields}"));
    let head = |head: &str| with(head, &format!("{ID} #[model(create)] pub name: Name, pub public: bool,"));
    let table = |table: &str| {
        format!("#[model({HEAD})] #[model({table})] pub struct Boat {{ {ID} #[model(meta)] pub meta: Meta }}")
    };
    let mistakes = [
        ("no id", with(HEAD, "pub name: Name,")),
        ("another's id", with(HEAD, "pub id: Id<Ship>,")),
        (
            "no meta",
            format!(
                "#[model({HEAD})] #[model(create = Member, read = Viewer, update = Member, delete = Member)] pub struct Boat {{ {ID} }}"
            ),
        ),
        ("two metas", fields("#[model(meta)] pub more: Meta,")),
        ("unknown marker", fields("#[model(creat)] pub name: Name,")),
        ("marker with a value", fields("#[model(create = true)] pub name: Name,")),
        ("status and create", fields("#[model(status, create)] pub state: State,")),
        ("system and update", fields("#[model(system, update)] pub state: State,")),
        ("status and system", fields("#[model(status, system)] pub state: State,")),
        (
            "desired without update",
            fields("#[model(create, desired)] pub power: Power, #[model(generation)] pub g: Generation,"),
        ),
        ("desired without generation", fields("#[model(update, desired)] pub power: Power,")),
        ("two generations", fields("#[model(generation)] pub g: Generation, #[model(generation)] pub h: Generation,")),
        ("two nodes", fields("#[model(node)] pub g: Id<Node>, #[model(node)] pub h: Id<Node>,")),
        ("json and filter", fields("#[model(create, json, filter)] pub crew: Vec<String>,")),
        ("generation that callers give", fields("#[model(generation, create)] pub g: Generation,")),
        ("no service", head("path = \"boat\", scope = Site")),
        ("no path", head("service = Compute, scope = Site")),
        ("no scope", head("service = Compute, path = \"boat\"")),
        ("unknown service", head("service = Network, path = \"boat\", scope = Site")),
        ("a path that is none", head("service = Compute, path = \"Big-Boat\", scope = Site")),
        ("unknown scope", head("service = Compute, path = \"boat\", scope = Team")),
        ("scope without its field", head("service = Compute, path = \"boat\", scope = Own")),
        ("scope of a field that is not there", head("service = Compute, path = \"boat\", scope = Own(user_id)")),
        ("project without its field", head("service = Compute, path = \"boat\", scope = Project")),
        ("public without its project", head("service = Compute, path = \"boat\", scope = ProjectOrPublic(public)")),
        ("unique of a field that is not there", head(&format!("{HEAD}, unique(title)"))),
        ("unknown word", head(&format!("{HEAD}, cached"))),
        ("input without a request", head(&format!("{HEAD}, input(password: Secret)"))),
        ("input of an unknown request", head(&format!("{HEAD}, input(password: Secret, read)"))),
        ("unknown right", table("create = Captain, read = Viewer, update = Member, delete = Member")),
        (
            "unknown operation of services",
            table("create = Member, read = Viewer, update = Member, delete = Member, services(list)"),
        ),
        (
            "unknown service among services",
            table("create = Member, read = Viewer, update = Member, delete = Member, services(read = Bank)"),
        ),
        ("missing right", table("create = Member, read = Viewer, update = Member")),
        ("tuple struct", format!("#[model({HEAD})] pub struct Boat(Id<Boat>);")),
        ("enum", format!("#[model({HEAD})] pub enum Boat {{ Id }}")),
        ("type parameters", format!("#[model({HEAD})] pub struct Boat<T> {{ {ID} t: T }}")),
        ("nothing at all", "pub struct Boat { pub id: Id<Boat> }".to_owned()),
    ];
    let told: Vec<String> = mistakes.iter().map(|(mistake, text)| format!("{mistake}\n    {}", said(text))).collect();
    insta::assert_snapshot!(told.join("\n"));
}
