//! A model's declaration, read and checked.

use crate::field::{Field, last_word};
use syn::{
    Data, DeriveInput, Fields, Ident, LitStr, Token, Type, Visibility, meta::ParseNestedMeta, parenthesized,
    punctuated::Punctuated, spanned::Spanned,
};

const WORDS: &str = "service, path, scope, unique, accepted, create, read, update, delete, services, input, once";
const SERVICES: &[&str] = &["Identity", "Compute", "Storage", "Images"];
const RIGHTS: &[&str] = &["Nobody", "Anyone", "Viewer", "Member", "Admin", "Operator"];

/// A field that exists only in requests, or only in the create answer.
pub(crate) struct Extra {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) create: bool,
    pub(crate) update: bool,
}

/// To whom rows belong, with the field that says so.
pub(crate) enum Scope {
    Site,
    Project(Ident),
    ProjectOrPublic(Ident, Ident),
    Own(Ident),
}

/// A model's declaration.
pub(crate) struct Declaration {
    pub(crate) name: Ident,
    pub(crate) vis: Visibility,
    pub(crate) service: Ident,
    pub(crate) path: String,
    pub(crate) scope: Scope,
    pub(crate) unique: Vec<Ident>,
    pub(crate) accepted: bool,
    pub(crate) create: Ident,
    pub(crate) read: Ident,
    pub(crate) update: Ident,
    pub(crate) delete: Ident,
    /// What other services may do: an operation, and who; without a name, each of them.
    pub(crate) services: Vec<(Ident, Option<Ident>)>,
    pub(crate) inputs: Vec<Extra>,
    pub(crate) once: Vec<Extra>,
    pub(crate) fields: Vec<Field>,
}

#[derive(Default)]
struct Given {
    service: Option<Ident>,
    path: Option<LitStr>,
    scope: Option<Scope>,
    unique: Vec<Ident>,
    accepted: bool,
    rights: [Option<Ident>; 4],
    services: Vec<(Ident, Option<Ident>)>,
    inputs: Vec<Extra>,
    once: Vec<Extra>,
}

impl Declaration {
    pub(crate) fn read(input: &DeriveInput) -> syn::Result<Self> {
        let Data::Struct(data) = &input.data else {
            return Err(syn::Error::new(
                input.span(),
                "a model is a struct with named fields: write `pub struct Name { pub id: Id<Name>, … }`",
            ));
        };
        let Fields::Named(named) = &data.fields else {
            return Err(syn::Error::new(
                input.span(),
                "a model is a struct with named fields: write `pub struct Name { pub id: Id<Name>, … }`",
            ));
        };
        if let Some(parameter) = input.generics.params.first() {
            return Err(syn::Error::new(parameter.span(), "a model takes no type parameters: write its types out"));
        }
        let mut given = Given::default();
        for attr in input.attrs.iter().filter(|attr| attr.path().is_ident("model")) {
            attr.parse_nested_meta(|word| given.take(&word))?;
        }
        let missing = |what: &str| syn::Error::new(input.ident.span(), what);
        let [create, read, update, delete] = given.rights;
        let right = |right: Option<Ident>, name: &str| {
            right.ok_or_else(|| {
                missing(&format!("the permission table lacks `{name}`: add `{name} = {}`", RIGHTS.join(" | ")))
            })
        };
        let model = Self {
            name: input.ident.clone(),
            vis: input.vis.clone(),
            service: given.service.ok_or_else(|| {
                missing("which service owns it? add `service = Identity | Compute | Storage | Images`")
            })?,
            path: given
                .path
                .ok_or_else(|| missing("what is it called in paths? add `path = \"…\"`, singular, lower case"))?
                .value(),
            scope: given.scope.ok_or_else(|| {
                missing(
                    "to whom do its rows belong? add `scope = Site | Project | ProjectOrPublic(field) | Own(field)`",
                )
            })?,
            unique: given.unique,
            accepted: given.accepted,
            create: right(create, "create")?,
            read: right(read, "read")?,
            update: right(update, "update")?,
            delete: right(delete, "delete")?,
            services: given.services,
            inputs: given.inputs,
            once: given.once,
            fields: named.named.iter().map(Field::read).collect::<syn::Result<_>>()?,
        };
        model.check()?;
        Ok(model)
    }

