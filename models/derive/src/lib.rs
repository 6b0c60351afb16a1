//! `#[derive(Model)]`: from one readable struct to everything that follows from it.
//!
//! A model is parsed once ([`parse`]) and written out by small pure functions: the wire form ([`wire`]), the request
//! views ([`views`]), the `Model` implementation ([`model`]) and the diesel table with its statements ([`sql`]). The
//! derive invents no fields; what a marker means is said in the design, "Models are declared once".

mod field;
mod model;
mod parse;
mod sql;
mod views;
mod wire;

#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

/// Declares a model. On the struct: `service`, `path`, `scope`, `unique(…)`, `accepted`, the permission table
/// `create`/`read`/`update`/`delete`, `input(…)`, `once(…)`. On a field who may write it: `create`, `update`, `status`,
/// `system`; and `desired`, `filter`, `json`, `node`, `generation`, `meta`, `default = …`.
#[proc_macro_derive(Model, attributes(model))]
pub fn derive_model(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let model = parse::Declaration::read(input)?;
    let parts = [wire::expand(&model), views::expand(&model), model::expand(&model), sql::expand(&model)];
    Ok(quote!(#(#parts)*))
}
