//! The expansion: an `async fn` becomes a function that builds a runner and runs the body.
//!
//! ```text
//! async fn name() -> R { body }
//!
//! fn name() -> R {
//!     let body = async {
//!         if let Some(output) = None::<R> {
//!             return output;
//!         }
//!         body
//!     };
//!     let mut runner = match ::tulipa::runtime::Runner::builder().build() {
//!         Ok(runner) => runner,
//!         Err(error) => panic!("tulipa: could not start the event loop: {}", error),
//!     };
//!     runner.run(body)
//! }
//! ```
//!
//! With `threads = n` the body becomes that of an async closure, which every thread calls:
//!
//! ```text
//!     let body = async || {
//!         ..
//!     };
//!     let threads = ::tulipa::runtime::Runner::builder().threads(n);
//!     threads.run(body)
//! ```
//!
//! # Why the `if let`
//! It never runs. An `async` block has no place for its type, and takes it from the first `return`
//! in it. From there on the compiler knows `R` as it does in an `async fn`: `?` and `.into()` know
//! where they go, closures and boxes coerce, and a value of the wrong type is an error at that
//! value. Not taken: a check after the block, which comes too late for inference; an async closure
//! (`async || -> R`), whose type is compared as late, and with baffling errors; an inner function,
//! which is an item and knows neither `Self` nor the generics of an `impl` around it.
//!
//! # Hygiene
//! What we add has the span `mixed_site`: the body cannot see our variables, we cannot see its own,
//! and lints treat our code as a foreign macro's. That does not cover items: a constant with the
//! name of a variable would turn it into a pattern. Hence the prefix on our names, and the paths
//! from the root.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::Error;

use crate::Attribute;
use crate::function::Function;
use crate::options::Options;

/// Expands `attribute` with `options` on `item`.
///
/// Each mistake becomes a `compile_error!`, beside code that adds no error and no warning of its
/// own: the user should read about the mistake and nothing else.
pub(crate) fn expand(attribute: Attribute, options: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Vec::new();
    let options = Options::parse(options, &mut mistakes);
    let mut expansion = match Function::parse(attribute, item.clone()) {
        Ok(function) => {
            let reasons = function.check(attribute);
            let can_run = reasons.is_empty();
            mistakes.extend(reasons);
            if can_run {
                runner(attribute, &options, &function)
            } else {
                stand_in(&function)
            }
        }
        Err(mistake) => {
            mistakes.push(mistake);
            item
        }
    };
    expansion.extend(mistakes.iter().map(Error::to_compile_error));
    expansion
}

/// The function that runs the body.
fn runner(attribute: Attribute, options: &Options, function: &Function) -> TokenStream {
    let Function {
        attributes,
        visibility,
        async_token,
        fn_token,
        name,
        arguments,
        arrow,
        output,
        ..
    } = function;
    let mixed_site = Span::mixed_site();
    let test = match attribute {
        Attribute::Main => TokenStream::new(),
        Attribute::Test => quote_spanned!(mixed_site=> #[::core::prelude::v1::test]),
    };
    let block = typed_block(function);
    let facade = options.facade();
    let reactor = options.reactor.iter();
    let start_paused = options.start_paused.iter();
    let handle_ctrl_c = match attribute {
        Attribute::Main => quote_spanned!(mixed_site=> .handle_ctrl_c(true)),
        Attribute::Test => TokenStream::new(),
    };

    let builder = quote_spanned! {mixed_site=>
        #facade::runtime::Runner::builder()
            #handle_ctrl_c
            #(.reactor(#reactor))*
            #(.start_paused(#start_paused))*
    };
    let shown = shown_span(function);
    if let Some(threads) = &options.threads {
        let run_body = quote_spanned!(shown=> __tulipa_threads.run(__tulipa_body));
        return quote_spanned! {mixed_site=>
            #test
            #(#attributes)*
            #visibility #fn_token #name #arguments #arrow #output {
                let __tulipa_body = #async_token || #block;
                let __tulipa_threads = #builder.threads(#threads);
                #run_body
            }
        };
    }
    let run_body = quote_spanned!(shown=> __tulipa_runner.run_and_close(__tulipa_body));

    quote_spanned! {mixed_site=>
        #test
        #(#attributes)*
        #visibility #fn_token #name #arguments #arrow #output {
            let __tulipa_body = #async_token #block;
            let __tulipa_runner = match #builder.build() {
                ::core::result::Result::Ok(__tulipa_runner) => __tulipa_runner,
                ::core::result::Result::Err(__tulipa_error) => ::core::panic!(
                    "tulipa: could not start the event loop: {}",
                    __tulipa_error,
                ),
            };
            #run_body
        }
    }
}

