//! What stands under the attribute: a function, taken apart as far as the expansion needs.
//!
//! Reads the signature and leaves types, patterns and body as the tokens they are. That is cheap
//! (a body can be long), and the half-written body in an editor still expands. The compiler has
//! parsed the item before us, so the order of the parts is certain.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, LitStr, Result, Token, token};

use crate::Attribute;

/// A function with a body. Each part keeps the tokens it was written with.
pub(crate) struct Function {
    /// Those at the head of the body (`#![…]`) come last.
    pub(crate) attributes: Vec<FunctionAttribute>,
    pub(crate) visibility: TokenStream,
    pub(crate) const_token: Option<Token![const]>,
    pub(crate) async_token: Option<Token![async]>,
    pub(crate) unsafe_token: Option<Token![unsafe]>,
    /// `extern "C"`, or empty.
    pub(crate) abi: TokenStream,
    pub(crate) fn_token: Token![fn],
    pub(crate) name: Ident,
    /// With the angle brackets, or empty.
    pub(crate) generics: TokenStream,
    /// With the parentheses.
    pub(crate) arguments: Group,
    pub(crate) arrow: Option<Token![->]>,
    /// The type after the arrow, or empty.
    pub(crate) output: TokenStream,
    /// With the keyword, or empty.
    pub(crate) where_clause: TokenStream,
    /// Without the braces and without the attributes at its head.
    pub(crate) body: TokenStream,
    /// From brace to brace.
    pub(crate) body_span: Span,
}

impl Function {
    /// Takes an item apart.
    ///
    /// # Errors
    /// The item is not a function or has no body. Whether we can run the function is for `check`.
    pub(crate) fn parse(attribute: Attribute, item: TokenStream) -> Result<Self> {
        let parser = |input: ParseStream<'_>| Self::read(attribute, input);
        parser.parse2(item)
    }

    fn read(attribute: Attribute, input: ParseStream<'_>) -> Result<Self> {
        let mut attributes = read_attributes(input)?;
        let visibility = read_visibility(input)?;

        let item_start = input.fork();
        let const_token = input.parse()?;
        let async_token = input.parse()?;
        let unsafe_token = input.parse()?;
        let abi = read_abi(input)?;
        let Ok(fn_token) = input.parse() else {
            let message = format!("{attribute} goes on an `async fn`, and this is not a function");
            return Err(item_start.error(message));
        };
        let name = input.call(Ident::parse_any)?;
        let generics = read_generics(input)?;
        let arguments = input.parse()?;

        // The body is the last token, whatever braces the types before it contain.
        let arrow = input.parse()?;
        let mut output: Vec<TokenTree> = input.parse::<TokenStream>()?.into_iter().collect();
        let Some(body) = output.pop().and_then(into_braces) else {
            let message = format!("{attribute} runs the body of a function, and this one has none");
            return Err(Error::new(name.span(), message));
        };
        let body_span = body.span();
        let (inner_attributes, body) = split_inner_attributes(body.stream());
        attributes.extend(inner_attributes);
        let where_index = output.iter().position(is_where).unwrap_or(output.len());
        let where_clause = output.split_off(where_index);

        Ok(Self {
            attributes,
            visibility,
            const_token,
            async_token,
            unsafe_token,
            abi,
            fn_token,
            name,
            generics,
            arguments,
            arrow,
            output: output.into_iter().collect(),
            where_clause: where_clause.into_iter().collect(),
            body,
            body_span,
        })
    }

