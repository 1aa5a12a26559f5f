//! A Rust file as tokens: its paths, its functions and its macro calls, with comments and strings out of the way.
//! It resolves no names beyond `crate`, `self` and `super`.
//! Called by the rules.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::source::Source;

/// What the rules want to know of a file.
#[derive(Default)]
pub struct Code {
    /// Every path, `use` groups spread out; those that start at this crate begin with `crate`.
    pub paths: Vec<NamePath>,
    pub functions: Vec<Function>,
    /// Names of called macros.
    pub macros: Vec<(String, usize)>,
    /// Names after the word `mod`.
    pub modules: Vec<(String, usize)>,
}

pub struct NamePath {
    pub parts: Vec<String>,
    pub line: usize,
}

pub struct Function {
    pub name: String,
    pub first: usize,
    pub last: usize,
}

/// # Panics
/// When the file is not Rust; it would not have compiled.
pub fn read(source: &Source) -> Code {
    let stream: TokenStream = source
        .text
        .parse()
        .unwrap_or_else(|error| panic!("{} is not Rust: {error}", source.path));
    let mut reader = Reader {
        code: Code::default(),
        module: module_of(source),
    };
    reader.read(stream, &[]);
    reader.code
}

/// `crates/x/src/a/b.rs` is `crate::a::b`; `mod.rs`, `lib.rs` and `main.rs` stand for their folder.
fn module_of(source: &Source) -> Vec<String> {
    let parts = source.parts();
    let inside = parts.iter().position(|part| *part == "src");
    let mut module = vec!["crate".to_owned()];
    for part in &parts[inside.map_or(parts.len(), |at| at + 1)..] {
        if !matches!(*part, "mod" | "lib" | "main") {
            module.push((*part).to_owned());
        }
    }
    module
}

struct Reader {
    code: Code,
    module: Vec<String>,
}

impl Reader {
    /// `prefix`: what stands before the braces of a `use` group.
    fn read(&mut self, stream: TokenStream, prefix: &[String]) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut joined = false;
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(ident) => {
                    if !joined {
                        self.end_path(&mut path, line);
                        path = prefix.to_vec();
                    }
                    line = ident.span().start().line;
                    path.push(ident.to_string().trim_start_matches("r#").to_owned());
                    joined = false;
                    self.note_item(&tokens, at);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && colon(tokens.get(at + 1)) => {
                    joined = true;
                    at += 1;
                }
                TokenTree::Group(group) if joined && group.delimiter() == Delimiter::Brace => {
                    let before = std::mem::take(&mut path);
                    self.read(group.stream(), &before);
                    joined = false;
                }
                TokenTree::Group(group) => {
                    self.end_path(&mut path, line);
                    self.read_group(&tokens, at, group);
                    joined = false;
                }
                _ => {
                    self.end_path(&mut path, line);
                    joined = false;
                }
            }
            at += 1;
        }
        self.end_path(&mut path, line);
    }

    /// The braces of `mod name { ... }` are one module deeper.
    fn read_group(&mut self, tokens: &[TokenTree], at: usize, group: &Group) {
        let module = at
            .checked_sub(2)
            .filter(|before| word(tokens.get(*before)).as_deref() == Some("mod"))
            .and_then(|before| word(tokens.get(before + 1)));
        let inline = module.is_some();
        self.module.extend(module);
        self.read(group.stream(), &[]);
        if inline {
            self.module.pop();
        }
    }

    fn end_path(&mut self, path: &mut Vec<String>, line: usize) {
        let parts = std::mem::take(path);
        let supers = parts.iter().take_while(|part| *part == "super").count();
        let parts = match parts.first().map(String::as_str) {
            None => return,
            Some("super") => {
                let kept = self.module.len().saturating_sub(supers);
                [&self.module[..kept], &parts[supers..]].concat()
            }
            Some("self") if parts.len() > 1 => [&self.module[..], &parts[1..]].concat(),
            Some(_) => parts,
        };
        self.code.paths.push(NamePath { parts, line });
    }

    fn note_item(&mut self, tokens: &[TokenTree], at: usize) {
        let (Some(here), next) = (word(tokens.get(at)), tokens.get(at + 1)) else {
            return;
        };
        let line = tokens[at].span().start().line;
        match (here.as_str(), next) {
            ("mod", Some(TokenTree::Ident(name))) => {
                self.code.modules.push((name.to_string(), line));
            }
            ("fn", Some(TokenTree::Ident(name))) => {
                if let Some(body) = body(&tokens[at..]) {
                    self.code.functions.push(Function {
                        name: name.to_string(),
                        first: line,
                        last: body.span_close().end().line,
                    });
                }
            }
            (_, Some(TokenTree::Punct(punct))) if punct.as_char() == '!' => {
                self.code.macros.push((here, line));
            }
            _ => {}
        }
    }
}

/// The braces that follow a signature, unless a `;` says that there are none.
fn body(tokens: &[TokenTree]) -> Option<&Group> {
    tokens
        .iter()
        .take_while(|token| !matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';'))
        .find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
            _ => None,
        })
}

fn colon(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        read(&Source {
            path: "crates/commerce/src/order/place.rs".to_owned(),
            text: text.to_owned(),
        })
    }

    fn has(code: &Code, path: &str) -> bool {
        code.paths.iter().any(|it| it.parts.join("::") == path)
    }

    #[test]
    fn spreads_use_groups_and_resolves_super() {
        let code = code(
            "use std::{env, fs::{self, File}}; use super::super::wallet::Money; \
             mod tests { use super::super::decide; use crate::coupon; } \
             fn f() { let x: Vec<u8> = Vec::<u8>::new(); println!(\"{}\", crate::ranking::a()); }",
        );
        for path in [
            "std::env",
            "std::fs::File",
            "crate::wallet::Money",
            "crate::order::decide",
            "crate::coupon",
            "crate::ranking::a",
        ] {
            assert!(has(&code, path), "{path}");
        }
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        let code = code("// std::env\n/* std::env */ const A: &str = \"std::env\";");
        assert!(!has(&code, "std::env"));
    }

    #[test]
    fn measures_functions() {
        let code = code(
            "trait T { fn a(); }\nimpl S {\n  async fn b<'a>(x: &'a str)\n  {\n    \"}\";\n  }\n}",
        );
        let [b] = &code.functions[..] else {
            panic!("{} functions", code.functions.len());
        };
        assert_eq!((b.name.as_str(), b.first, b.last), ("b", 3, 6));
    }
}
