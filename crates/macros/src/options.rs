//! What may stand in the brackets of the attribute: `start_paused = true, reactor = "poll", threads = 4`.
//!
//! Reads to the end whatever happens: an option that is wrong is reported and skipped, and the
//! others still count.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Error, LitBool, LitInt, LitStr, Result, Token};

/// The options of one attribute, as written; `None` is an option that was left out.
#[derive(Default)]
pub(crate) struct Options {
    facade: Option<Path>,
    pub(crate) reactor: Option<LitStr>,
    pub(crate) start_paused: Option<LitBool>,
    pub(crate) threads: Option<LitInt>,
}

impl Options {
    /// Reads the tokens between the attribute's brackets.
    pub(crate) fn parse(tokens: TokenStream, mistakes: &mut Vec<Error>) -> Self {
        let mut options = Self::default();
        let parser = |input: ParseStream<'_>| {
            options.read_all(input, mistakes);
            Ok(())
        };
        let parsed = parser.parse2(tokens);
        parsed.expect("`read_all` goes on to the end of the input");
        options
    }

    fn read_all(&mut self, input: ParseStream<'_>, mistakes: &mut Vec<Error>) {
        while !input.is_empty() {
            if let Err(mistake) = self.read_one(input) {
                mistakes.push(mistake);
                take_until_comma(input);
            }
            if input.parse::<Token![,]>().is_err() && input.peek(Ident::peek_any) {
                mistakes.push(input.error("a comma is missing before this option"));
            }
        }
    }

    fn read_one(&mut self, input: ParseStream<'_>) -> Result<()> {
        if !input.peek(Ident::peek_any) {
            return Err(input.error(format!("expected an option: {KNOWN}")));
        }
        let name = input.call(Ident::parse_any)?;
        match name.to_string().as_str() {
            "reactor" => {
                let takes = "`reactor` takes a name in quotes: write `reactor = \"poll\"`";
                read_value(&mut self.reactor, input, &name, takes)
            }
            "start_paused" => {
                let takes = "`start_paused` takes a bool: write `start_paused = true`";
                read_value(&mut self.start_paused, input, &name, takes)
            }
            "threads" => {
                let takes = "`threads` takes a number: write `threads = 4`";
                read_value(&mut self.threads, input, &name, takes)
            }
            "crate" => {
                let takes = "`crate` takes the path of the facade: write `crate = my::tulipa`";
                read_value(&mut self.facade, input, &name, takes)
            }
            "flavor" => {
                let message =
                    "a loop of tulipa has one thread, and no `flavor`: remove this option";
                Err(Error::new(name.span(), message))
            }
            "worker_threads" => {
                let message = "tasks of tulipa stay on the thread of their loop: for several loops that run the same \
                               program, write `threads = 4`";
                Err(Error::new(name.span(), message))
            }
            unknown => {
                let message = format!("unknown option `{unknown}`: {KNOWN}");
                Err(Error::new(name.span(), message))
            }
        }
    }

    /// The path of the facade.
    pub(crate) fn facade(&self) -> TokenStream {
        let facade = self.facade.as_ref();
        facade.map_or_else(|| quote!(::tulipa), |Path(path)| path.clone())
    }
}

const KNOWN: &str = "the options are `reactor = \"poll\"`, `start_paused = true`, `threads = 4` and `crate = my::tulipa`";

/// Reads `= value` into `slot`. `takes` is the error for a value that is missing or wrong.
fn read_value<T: Parse>(
    slot: &mut Option<T>,
    input: ParseStream<'_>,
    name: &Ident,
    takes: &str,
) -> Result<()> {
    if slot.is_some() {
        let message = format!("`{name}` is given twice: remove one of them");
        return Err(Error::new(name.span(), message));
    }
    let equals_sign = input.parse::<Token![=]>();
    if equals_sign.is_err() || input.is_empty() || input.peek(Token![,]) {
        return Err(Error::new(name.span(), takes));
    }
    let ahead = input.fork();
    match input.parse() {
        Ok(value) => *slot = Some(value),
        Err(_) => return Err(Error::new_spanned(take_until_comma(&ahead), takes)),
    }
    Ok(())
}

fn take_until_comma(input: ParseStream<'_>) -> TokenStream {
    let mut taken = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        taken.extend(input.parse::<TokenTree>());
    }
    taken
}

/// A path without generic arguments, `my::path`, or the same in quotes.
///
/// Ours, because `syn::Path` needs the features that bring types and generics along.
struct Path(TokenStream);