/// What stands in for a function that cannot run: the compiler checks its body and never runs it.
///
/// So callers find what they call, and what only the body uses is not called unused.
fn stand_in(function: &Function) -> TokenStream {
    let Function {
        visibility,
        unsafe_token,
        fn_token,
        name,
        generics,
        arguments,
        where_clause,
        ..
    } = function;
    // No value of an `impl Trait` can be made up here.
    let output = if contains_impl(&function.output) {
        TokenStream::new()
    } else {
        let Function { arrow, output, .. } = function;
        quote!(#arrow #output)
    };
    let block = typed_block(function);
    let mixed_site = Span::mixed_site();
    let named = |visibility: &TokenStream, name: &Ident| {
        quote_spanned! {mixed_site=>
            #[allow(unused)]
            #visibility #unsafe_token #fn_token #name #generics #arguments #output #where_clause {
                let _ = async move #block;
                loop {}
            }
        }
    };
    if name == "main" && function.receiver().is_none() {
        // The compiler takes only one signature of `main`, and this one is another.
        let inner = named(
            &TokenStream::new(),
            &Ident::new("__tulipa_main", mixed_site),
        );
        return quote_spanned!(mixed_site=> #visibility #fn_token #name() { #inner });
    }
    named(visibility, name)
}

/// The body as the block of an `async` block that knows its type.
fn typed_block(function: &Function) -> Group {
    let Function {
        body, body_span, ..
    } = function;
    let type_hint = type_hint(&function.output, shown_span(function));
    // Not in a block of its own: a short body would be blamed for unnecessary braces.
    let mut block = Group::new(Delimiter::Brace, quote!(#type_hint #body));
    block.set_span(*body_span);
    block
}

/// Tells the compiler what the body returns, before it comes to the body.
fn type_hint(output: &TokenStream, shown: Span) -> TokenStream {
    // No value can have the type `!`, and the compiler would remark on a `return` that seems to. An
    // `impl Trait` can be named nowhere but in a signature. Both are inferred well enough.
    if output.to_string() == "!" || contains_impl(output) {
        return TokenStream::new();
    }
    let unit = quote_spanned!(shown=> ());
    let output = if output.is_empty() { &unit } else { output };
    let value = quote_spanned!(shown=> __tulipa_output);
    quote_spanned! {Span::mixed_site()=>
        if let ::core::option::Option::Some(__tulipa_output) =
            ::core::option::Option::None::<#output>
        {
            return #value;
        }
    }
}

/// Where an error about the type of our own code is shown: at the type in the signature.
fn shown_span(function: &Function) -> Span {
    let first = function.output.clone().into_iter().next();
    let shown = first.map_or(function.name.span(), |first| first.span());
    Span::mixed_site().located_at(shown)
}

fn contains_impl(tokens: &TokenStream) -> bool {
    tokens.clone().into_iter().any(|tree| match tree {
        TokenTree::Group(group) => contains_impl(&group.stream()),
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without spaces: where the printer puts them is its own affair.
    fn text(tokens: &TokenStream) -> String {
        tokens.to_string().replace(' ', "")
    }

    fn expand_str(attribute: Attribute, options: &str, item: &str) -> TokenStream {
        expand(attribute, options.parse().unwrap(), item.parse().unwrap())
    }

    fn main_text(item: &str) -> String {
        text(&expand_str(Attribute::Main, "", item))
    }

    fn find(tokens: TokenStream, name: &str) -> Option<Span> {
        tokens.into_iter().find_map(|tree| match tree {
            TokenTree::Ident(ident) if ident == name => Some(ident.span()),
            TokenTree::Group(group) => find(group.stream(), name),
            _ => None,
        })
    }

    #[test]
    fn the_expansion_is_the_one_at_the_top_of_this_file() {
        let expansion = main_text("async fn name() -> R { body }");
        let expected: TokenStream = "fn name() -> R {
            let __tulipa_body = async {
                if let ::core::option::Option::Some(__tulipa_output) =
                    ::core::option::Option::None::<R>
                {
                    return __tulipa_output;
                }
                body
            };
            let __tulipa_runner = match ::tulipa::runtime::Runner::builder().handle_ctrl_c(true).build() {
                ::core::result::Result::Ok(__tulipa_runner) => __tulipa_runner,
                ::core::result::Result::Err(__tulipa_error) => ::core::panic!(
                    \"tulipa: could not start the event loop: {}\",
                    __tulipa_error,
                ),
            };
            __tulipa_runner.run_and_close(__tulipa_body)
        }"
        .parse()
        .unwrap();
        assert_eq!(expansion, text(&expected));
    }

    #[test]
    fn options_go_to_the_builder() {
        let options = "crate = crate::my, start_paused = false, reactor = \"poll\"";
        let expansion = text(&expand_str(Attribute::Main, options, "async fn main() {}"));
        let builder = "crate::my::runtime::Runner::builder().handle_ctrl_c(true).reactor(\"poll\").start_paused(false).build()";
        assert!(expansion.contains(builder), "{expansion}");
    }

    #[test]
    fn several_threads_call_the_body() {
        let options = "threads = 2, start_paused = true";
        let expansion = text(&expand_str(
            Attribute::Main,
            options,
            "async fn name() { body }",
        ));
        let builder = "::tulipa::runtime::Runner::builder().handle_ctrl_c(true).start_paused(true).threads(2);";
        assert!(expansion.contains("=async||{"), "{expansion}");
        assert!(expansion.contains(builder), "{expansion}");
        let end = "__tulipa_threads.run(__tulipa_body)}";
        assert!(expansion.ends_with(end), "{expansion}");
    }

    #[test]
    fn the_users_tokens_keep_their_places() {
        let item = "#[attribute] async fn name() -> Output { let word = 1; }";
        let expansion = expand_str(Attribute::Main, "", item);
        for word in ["attribute", "async", "fn", "name", "Output", "word"] {
            let span = find(expansion.clone(), word).unwrap();
            assert_eq!(span.source_text().as_deref(), Some(word));
        }
    }

    #[test]
    fn types_that_cannot_be_named_are_inferred() {
        for output in ["!", "impl Sized", "Result<impl Sized, (impl Sized,)>"] {
            let expansion = main_text(&format!("async fn name() -> {output} {{ body }}"));
            assert!(expansion.contains("=async{body};"), "{expansion}");
        }
        let unit = main_text("async fn name() { body }");
        assert!(unit.contains("None::<()>"), "{unit}");
    }

    #[test]
    fn a_test_is_one_test_with_its_attributes() {
        let item = "#[should_panic] #[ignore] async fn name() {}";
        let expansion = text(&expand_str(Attribute::Test, "", item));
        let head = "#[::core::prelude::v1::test]#[should_panic]#[ignore]fnname()";
        assert!(expansion.starts_with(head), "{expansion}");

        let twice = text(&expand_str(
            Attribute::Test,
            "",
            "#[test] async fn name() {}",
        ));
        assert_eq!(twice.matches("compile_error!").count(), 1, "{twice}");
        assert!(!twice.contains("#[test]fn"), "{twice}");
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let item = "unsafe fn name<T>(a: T) { a }";
        let expansion = text(&expand_str(
            Attribute::Main,
            "flavor = 1, reactor = 2",
            item,
        ));
        assert_eq!(
            expansion.matches("compile_error!").count(),
            6,
            "{expansion}"
        );
    }

    #[test]
    fn what_cannot_run_causes_no_second_error() {
        // The callers still find what they call.
        let function = main_text("pub fn name<T>(a: T) -> T where T: Copy { a }");
        assert!(
            function.starts_with("#[allow(unused)]pubfnname<T>(a:T)->TwhereT:Copy{let_=asyncmove{"),
            "{function}"
        );
        assert!(function.contains("a};loop{}}"), "{function}");
        // No other signature is allowed.
        let function = main_text("async fn main(a: u8) -> u8 { a }");
        assert!(
            function.starts_with("fnmain(){#[allow(unused)]fn__tulipa_main(a:u8)->u8{"),
            "{function}"
        );
        let method = main_text("async fn main(&self) -> u8 { 5 }");
        assert!(
            method.starts_with("#[allow(unused)]fnmain(&self)->u8{"),
            "{method}"
        );
        // Not for us to judge.
        let item = main_text("struct S { a: u8 }");
        assert!(item.starts_with("structS{a:u8}"), "{item}");
        // The options have nothing to do with the function.
        let expansion = text(&expand_str(
            Attribute::Main,
            "flavor = 1",
            "async fn main() {}",
        ));
        assert!(expansion.contains("Runner::builder()"), "{expansion}");
    }
}