    /// Everything that keeps `attribute` from running this function.
    pub(crate) fn check(&self, attribute: Attribute) -> Vec<Error> {
        let mut mistakes = Vec::new();
        let mut refuse = |tokens: &dyn ToTokens, message: String| {
            mistakes.push(Error::new_spanned(tokens, message));
        };
        let name = &self.name;

        if self.async_token.is_none() {
            let message = format!("the `async` keyword is missing: write `async fn {name}()`");
            refuse(&self.fn_token, message);
        }
        if self.const_token.is_some() {
            let message = format!("{attribute} starts an event loop at run time: remove `const`");
            refuse(&self.const_token, message);
        }
        if self.unsafe_token.is_some() {
            let message = format!(
                "{attribute} makes a function that anyone may call: remove `unsafe` here, and write \
                 `unsafe {{ .. }}` in the body where it is needed",
            );
            refuse(&self.unsafe_token, message);
        }
        if !self.abi.is_empty() {
            let message = format!("{attribute} makes an ordinary Rust function: remove `extern`");
            refuse(&self.abi, message);
        }
        if !self.generics.is_empty() {
            let message = format!("{attribute} fills in no generics: write `async fn {name}()`");
            refuse(&self.generics, message);
        }
        if let Some(receiver) = self.receiver() {
            let message = format!(
                "{attribute} has no value to pass as `self`: write an ordinary method that calls \
                 `tulipa::run(async {{ .. }})`",
            );
            refuse(&receiver, message);
        } else if !self.arguments.stream().is_empty() {
            let message = format!(
                "{attribute} passes no arguments: write `async fn {name}()`, and make the values in \
                 the body",
            );
            refuse(&self.arguments.stream(), message);
        }
        if !self.where_clause.is_empty() {
            let message = format!("{attribute} fills in no generics: remove the `where` clause");
            refuse(&self.where_clause, message);
        }
        let test = self.attributes.iter().find(|attribute| attribute.is_test());
        if attribute == Attribute::Test
            && let Some(test) = test
        {
            let message =
                format!("{attribute} adds `#[test]`: remove this one, or the test runs twice");
            refuse(test, message);
        }
        mistakes
    }

    /// The `self` in the arguments.
    pub(crate) fn receiver(&self) -> Option<TokenTree> {
        let tokens = self.arguments.stream().into_iter();
        let mut first = tokens.take_while(|tree| !is_punct(tree, ',') && !is_punct(tree, ':'));
        first.find(|tree| is_ident(tree, "self"))
    }
}

/// An attribute under ours: `#[ignore = "slow"]`.
pub(crate) struct FunctionAttribute {
    pound: Token![#],
    /// With the brackets.
    content: Group,
}

impl FunctionAttribute {
    /// True for `test` and for every path that ends so: `core::prelude::v1::test`, `tulipa::test`.
    fn is_test(&self) -> bool {
        let mut last = None;
        for tree in self.content.stream() {
            match tree {
                TokenTree::Ident(segment) => last = Some(segment),
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                _ => break,
            }
        }
        last.is_some_and(|segment| segment == "test")
    }
}

impl ToTokens for FunctionAttribute {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.pound.to_tokens(tokens);
        self.content.to_tokens(tokens);
    }
}

fn read_attributes(input: ParseStream<'_>) -> Result<Vec<FunctionAttribute>> {
    let mut attributes = Vec::new();
    while let Some(pound) = input.parse()? {
        let content = input.parse()?;
        attributes.push(FunctionAttribute { pound, content });
    }
    Ok(attributes)
}

fn read_visibility(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut visibility = TokenStream::new();
    if let Some(pub_token) = input.parse::<Option<Token![pub]>>()? {
        pub_token.to_tokens(&mut visibility);
        if input.peek(token::Paren) {
            input.parse::<Group>()?.to_tokens(&mut visibility);
        }
    }
    Ok(visibility)
}

fn read_abi(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut abi = TokenStream::new();
    if let Some(extern_token) = input.parse::<Option<Token![extern]>>()? {
        extern_token.to_tokens(&mut abi);
        input.parse::<Option<LitStr>>()?.to_tokens(&mut abi);
    }
    Ok(abi)
}