    fn check(&self) -> syn::Result<()> {
        let refuse = |text: String| Err(syn::Error::new(self.name.span(), text));
        let count = |pick: fn(&Field) -> bool| self.fields.iter().filter(|field| pick(field)).count();
        let name = &self.name;
        if !self.fields.iter().any(|f| f.name == "id" && f.refers_to().is_some_and(|ty| *name == last_word(ty))) {
            return refuse(format!("a model needs an id: add `pub id: Id<{name}>`"));
        }
        if count(|f| f.meta) > 1 {
            return refuse("a model has one version, labels and times: mark one field as `meta`".to_owned());
        }
        if count(|f| f.meta) == 0 {
            return refuse(
                "a model needs its version, labels and times: add `#[model(meta)] pub meta: Meta`".to_owned(),
            );
        }
        if self.path.is_empty() || !self.path.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return refuse(format!(
                "the path \"{}\" is a table and a part of URLs: write it singular, in lower-case letters and digits only",
                self.path
            ));
        }
        if let Some(input) = self.inputs.iter().find(|input| !input.create && !input.update) {
            let text = format!("when may `{0}` be given? write `input({0}: …, create)`, `update`, or both", input.name);
            return Err(syn::Error::new(input.name.span(), text));
        }
        if count(|f| f.generation) > 1 || count(|f| f.node) > 1 {
            return refuse("at most one field is the `generation`, and at most one names the `node`".to_owned());
        }
        if let Some(field) = self.fields.iter().find(|f| f.desired)
            && count(|f| f.generation) == 0
        {
            let text = "a `desired` field needs something that counts its changes: add `#[model(generation)] pub generation: Generation`";
            return Err(syn::Error::new(field.span(), text));
        }
        let mut named: Vec<&Ident> = self.unique.iter().collect();
        match &self.scope {
            Scope::Site => {}
            Scope::Project(field) | Scope::Own(field) => named.push(field),
            Scope::ProjectOrPublic(field, public) => named.extend([field, public]),
        }
        match named.into_iter().find(|name| !self.fields.iter().any(|field| field.name == **name)) {
            Some(missing) => Err(syn::Error::new(
                missing.span(),
                format!("`{}` has no field `{missing}`: add it, or name one that it has", self.name),
            )),
            None => Ok(()),
        }
    }

    /// The fields that are columns of their own, `meta` left out.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| !field.meta)
    }
    pub(crate) fn meta(&self) -> &Ident {
        self.fields.iter().find(|field| field.meta).map_or(&self.name, |field| &field.name)
    }
    pub(crate) fn field(&self, name: &Ident) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == *name)
    }
    pub(crate) fn node(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.node)
    }
}

impl Given {
    fn take(&mut self, word: &ParseNestedMeta) -> syn::Result<()> {
        let name = word.path.get_ident().map(ToString::to_string).unwrap_or_default();
        match name.as_str() {
            "service" => self.service = Some(one_of(word, SERVICES, "service")?),
            "path" => self.path = Some(word.value()?.parse()?),
            "scope" => self.scope = Some(scope(word)?),
            "unique" => {
                let content;
                parenthesized!(content in word.input);
                self.unique = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?.into_iter().collect();
            }
            "accepted" => self.accepted = true,
            "create" => self.rights[0] = Some(one_of(word, RIGHTS, "right")?),
            "read" => self.rights[1] = Some(one_of(word, RIGHTS, "right")?),
            "update" => self.rights[2] = Some(one_of(word, RIGHTS, "right")?),
            "delete" => self.rights[3] = Some(one_of(word, RIGHTS, "right")?),
            "services" => self.services = services(word)?,
            "input" => self.inputs.push(extra(word)?),
            "once" => self.once.push(extra(word)?),
            _ => return Err(word.error(format!("`{name}` says nothing about a model: use {WORDS}"))),
        }
        Ok(())
    }
}

fn one_of(word: &ParseNestedMeta, known: &[&str], what: &str) -> syn::Result<Ident> {
    let given: Ident = word.value()?.parse()?;
    if known.iter().any(|name| given == name) {
        Ok(given)
    } else {
        Err(syn::Error::new(given.span(), format!("`{given}` is no {what}: use one of {}", known.join(", "))))
    }
}

/// `read, create = Identity`: what services other than the owner may do, all of them or the one that is named.
fn services(word: &ParseNestedMeta) -> syn::Result<Vec<(Ident, Option<Ident>)>> {
    let mut read = Vec::new();
    word.parse_nested_meta(|inner| {
        let name = inner.path.get_ident().map(ToString::to_string).unwrap_or_default();
        let operation = match name.as_str() {
            "create" => "Create",
            "read" => "Read",
            "update" => "Update",
            "delete" => "Delete",
            _ => return Err(inner.error(format!("`{name}` is no operation: use create, read, update or delete"))),
        };
        let operation = Ident::new(operation, inner.path.span());
        let who = if inner.input.peek(Token![=]) { Some(one_of(&inner, SERVICES, "service")?) } else { None };
        read.push((operation, who));
        Ok(())
    })?;
    Ok(read)
}

fn scope(word: &ParseNestedMeta) -> syn::Result<Scope> {
    let value = word.value()?;
    let given: Ident = value.parse()?;
    let field = |default: Option<&str>| -> syn::Result<Ident> {
        if value.peek(syn::token::Paren) {
            let content;
            parenthesized!(content in value);
            content.parse()
        } else if let Some(default) = default {
            Ok(Ident::new(default, given.span()))
        } else {
            Err(syn::Error::new(given.span(), format!("`{given}` needs the field that says so: `{given}(field)`")))
        }
    };
    match given.to_string().as_str() {
        "Site" => Ok(Scope::Site),
        "Project" => Ok(Scope::Project(field(Some("project_id"))?)),
        "ProjectOrPublic" => Ok(Scope::ProjectOrPublic(Ident::new("project_id", given.span()), field(None)?)),
        "Own" => Ok(Scope::Own(field(None)?)),
        _ => Err(syn::Error::new(
            given.span(),
            format!("`{given}` is no scope: use Site, Project, ProjectOrPublic(field) or Own(field)"),
        )),
    }
}

/// `name: Type, create, update`.
fn extra(word: &ParseNestedMeta) -> syn::Result<Extra> {
    let content;
    parenthesized!(content in word.input);
    let name = content.parse()?;
    content.parse::<Token![:]>()?;
    let ty = content.parse()?;
    let mut read = Extra { name, ty, create: false, update: false };
    while content.parse::<Option<Token![,]>>()?.is_some() && !content.is_empty() {
        let when: Ident = content.parse()?;
        match when.to_string().as_str() {
            "create" => read.create = true,
            "update" => read.update = true,
            _ => return Err(syn::Error::new(when.span(), format!("`{when}` is no request: use create or update"))),
        }
    }
    Ok(read)
}
