//! The owner's side: the diesel table and the handful of concrete statements that the stores are made of.

use crate::{
    field::{Field, last_word},
    parse::{Declaration, Scope},
};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// The columns that every table ends with, from `Meta`.
const META: &[(&str, &str, bool)] = &[
    ("version", "BigInt", false),
    ("labels", "Json", false),
    ("created_by", "Text", false),
    ("created_at", "Instant", false),
    ("updated_at", "Instant", false),
    ("deleted_at", "Instant", true),
];

pub(crate) fn expand(model: &Declaration) -> TokenStream {
    let (name, path, meta) = (&model.name, &model.path, model.meta());
    let rows = format_ident!("{}_rows", model.path);
    let columns: Vec<_> = model.columns().map(|field| field.name.clone()).collect();
    let kinds: Vec<_> = model.columns().map(|field| (kind(field), field.optional().is_some())).collect();
    let meta_columns: Vec<_> = META.iter().map(|(name, ..)| format_ident!("{name}")).collect();
    let sql_types = kinds.iter().map(|(kind, null)| sql_type(kind, *null));
    let meta_types = META.iter().map(|(_, kind, null)| sql_type(kind, *null));
    let stored = model.columns().map(stored).chain(META.iter().map(|(_, kind, null)| meta_stored(kind, *null)));
    let (loads, saves): (Vec<_>, Vec<_>) = (model.columns().map(load).collect(), model.columns().map(save).collect());
    let described = model
        .columns()
        .zip(&kinds)
        .map(|(field, (kind, null))| (field.name.to_string(), *kind, *null))
        .chain(META.iter().map(|(name, kind, null)| ((*name).to_owned(), *kind, *null)))
        .map(|(name, kind, null)| quote!((#name, #kind, #null)));
    let (filters, reaches) = (filters(model, &rows), reaches(model, &rows));
    let all = quote!((#(#rows::#columns,)* #(#rows::#meta_columns,)*));
    let chunk = columns.len() + META.len();
    let filter = format_ident!("{name}Filter");
    quote! {
        ::cirro_models::when_sql! {
            ::cirro_models::__private::diesel::table! {
                use ::cirro_models::sql::types::*;
                #[sql_name = #path]
                #[allow(missing_docs, unreachable_pub)]
                /// The rows of this model.
                #rows (id) { #(#columns -> #sql_types,)* #(#meta_columns -> #meta_types,)* }
            }
            const _: () = {
                use ::cirro_models::__private::diesel::{self, prelude::*, result::QueryResult};
                use ::cirro_models::sql::{self, AnyConnection, Column as _, MultiBackend};

                use ::cirro_models::sql::label::label;
                // what `allow_tables_to_appear_in_same_query!` writes, without the parts that only the crate of `label` may
                impl diesel::query_source::TableNotEqual<label::table> for #rows::table {}
                impl diesel::query_source::TableNotEqual<#rows::table> for label::table {}

                type Row = (#(#stored,)*);

                fn from_row((#(#columns,)* #(#meta_columns,)*): Row) -> QueryResult<#name> {
                    Ok(#name { #(#loads,)* #meta: sql::load_meta(#(#meta_columns),*)? })
                }

                impl sql::Table for #name {
                    const COLUMNS: &'static [(&'static str, &'static str, bool)] = &[#(#described),*];

                    fn select(c: &mut AnyConnection, ids: &[::cirro_models::Id<Self>]) -> QueryResult<::std::vec::Vec<Self>> {
                        // a list is different SQL for each length, and prepared anew each time
                        if let [id] = ids {
                            return #rows::table.find(id.store()).select(#all).load::<Row>(c)?.into_iter().map(from_row).collect();
                        }
                        let ids = ids.iter().map(|id| id.store());
                        #rows::table.filter(#rows::id.eq_any(ids)).select(#all).load::<Row>(c)?.into_iter().map(from_row).collect()
                    }
                    fn page(
                        c: &mut AnyConnection,
                        filter: &#filter,
                        reach: &::cirro_models::Reach,
                        after: Option<::cirro_models::Id<Self>>,
                        limit: i64,
                    ) -> QueryResult<::std::vec::Vec<Self>> {
                        let mut query = #rows::table.select(#all).order_by(#rows::id.asc()).limit(limit).into_boxed::<MultiBackend>();
                        #reaches
                        if let Some(after) = after { query = query.filter(#rows::id.gt(after.store())); }
                        #filters
                        if let Some((key, value)) = filter.label.as_deref().and_then(|label| label.split_once('=')) {
                            query = query.filter(#rows::id.eq_any(sql::label::with(#path, key, value)));
                        }
                        query.load::<Row>(c)?.into_iter().map(from_row).collect()
                    }
                    fn insert(c: &mut AnyConnection, models: &[Self]) -> QueryResult<usize> {
                        let mut count = 0;
                        for models in models.chunks(sql::MAX_VALUES / #chunk) {
                            let values: ::std::vec::Vec<_> = models.iter().map(|model| {
                                let stored = sql::store_meta(&model.#meta);
                                (
                                    #(#rows::#columns.eq(#saves),)*
                                    #rows::version.eq(stored.0), #rows::labels.eq(stored.1), #rows::created_by.eq(stored.2),
                                    #rows::created_at.eq(stored.3), #rows::updated_at.eq(stored.4), #rows::deleted_at.eq(stored.5),
                                )
                            }).collect();
                            let insert = diesel::insert_into(#rows::table).values(values);
                            // a batch insert is different SQL on each database, so it is built once per backend
                            count += match c {
                                AnyConnection::Pg(c) => insert.execute(c)?,
                                AnyConnection::Sqlite(c) => insert.execute(c)?,
                            };
                        }
                        Ok(count)
                    }
                    fn replace(c: &mut AnyConnection, model: &Self, version: ::cirro_models::Generation) -> QueryResult<usize> {
                        let stored = sql::store_meta(&model.#meta);
                        diesel::update(#rows::table.find(model.id.store()).filter(#rows::version.eq(version.get())))
                            .set((
                                #(#rows::#columns.eq(#saves),)*
                                #rows::version.eq(stored.0), #rows::labels.eq(stored.1), #rows::created_by.eq(stored.2),
                                #rows::created_at.eq(stored.3), #rows::updated_at.eq(stored.4), #rows::deleted_at.eq(stored.5),
                            ))
                            .execute(c)
                    }
                    fn remove(c: &mut AnyConnection, id: ::cirro_models::Id<Self>) -> QueryResult<usize> {
                        diesel::delete(#rows::table.find(id.store())).execute(c)
                    }
                }
            };
        }
    }
}

/// The SQL type of a field, told by the last word of its Rust type; what is not listed is a word or a text.
fn kind(field: &Field) -> &'static str {
    if field.json {
        return "Json";
    }
    match last_word(field.bare()).as_str() {
        "Id" => "Guid",
        "bool" => "Bool",
        "i64" | "Generation" | "MiB" | "GiB" | "Vcpus" | "Count" | "Bytes" => "BigInt",
        "Timestamp" => "Instant",
        _ => "Text",
    }
}

fn sql_type(kind: &str, nullable: bool) -> TokenStream {
    let kind = format_ident!("{kind}");
    if nullable { quote!(Nullable<#kind>) } else { quote!(#kind) }
}

fn stored(field: &Field) -> TokenStream {
    let bare = field.bare();
    let stored = if field.json { quote!(sql::JsonValue) } else { quote!(<#bare as sql::Column>::Stored) };
    if field.optional().is_some() { quote!(Option<#stored>) } else { stored }
}

fn meta_stored(kind: &str, nullable: bool) -> TokenStream {
    let stored = match kind {
        "BigInt" => quote!(i64),
        "Json" => quote!(sql::JsonValue),
        "Instant" => quote!(sql::InstantValue),
        _ => quote!(String),
    };
    if nullable { quote!(Option<#stored>) } else { stored }
}

fn load(field: &Field) -> TokenStream {
    let (name, bare) = (&field.name, field.bare());
    let one = if field.json { quote!(sql::load_json) } else { quote!(<#bare as sql::Column>::load) };
    if field.optional().is_some() {
        quote!(#name: #name.map(#one).transpose().map_err(sql::unreadable)?)
    } else {
        quote!(#name: #one(#name).map_err(sql::unreadable)?)
    }
}

fn save(field: &Field) -> TokenStream {
    let (name, bare) = (&field.name, field.bare());
    let one = if field.json { quote!(sql::store_json) } else { quote!(<#bare as sql::Column>::store) };
    if field.optional().is_some() { quote!(model.#name.as_ref().map(#one)) } else { quote!(#one(&model.#name)) }
}

fn filters(model: &Declaration, rows: &syn::Ident) -> TokenStream {
    let each = model.columns().filter(|field| field.filter).map(|field| {
        let name = &field.name;
        quote!(if let Some(value) = &filter.#name { query = query.filter(#rows::#name.eq(value.store())); })
    });
    quote!(#(#each)*)
}

/// The same rule as `Model::within`, as SQL.
fn reaches(model: &Declaration, rows: &syn::Ident) -> TokenStream {
    let node = model.node().map(|field| {
        let name = &field.name;
        quote!(::cirro_models::Reach::Node(node) => query = query.filter(#rows::#name.eq(sql::GuidValue(*node))),)
    });
    let scope = match &model.scope {
        Scope::Site => quote!(),
        Scope::Project(field) => {
            quote!(::cirro_models::Reach::Project(project) => query = query.filter(#rows::#field.eq(project.store())),)
        }
        Scope::ProjectOrPublic(field, public) => quote! {
            ::cirro_models::Reach::Project(project) => query = query.filter(#rows::#field.eq(project.store())),
            ::cirro_models::Reach::ProjectOrPublic(project) => {
                query = query.filter(#rows::#field.eq(project.store()).or(#rows::#public.eq(true)));
            }
            ::cirro_models::Reach::Public => query = query.filter(#rows::#public.eq(true)),
        },
        Scope::Own(field) => {
            quote!(::cirro_models::Reach::Own(user) => query = query.filter(#rows::#field.eq(sql::GuidValue(*user))),)
        }
    };
    quote! {
        match reach {
            ::cirro_models::Reach::All => {}
            #scope
            #node
            _ => return Ok(::std::vec::Vec::new()),
        }
    }
}