fn read_generics(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut generics = TokenStream::new();
    let mut depth = 0_usize;
    while depth > 0 || input.peek(Token![<]) {
        // The `>` of an arrow, as in `F: Fn() -> u8`, closes nothing.
        if let Some(arrow) = input.parse::<Option<Token![->]>>()? {
            arrow.to_tokens(&mut generics);
            continue;
        }
        let tree: TokenTree = input.parse()?;
        if is_punct(&tree, '<') {
            depth += 1;
        } else if is_punct(&tree, '>') {
            depth -= 1;
        }
        tree.to_tokens(&mut generics);
    }
    Ok(generics)
}

/// Takes `#![…]` off the body: it may not stand in the block that the body becomes.
fn split_inner_attributes(body: TokenStream) -> (Vec<FunctionAttribute>, TokenStream) {
    let mut attributes = Vec::new();
    let mut rest = body.into_iter();
    let mut ahead = rest.clone();
    while let (Some(pound), Some(bang), Some(TokenTree::Group(content))) =
        (ahead.next(), ahead.next(), ahead.next())
        && is_punct(&pound, '#')
        && is_punct(&bang, '!')
        && content.delimiter() == Delimiter::Bracket
    {
        let pound = Token![#](pound.span());
        attributes.push(FunctionAttribute { pound, content });
        rest = ahead.clone();
    }
    (attributes, rest.collect())
}

/// The group in braces, also when a `macro_rules` variable (`$body:block`) has wrapped it.
fn into_braces(tree: TokenTree) -> Option<Group> {
    let TokenTree::Group(group) = tree else {
        return None;
    };
    match group.delimiter() {
        Delimiter::Brace => Some(group),
        Delimiter::None => group.stream().into_iter().next().and_then(into_braces),
        Delimiter::Parenthesis | Delimiter::Bracket => None,
    }
}

fn is_where(tree: &TokenTree) -> bool {
    is_ident(tree, "where")
}

fn is_ident(tree: &TokenTree, name: &str) -> bool {
    matches!(tree, TokenTree::Ident(ident) if ident == name)
}

fn is_punct(tree: &TokenTree, char: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == char)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(item: &str) -> Result<Function> {
        Function::parse(Attribute::Main, item.parse().unwrap())
    }

    /// For each mistake, what it points at and what it says.
    fn check(item: &str) -> Vec<(String, String)> {
        let mistakes = match parse(item) {
            Ok(function) => function.check(Attribute::Main),
            Err(mistake) => vec![mistake],
        };
        let describe = |mistake: &Error| {
            let source = mistake.span().source_text().unwrap_or_default();
            (source, mistake.to_string())
        };
        mistakes.iter().map(describe).collect()
    }

    /// Without spaces: where the printer puts them is its own affair.
    fn text(tokens: &dyn ToTokens) -> String {
        tokens.to_token_stream().to_string().replace(' ', "")
    }

    #[test]
    fn each_part_is_found() {
        let function = parse(
            "#[doc = \"a\"] #[inline] pub(in crate::a) const async unsafe extern \"C\" \
             fn name<T, F: Fn(T) -> [T; { 1 > 0 }]>(a: T, b: F) -> Out<{ N }> where T: Copy { body }",
        );
        let function = function.unwrap();
        assert_eq!(function.attributes.len(), 2);
        assert_eq!(text(&function.attributes[1]), "#[inline]");
        assert_eq!(text(&function.visibility), "pub(incrate::a)");
        assert!(function.const_token.is_some());
        assert!(function.async_token.is_some());
        assert!(function.unsafe_token.is_some());
        assert_eq!(text(&function.abi), "extern\"C\"");
        assert_eq!(function.name, "name");
        assert_eq!(text(&function.generics), "<T,F:Fn(T)->[T;{1>0}]>");
        assert_eq!(text(&function.arguments), "(a:T,b:F)");
        assert!(function.arrow.is_some());
        assert_eq!(text(&function.output), "Out<{N}>");
        assert_eq!(text(&function.where_clause), "whereT:Copy");
        assert_eq!(text(&function.body), "body");
        assert_eq!(function.body_span.source_text().unwrap(), "{ body }");
    }

    #[test]
    fn attributes_at_the_head_of_the_body_become_the_functions() {
        let function = parse("#[a] async fn name() { #![b] #![c(1)] #[d] let x; #!e }").unwrap();
        let attributes: Vec<_> = function.attributes.iter().map(|a| text(a)).collect();
        assert_eq!(attributes, ["#[a]", "#[b]", "#[c(1)]"]);
        assert_eq!(text(&function.body), "#[d]letx;#!e");
    }

    #[test]
    fn the_body_may_be_a_macro_variable() {
        let body: TokenStream = "{ 5 }".parse().unwrap();
        let mut item: TokenStream = "async fn name() -> u8".parse().unwrap();
        item.extend([TokenTree::Group(Group::new(Delimiter::None, body))]);
        let function = Function::parse(Attribute::Main, item).unwrap();
        assert_eq!(function.body.to_string(), "5");
    }

    #[test]
    fn an_unfinished_body_is_no_mistake() {
        assert_eq!(check("async fn main() { let x = ; foo. }"), []);
    }

    #[test]
    fn each_mistake_points_at_its_tokens() {
        let arguments = "`#[tulipa::main]` passes no arguments: write `async fn f()`, and make the \
                         values in the body";
        let receiver = "`#[tulipa::main]` has no value to pass as `self`: write an ordinary method \
                        that calls `tulipa::run(async { .. })`";
        let generics = "`#[tulipa::main]` fills in no generics: write `async fn f()`";
        let not_a_function = "`#[tulipa::main]` goes on an `async fn`, and this is not a function";
        for (item, source, message) in [
            (
                "pub fn f() {}",
                "fn",
                "the `async` keyword is missing: write `async fn f()`",
            ),
            ("async fn f(a: A, b: B) {}", "a: A, b: B", arguments),
            (
                "async fn f(a: &Self, self_: B) {}",
                "a: &Self, self_: B",
                arguments,
            ),
            ("async fn f(&mut self) {}", "self", receiver),
            ("async fn f(mut self: Box<Self>, b: B) {}", "self", receiver),
            ("async fn f<T: Fn() -> A>() {}", "<T: Fn() -> A>", generics),
            (
                "async fn f() where A: B, {}",
                "where A: B,",
                "`#[tulipa::main]` fills in no generics: remove the `where` clause",
            ),
            (
                "const async fn f() {}",
                "const",
                "`#[tulipa::main]` starts an event loop at run time: remove `const`",
            ),
            (
                "async unsafe fn f() {}",
                "unsafe",
                "`#[tulipa::main]` makes a function that anyone may call: remove `unsafe` here, and \
                 write `unsafe { .. }` in the body where it is needed",
            ),
            (
                "async extern \"C\" fn f() {}",
                "extern \"C\"",
                "`#[tulipa::main]` makes an ordinary Rust function: remove `extern`",
            ),
            (
                "async fn f();",
                "f",
                "`#[tulipa::main]` runs the body of a function, and this one has none",
            ),
            ("#[a] pub struct S { fn_: u8 }", "struct", not_a_function),
            ("const F: fn() = f;", "const", not_a_function),
            ("extern crate f;", "extern", not_a_function),
        ] {
            assert_eq!(
                check(item),
                [(source.to_owned(), message.to_owned())],
                "{item}"
            );
        }
    }

    #[test]
    fn test_attributes_are_known_by_the_end_of_their_path() {
        for (attribute, is_test) in [
            ("#[test]", true),
            ("#[::core::prelude::v1::test]", true),
            ("#[tulipa::test(start_paused = true)]", true),
            ("#[cfg(test)]", false),
            ("#[doc = \"test\"]", false),
            ("#[test_case(1)]", false),
            ("#[test::case]", false),
        ] {
            let function = parse(&format!("{attribute} async fn f() {{}}")).unwrap();
            assert_eq!(function.attributes[0].is_test(), is_test, "{attribute}");
        }
    }
}
