//! The `Model` implementation: constants, making and changing rows, and whose rows they are.

use crate::{
    field::Field,
    parse::{Declaration, Scope},
};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

pub(crate) fn expand(model: &Declaration) -> TokenStream {
    let (name, meta) = (&model.name, model.meta());
    let (new, patch, filter) =
        (format_ident!("New{name}"), format_ident!("{name}Patch"), format_ident!("{name}Filter"));
    let (constants, build, apply, within) = (constants(model), build(model), apply(model), within(model));
    let project = match &model.scope {
        Scope::Project(field) | Scope::ProjectOrPublic(field, _) => project_of(model, field),
        _ => quote!(None),
    };
    let refs = model.columns().filter(|field| field.name != "id").filter_map(reference);
    let checks = |pick: fn(&Field) -> bool, of_input: fn(&crate::parse::Extra) -> bool| {
        let fields = model.columns().filter(|field| pick(field)).map(|field| field.name.clone());
        let inputs = model.inputs.iter().filter(|input| of_input(input)).map(|input| input.name.clone());
        let names: Vec<_> = fields.chain(inputs).collect();
        quote!(#(::cirro_models::__private::Check::check(&given.#names).map_err(|detail| ::cirro_models::Error::invalid(stringify!(#names), detail))?;)*)
    };
    let (check_new, check_patch) = (checks(|f| f.create, |i| i.create), checks(|f| f.update, |i| i.update));
    let check_filter = checks(|f| f.filter, |_| false);
    quote! {
        impl ::cirro_models::Model for #name {
            #constants
            type New = #new;
            type Patch = #patch;
            type Filter = #filter;

            fn id(&self) -> ::cirro_models::Id<Self> { self.id }
            fn meta(&self) -> &::cirro_models::Meta { &self.#meta }
            fn meta_mut(&mut self) -> &mut ::cirro_models::Meta { &mut self.#meta }
            fn project(&self) -> Option<::cirro_models::Id<::cirro_models::identity::Project>> { #project }
            fn build(new: #new, seed: ::cirro_models::model::Seed) -> ::cirro_models::Result<Self> { #build }
            fn check_new(given: &#new) -> ::cirro_models::Result<()> {
                #check_new
                ::cirro_models::meta::check_labels(given.labels.iter().map(|(key, value)| (key, value.as_str())))
            }
            fn check_patch(given: &#patch) -> ::cirro_models::Result<()> {
                #check_patch
                ::cirro_models::meta::check_labels(given.labels.iter().map(|(key, value)| (key, value.as_deref().unwrap_or_default())))
            }
            fn check_filter(given: &#filter) -> ::cirro_models::Result<()> {
                #check_filter
                given.label.as_deref().map_or(Ok(()), ::cirro_models::meta::check_label_filter)
            }
            fn labels_of(new: &#new) -> ::cirro_models::Labels { new.labels.clone() }
            fn label_patch(patch: &#patch) -> &::cirro_models::__private::PartialMeta { &patch.labels }
            fn apply(&mut self, patch: #patch) -> ::cirro_models::model::Applied { #apply }
            fn within(&self, reach: &::cirro_models::Reach) -> bool { #within }
            fn refs(&self) -> ::std::vec::Vec<::cirro_models::ModelRef> {
                ::std::vec::Vec::<Option<::cirro_models::ModelRef>>::from([#(#refs),*]).into_iter().flatten().collect()
            }
        }
    }
}

fn constants(model: &Declaration) -> TokenStream {
    let (service, path) = (&model.service, &model.path);
    let (create, read, update, delete) = (&model.create, &model.read, &model.update, &model.delete);
    let scope = match &model.scope {
        Scope::Site => quote!(Site),
        Scope::Project(_) => quote!(Project),
        Scope::ProjectOrPublic(..) => quote!(ProjectOrPublic),
        Scope::Own(_) => quote!(Own),
    };
    let fields = model.columns().map(|field| {
        let (name, create, update, filter) = (field.name.to_string(), field.create, field.update, field.filter);
        quote!(::cirro_models::model::FieldInfo { name: #name, create: #create, update: #update, filter: #filter })
    });
    let (accepted, node) = (model.accepted, model.node().is_some());
    let unique = model.unique.iter().map(ToString::to_string);
    let once = model.once.iter().map(|extra| extra.name.to_string());
    let services = model.services.iter().map(|(operation, service)| {
        let who = service.as_ref().map_or_else(|| quote!(None), |name| quote!(Some(::cirro_models::Service::#name)));
        quote!((Operation::#operation, #who))
    });
    quote! {
        const SERVICE: ::cirro_models::Service = ::cirro_models::Service::#service;
        const PATH: &'static str = #path;
        const SCOPE: ::cirro_models::Scope = ::cirro_models::Scope::#scope;
        const RIGHTS: ::cirro_models::permission::Rights = {
            #[allow(unused_imports)]
            use ::cirro_models::permission::{Operation, Right, Rights};
            Rights {
                create: Right::#create,
                read: Right::#read,
                update: Right::#update,
                delete: Right::#delete,
                services: &[#(#services),*],
            }
        };
        const FIELDS: &'static [::cirro_models::model::FieldInfo] = &[#(#fields),*];
        const NODE_FIELD: bool = #node;
        const ACCEPTED: bool = #accepted;
        const UNIQUE: &'static [&'static str] = &[#(#unique),*];
        const ONCE: &'static [&'static str] = &[#(#once),*];
    }
}

fn build(model: &Declaration) -> TokenStream {
    let fields = model.fields.iter().map(|field| {
        let name = &field.name;
        let default = field.default.as_ref().map_or_else(|| quote!(::std::default::Default::default()), |expr| quote!(#expr));
        let value = if field.meta {
            quote!(seed.meta.labelled(new.labels))
        } else if name == "id" {
            quote!(::cirro_models::Id::from_uuid(seed.id))
        } else if field.generation {
            quote!(::cirro_models::Generation::new(1))
        } else if field.create {
            if let (Some(_), None) = (&field.default, field.optional()) { quote!(new.#name.unwrap_or_else(|| #default)) } else { quote!(new.#name) }
        } else {
            match &model.scope {
                Scope::Project(owner) | Scope::ProjectOrPublic(owner, _) if owner == name => quote! {
                    seed.project.ok_or_else(|| ::cirro_models::Error::forbidden("this needs a project: log in with one"))?
                },
                Scope::Own(owner) if owner == name => quote! {
                    seed.user.ok_or_else(|| ::cirro_models::Error::forbidden("only a person can have this: log in as one"))?
                },
                _ => default,
            }
        };
        quote!(#name: #value)
    });
    quote!(Ok(Self { #(#fields,)* }))
}

fn apply(model: &Declaration) -> TokenStream {
    let meta = model.meta();
    let changes = model.columns().filter(|field| field.update).map(|field| {
        let (name, desired) = (&field.name, field.desired);
        quote! {
            if let Some(value) = patch.#name && self.#name != value {
                self.#name = value;
                applied.changed = true;
                applied.desire |= #desired;
            }
        }
    });
    let generation = model.fields.iter().find(|field| field.generation).map(|field| {
        let name = &field.name;
        quote!(if applied.desire { self.#name = self.#name.next(); })
    });
    quote! {
        let mut applied = ::cirro_models::model::Applied::default();
        #(#changes)*
        applied.changed |= ::cirro_models::meta::patch_labels(&mut self.#meta.labels, &patch.labels);
        if applied.changed { self.#meta.touch(); }
        #generation
        applied
    }
}

fn project_of(model: &Declaration, field: &syn::Ident) -> TokenStream {
    if model.field(field).is_some_and(|field| field.optional().is_some()) {
        quote!(self.#field)
    } else {
        quote!(Some(self.#field))
    }
}

fn within(model: &Declaration) -> TokenStream {
    let node = model.node().map(|field| {
        let name = &field.name;
        let own = if field.optional().is_some() {
            quote!(self.#name.map(|id| id.uuid()))
        } else {
            quote!(Some(self.#name.uuid()))
        };
        quote!(::cirro_models::Reach::Node(node) => #own == Some(*node),)
    });
    let scope = match &model.scope {
        Scope::Site => quote!(),
        Scope::Project(field) => {
            let project = project_of(model, field);
            quote!(::cirro_models::Reach::Project(project) => #project == Some(*project),)
        }
        Scope::ProjectOrPublic(field, public) => {
            let own = project_of(model, field);
            quote! {
                ::cirro_models::Reach::Project(project) => #own == Some(*project),
                ::cirro_models::Reach::ProjectOrPublic(project) => #own == Some(*project) || self.#public,
                ::cirro_models::Reach::Public => self.#public,
            }
        }
        Scope::Own(field) => quote!(::cirro_models::Reach::Own(user) => self.#field.uuid() == *user,),
    };
    quote! {
        match reach {
            ::cirro_models::Reach::All => true,
            #scope
            #node
            _ => false,
        }
    }
}

fn reference(field: &Field) -> Option<TokenStream> {
    let (target, name) = (field.refers_to()?, &field.name);
    let text = name.to_string();
    let label = text.strip_suffix("_id").unwrap_or(&text);
    let id = if field.optional().is_some() { quote!(self.#name) } else { quote!(Some(self.#name)) };
    Some(quote! {
        #id.map(|id| (#label, <#target as ::cirro_models::Model>::SERVICE, <#target as ::cirro_models::Model>::PATH, id.uuid()))
    })
}
