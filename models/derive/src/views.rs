//! What callers send: the model without what they may not write.

use crate::parse::Declaration;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

pub(crate) fn expand(model: &Declaration) -> TokenStream {
    let views = [new(model), patch(model), filter(model)];
    quote!(#(#views)*)
}

fn derives() -> TokenStream {
    quote! {
        #[derive(
            Clone, Debug,
            ::cirro_models::__private::serde::Serialize,
            ::cirro_models::__private::serde::Deserialize,
            ::cirro_models::__private::utoipa::ToSchema,
        )]
    }
}

fn new(model: &Declaration) -> TokenStream {
    let (vis, derives, view) = (&model.vis, derives(), format_ident!("New{}", model.name));
    let doc = format!("What a caller gives to create a [`{}`].", model.name);
    let absent = quote!(#[serde(default, skip_serializing_if = "Option::is_none")]);
    let fields = model.columns().filter(|field| field.create).map(|field| {
        let (docs, name, ty, bare) = (&field.docs, &field.name, &field.ty, field.bare());
        if field.may_be_absent() {
            quote!(#(#docs)* #absent pub #name: Option<#bare>)
        } else {
            quote!(#(#docs)* pub #name: #ty)
        }
    });
    let inputs = model.inputs.iter().filter(|input| input.create).map(|input| {
        let (name, ty) = (&input.name, &input.ty);
        let how = crate::field::inner(ty, "Option").map(|_| &absent);
        quote!(#[doc = "Only in requests."] #how pub #name: #ty)
    });
    quote! {
        #[doc = #doc]
        #derives
        #[serde(crate = "::cirro_models::__private::serde", deny_unknown_fields)]
        #vis struct #view {
            #(#fields,)*
            #(#inputs,)*
            /// Words to find it by.
            #[serde(default, skip_serializing_if = "::std::collections::BTreeMap::is_empty")]
            pub labels: ::cirro_models::Labels,
        }
    }
}

fn patch(model: &Declaration) -> TokenStream {
    let (vis, derives, view) = (&model.vis, derives(), format_ident!("{}Patch", model.name));
    let doc = format!("What a caller gives to change a [`{}`]: what is absent stays.", model.name);
    let set = quote!(#[serde(default, deserialize_with = "::cirro_models::__private::present", skip_serializing_if = "Option::is_none")]);
    let fields = model.columns().filter(|field| field.update).map(|field| {
        let (docs, name, bare) = (&field.docs, &field.name, field.bare());
        if field.optional().is_some() {
            quote! {
                #(#docs)*
                #[serde(default, deserialize_with = "::cirro_models::__private::cleared_or_set", skip_serializing_if = "Option::is_none")]
                #[schema(value_type = Option<#bare>)]
                pub #name: Option<Option<#bare>>
            }
        } else {
            quote!(#(#docs)* #set #[schema(value_type = #bare, required = false)] pub #name: Option<#bare>)
        }
    });
    let inputs = model.inputs.iter().filter(|input| input.update).map(|input| {
        let name = &input.name;
        let bare = crate::field::inner(&input.ty, "Option").unwrap_or(&input.ty);
        quote!(#[doc = "Only in requests."] #set #[schema(value_type = #bare, required = false)] pub #name: Option<#bare>)
    });
    quote! {
        #[doc = #doc]
        #derives
        #[derive(Default)]
        #[serde(crate = "::cirro_models::__private::serde", deny_unknown_fields)]
        #[allow(clippy::option_option, reason = "keep, clear and set are the three values of RFC 7396")]
        #vis struct #view {
            #(#fields,)*
            #(#inputs,)*
            /// Labels to set, or to remove with `null`.
            #[serde(default, skip_serializing_if = "::std::collections::BTreeMap::is_empty")]
            pub labels: ::cirro_models::__private::PartialMeta,
        }
    }
}

fn filter(model: &Declaration) -> TokenStream {
    let (vis, derives, view) = (&model.vis, derives(), format_ident!("{}Filter", model.name));
    let doc = format!("What a list of [`{}`] can be narrowed by: every given value has to be met.", model.name);
    let fields = model.columns().filter(|field| field.filter).map(|field| {
        let (docs, name, bare) = (&field.docs, &field.name, field.bare());
        quote!(#(#docs)* #[serde(default, skip_serializing_if = "Option::is_none")] pub #name: Option<#bare>)
    });
    quote! {
        #[doc = #doc]
        #derives
        #[derive(Default)]
        #[serde(crate = "::cirro_models::__private::serde", deny_unknown_fields)]
        #vis struct #view {
            #(#fields,)*
            /// A label that it must have, as `key=value`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub label: Option<String>,
        }
    }
}
