//! One field of a model, with its markers.

use proc_macro2::Span;
use syn::{Attribute, Expr, Field as SynField, GenericArgument, Ident, PathArguments, Type, spanned::Spanned};

const MARKERS: &[&str] =
    &["create", "update", "status", "system", "desired", "filter", "json", "node", "generation", "meta", "default"];

/// One field of a model.
#[allow(clippy::struct_excessive_bools, reason = "each is a marker that is there or not")]
pub(crate) struct Field {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) create: bool,
    pub(crate) update: bool,
    pub(crate) status: bool,
    pub(crate) system: bool,
    pub(crate) desired: bool,
    pub(crate) filter: bool,
    pub(crate) json: bool,
    pub(crate) node: bool,
    pub(crate) generation: bool,
    pub(crate) meta: bool,
    pub(crate) default: Option<Expr>,
}

impl Field {
    pub(crate) fn read(field: &SynField) -> syn::Result<Self> {
        let name = field.ident.clone().ok_or_else(|| syn::Error::new(field.span(), "a model's fields have names"))?;
        let mut read = Self {
            name,
            ty: field.ty.clone(),
            docs: field.attrs.iter().filter(|attr| attr.path().is_ident("doc")).cloned().collect(),
            create: false,
            update: false,
            status: false,
            system: false,
            desired: false,
            filter: false,
            json: false,
            node: false,
            generation: false,
            meta: false,
            default: None,
        };
        for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("model")) {
            attr.parse_nested_meta(|marker| {
                let word = marker.path.get_ident().map(ToString::to_string).unwrap_or_default();
                let flag = match word.as_str() {
                    "create" => &mut read.create,
                    "update" => &mut read.update,
                    "status" => &mut read.status,
                    "system" => &mut read.system,
                    "desired" => &mut read.desired,
                    "filter" => &mut read.filter,
                    "json" => &mut read.json,
                    "node" => &mut read.node,
                    "generation" => &mut read.generation,
                    "meta" => &mut read.meta,
                    "default" => {
                        read.default = Some(marker.value()?.parse()?);
                        return Ok(());
                    }
                    _ => {
                        return Err(marker
                            .error(format!("`{word}` is no marker of a field: use one of {}", MARKERS.join(", "))));
                    }
                };
                *flag = true;
                if marker.input.peek(syn::Token![=]) {
                    return Err(marker.error(format!("`{word}` stands alone: drop the `=` and what follows")));
                }
                Ok(())
            })?;
        }
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> syn::Result<()> {
        let (name, asked) = (&self.name, self.create || self.update);
        let refuse = |text: String| Err(syn::Error::new(self.span(), text));
        if asked && (self.status || self.system) {
            let writer = if self.status { "the reporting agent (`status`)" } else { "the owning service (`system`)" };
            return refuse(format!(
                "`{name}` is written by {writer}, so no caller may give it: drop `create` and `update`, or drop the other marker"
            ));
        }
        if self.status && self.system {
            return refuse(format!(
                "`{name}` has one writer: the agent (`status`) or the owning service (`system`), not both"
            ));
        }
        if self.desired && !self.update {
            return refuse(format!("`{name}` is `desired`, so its owner must be able to change it: add `update`"));
        }
        if self.json && self.filter {
            return refuse(format!(
                "`{name}` is a JSON column, and these can't be filtered by: drop `filter`, or give the part that matters a field of its own"
            ));
        }
        if (self.meta || self.generation) && (asked || self.filter) {
            return refuse(format!("`{name}` is kept by the store: it takes no other marker"));
        }
        Ok(())
    }

    pub(crate) fn span(&self) -> Span {
        self.name.span()
    }
    /// `T` of an `Option<T>`.
    pub(crate) fn optional(&self) -> Option<&Type> {
        inner(&self.ty, "Option")
    }
    /// The type without its `Option`.
    pub(crate) fn bare(&self) -> &Type {
        self.optional().unwrap_or(&self.ty)
    }
    /// `M` of an `Id<M>` or `Option<Id<M>>`.
    pub(crate) fn refers_to(&self) -> Option<&Type> {
        inner(self.bare(), "Id")
    }
    /// Whether a caller may leave it out at creation.
    pub(crate) fn may_be_absent(&self) -> bool {
        self.default.is_some() || self.optional().is_some()
    }
}

/// `T` of a `Wrapper<T>`.
pub(crate) fn inner<'t>(ty: &'t Type, wrapper: &str) -> Option<&'t Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == wrapper)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// The last word of a type's path: `Vcpus` of `crate::Vcpus`.
pub(crate) fn last_word(ty: &Type) -> String {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default(),
        _ => String::new(),
    }
}