impl Parse for Path {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitStr) {
            return input.parse::<LitStr>()?.parse();
        }
        let mut path = TokenStream::new();
        input.parse::<Option<Token![::]>>()?.to_tokens(&mut path);
        loop {
            let is_path_keyword =
                input.peek(Token![crate]) || input.peek(Token![self]) || input.peek(Token![super]);
            let segment = if is_path_keyword {
                input.call(Ident::parse_any)?
            } else {
                input.parse()?
            };
            segment.to_tokens(&mut path);
            let Some(separator) = input.parse::<Option<Token![::]>>()? else {
                return Ok(Self(path));
            };
            separator.to_tokens(&mut path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The options in `text`, and for each mistake what it points at and what it says.
    fn parse(text: &str) -> (Options, Vec<(String, String)>) {
        let mut mistakes = Vec::new();
        let options = Options::parse(text.parse().unwrap(), &mut mistakes);
        let describe = |mistake: &Error| {
            let source = mistake.span().source_text().unwrap_or_default();
            (source, mistake.to_string())
        };
        (options, mistakes.iter().map(describe).collect())
    }

    fn facade(text: &str) -> String {
        let (options, mistakes) = parse(text);
        assert_eq!(mistakes, []);
        options.facade().to_string().replace(' ', "")
    }

    #[test]
    fn options_left_out_stay_open() {
        let (options, mistakes) = parse("");
        assert_eq!(mistakes, []);
        assert!(options.reactor.is_none() && options.start_paused.is_none());
        assert!(options.threads.is_none());
        assert_eq!(facade(""), "::tulipa");
    }

    #[test]
    fn options_may_come_in_any_order() {
        for text in [
            "reactor = \"poll\", start_paused = true, crate = my",
            "start_paused = true, crate = \"my\", reactor = \"poll\",",
        ] {
            let (options, mistakes) = parse(text);
            assert_eq!(mistakes, []);
            assert_eq!(options.reactor.as_ref().unwrap().value(), "poll");
            assert!(options.start_paused.as_ref().unwrap().value);
            assert_eq!(options.facade().to_string(), "my");
        }
    }

    #[test]
    fn every_kind_of_path_leads_to_the_facade() {
        for path in [
            "my",
            "my::tulipa",
            "::my::tulipa",
            "crate",
            "self::my",
            "super::super::my",
        ] {
            assert_eq!(facade(&format!("crate = {path}")), path);
            assert_eq!(facade(&format!("crate = \"{path}\"")), path);
        }
    }

    #[test]
    fn each_mistake_points_at_its_tokens() {
        let reactor = "`reactor` takes a name in quotes: write `reactor = \"poll\"`";
        let start_paused = "`start_paused` takes a bool: write `start_paused = true`";
        let threads = "`threads` takes a number: write `threads = 4`";
        let path = "`crate` takes the path of the facade: write `crate = my::tulipa`";
        for (text, source, message) in [
            ("reactor = poll", "poll", reactor),
            ("reactor = ", "reactor", reactor),
            ("reactor", "reactor", reactor),
            ("reactor(\"poll\")", "reactor", reactor),
            ("start_paused = \"true\"", "\"true\"", start_paused),
            ("start_paused = 1 + 1", "1 + 1", start_paused),
            ("start_paused == true", "= true", start_paused),
            ("threads = \"2\"", "\"2\"", threads),
            ("threads = COUNT", "COUNT", threads),
            ("crate = my::", "my::", path),
            ("crate = my::<T>", "my::<T>", path),
            ("crate = true", "true", path),
            ("crate = \"no path\"", "\"no path\"", path),
            (
                "reactor = \"poll\", reactor = \"mio\"",
                "reactor",
                "`reactor` is given twice: remove one of them",
            ),
            (
                "start_paused = true reactor = \"poll\"",
                "reactor",
                "a comma is missing before this option",
            ),
            (
                "worker_threads = 4",
                "worker_threads",
                "tasks of tulipa stay on the thread of their loop: for several loops that run the same \
                 program, write `threads = 4`",
            ),
        ] {
            let (_, mistakes) = parse(text);
            assert_eq!(
                mistakes,
                [(source.to_owned(), message.to_owned())],
                "{text}"
            );
        }
    }

    #[test]
    fn unknown_options_are_told_the_known_ones() {
        for (text, source) in [
            ("paused", "paused"),
            ("thread = 2", "thread"),
            ("7 + 7", "7"),
        ] {
            let (_, mistakes) = parse(text);
            let [(pointed_at, message)] = mistakes.as_slice() else {
                panic!("{text}: {mistakes:?}");
            };
            assert_eq!(pointed_at, source);
            assert!(message.ends_with(KNOWN), "{message}");
        }
    }

    #[test]
    fn a_mistake_hides_no_other_option() {
        let (options, mistakes) = parse("flavor = [1, 2], start_paused = true, , crate = my");
        assert_eq!(mistakes.len(), 2);
        assert!(options.start_paused.unwrap().value);
        assert!(options.facade.is_some());
    }
}
