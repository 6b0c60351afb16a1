//! How a model looks on the wire: serde, the OpenAPI schema, and the plain traits that every model has.

use crate::{field::Field, parse::Declaration};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

/// The function that makes a field's default.
fn default_of(field: &Field) -> Ident {
    format_ident!("default_{}", field.name)
}

pub(crate) fn expand(model: &Declaration) -> TokenStream {
    let name = &model.name;
    let text = name.to_string();
    // a struct of the same fields: serde's `remote` makes it write and read the model itself
    let wire = format_ident!("{name}OnTheWire");
    let fields = model.fields.iter().map(|field| {
        let (docs, ident, ty) = (&field.docs, &field.name, &field.ty);
        let how = if field.meta {
            quote!(#[serde(flatten)])
        } else if field.optional().is_some() {
            quote!(#[serde(default, skip_serializing_if = "Option::is_none")])
        } else if field.default.is_some() {
            // an owner of an earlier release does not know the field, and answers that it has given are read again
            let function = default_of(field).to_string();
            quote!(#[serde(default = #function)] #[schema(required = true)])
        } else {
            quote!()
        };
        quote!(#(#docs)* #how #ident: #ty)
    });
    let defaults = model.fields.iter().filter(|field| field.optional().is_none()).filter_map(|field| {
        let (function, ty, value) = (default_of(field), &field.ty, field.default.as_ref()?);
        Some(quote!(fn #function() -> #ty { #value }))
    });
    let all: Vec<_> = model.fields.iter().map(|field| &field.name).collect();
    quote! {
        const _: () = {
            use ::cirro_models::__private::{serde, utoipa};

            #[derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
            #[serde(crate = "::cirro_models::__private::serde", remote = #text)]
            #[allow(dead_code)]
            struct #wire { #(#fields,)* }
            #(#defaults)*

            impl serde::Serialize for #name {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                    #wire::serialize(self, serializer)
                }
            }
            impl<'de> serde::Deserialize<'de> for #name {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                    #wire::deserialize(deserializer)
                }
            }
            impl utoipa::PartialSchema for #name {
                fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                    <#wire as utoipa::PartialSchema>::schema()
                }
            }
            impl utoipa::ToSchema for #name {
                fn name() -> ::std::borrow::Cow<'static, str> {
                    ::std::borrow::Cow::Borrowed(#text)
                }
                fn schemas(schemas: &mut ::std::vec::Vec<(::std::string::String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
                    <#wire as utoipa::ToSchema>::schemas(schemas);
                }
            }
        };
        impl ::std::clone::Clone for #name {
            fn clone(&self) -> Self {
                Self { #(#all: ::std::clone::Clone::clone(&self.#all),)* }
            }
        }
        impl ::std::fmt::Debug for #name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(#text)#(.field(stringify!(#all), &self.#all))*.finish()
            }
        }
        impl ::std::cmp::PartialEq for #name {
            fn eq(&self, other: &Self) -> bool {
                true #(&& self.#all == other.#all)*
            }
        }
    }
}
