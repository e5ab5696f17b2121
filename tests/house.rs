//! The rules of the house that no compiler checks: layers, features, unsafe code, long files,
//! leftovers. Each rule is a function of one file, and is tried on texts that break it.
use std::{collections::HashMap, fs, path::Path, process::Command};

/// From the top. A layer names itself and those behind its `;`.
const LAYERS: &str =
    "lib manual bin raw; fleet plugin; kms kubernetes; dek; kek; envelope; crypto; rt; arch; secret; error";
/// The tables of schemes and of subcommands, where features stand besides `mod` and `use`.
const TABLES: &[&str] = &["src/kek/schemes.rs", "src/bin/kms/args.rs", "src/bin/kms/main.rs"];
/// Of the tests, the one that forks and looks at memory; of the benchmarks, the one that times single
/// instructions.
const UNSAFE: &[&str] = &["src/secret/", "src/arch/", "ffi/", "tests/memory", "benches/src/machine.rs"];
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = "src/bin/kms/";
const SKIPPED: &[&str] = &["target", ".git", "fuzz/corpus", "fuzz/artifacts", "__pycache__"];
const MOST_LINES: usize = 400;
/// Without the `_`, so that this file holds none of them.
const LEFTOVERS: &str = "/wo_rk/ /ro_ot/ /ho_me/ to_do!( unimple_mented!( FIX_ME";

/// A line, and what is wrong there.
type Finding = (usize, String);
/// A line, and a word or sign that stands there.
type Token<'a> = (usize, &'a str);

#[test]
fn arrows_point_down() {
    let real = names(&read("src/lib.rs").unwrap(), &sources("src/"));
    let lib = "pub use error::Error; pub use kms::{Kms, Opened as O}; pub use dek::Dek; use x::y;";
    let names = names(lib, &["src/bin/kms/args.rs".into()]);
    let cases = r#"
        3 src/crypto/a.rs: use crate::{¶secret::{Locked, fork},¶Kms,};
        1 src/crypto/a.rs: mod tests { mod b { use super::super::super::super::envelope::X; } }
        1 src/crypto/mod.rs: use self::super::{a::{}, envelope::{X}};
        1 src/crypto/b/mod.rs: use super::{a, super::kek};
        2 src/crypto/a.rs: /*¶*/ pub(in crate::kek) fn f(_: crate::O) {}
        1 src/crypto/a.rs: macro_rules! m { () => { $crate::kek::x() } }
        1 src/crypto/a.rs: use crate::inspect;
        1 src/error.rs: use super::secret::Dek;
        1 src/secret/mod.rs: use crate::arch;
        1 src/arch/a.rs: use crate::rt;
        2 src/kek/a.rs: #[cfg(test)] mod tests {¶use crate::Dek; }
        1 src/kms/a.rs: use crate::kubernetes::X;
        1 src/kubernetes/a.rs: use crate::Kms;
        1 src/fleet/a.rs: use crate::plugin::X;
        1 src/cellar/a.rs: fn f() {}
        1 src/crypto/a.rs: #[path = "../kms/mod.rs"] mod k;
        1 src/bin/kms/args.rs: use crate::kek::Kek;
        1 src/bin/kms/args/more.rs: use super::super::Kms;
        1 src/bin/kms/main.rs: include!("../../kek/call.rs");
        0 src/dek/a.rs: use crate::{Dek, y, kek::{Kek, Role}, dek::policy}; fn f<'a>() { crate::dek::g::<u8>() }
        0 src/fleet/a.rs: use crate::{Kms, kubernetes::X}; // crate::bin
        0 src/crypto/mod.rs: mod tests { use super::*; } const S: [&str; 9] = ['"', "crate::kms"];
        0 src/bin/kms/main.rs: use libkms::Kms; use crate::args::{Args, other}; mod seal;"#;
    try_on(cases, |path, code| arrows(path, code, &names));
    check(sources("src/"), |path, code| arrows(path, code, &real));
}

#[test]
fn features_stand_on_mod_and_use() {
    let cases = r#"
        1 src/kms/a.rs: #[cfg(feature = "a")] fn f() {}
        1 src/kms/a.rs: #[cfg(all(unix, not(feature = "a")))] pub struct S;
        1 src/kms/a.rs: #[cfg_attr(feature = "a", derive(Debug))] struct S;
        2 src/kms/a.rs: fn f() {¶if cfg!(feature = "a") { g() } }
        2 src/kms/a.rs: fn f() {¶#[cfg(feature = "a")] g(); }
        1 src/kms/a.rs: #[cfg(feature = "a")] #[doc = "mod"] impl S {}
        0 src/kms/a.rs: #[cfg(feature = "a")] mod m; #[cfg(feature = "a")] #[doc(x)] pub(in crate::x) use m::X;
        0 src/kms/a.rs: #[cfg_attr(docsrs, doc(cfg(feature = "a")))] pub mod m {} #[cfg(test)] fn f() {}
        0 src/kms/a.rs: #![cfg_attr(docsrs, feature(doc_cfg))] "cfg!(feature = a)"; // cfg!(feature = "a")
        0 src/kek/schemes.rs: fn f() { #[cfg(feature = "a")] g(); }"#;
    try_on(cases, features);
    check(sources("src/"), features);
}

#[test]
fn unsafe_code_has_its_rooms_and_its_reasons() {
    let cases = r##"
        3 src/kms/a.rs: // SAFETY: so¶let x =¶unsafe { f() };
        1 tests/a.rs: #[unsafe(no_mangle)] fn f() {}
        3 ffi/a.rs: // SAFETY: so¶g();¶unsafe { f() }
        2 ffi/a.rs: /// # Safety¶unsafe impl Send for X {}
        3 ffi/a.rs: /// Text.¶#[inline]¶unsafe extern "C" fn f() {}
        2 ffi/a.rs: g(a,¶unsafe { b })
        0 src/arch/a.rs: // SAFETY: so,¶// and so¶let x =¶unsafe { f() };¶/// # Safety¶#[inline]¶pub unsafe fn f() {}
        0 ffi/a.rs: #[unsafe(no_mangle)] fn f(g: unsafe extern "C" fn(u8)) {}
        0 src/kms/a.rs: #![deny(unsafe_code)] /* unsafe /* */ unsafe */ r#""unsafe"#; b"\"unsafe"; '\''; 'u'"##;
    try_on(cases, unsafe_code);
    check(sources(""), unsafe_code);
}

#[test]
fn files_are_short_and_nothing_is_left_over() {
    assert_eq!(length("", &"\n".repeat(MOST_LINES)), []);
    assert_eq!(length("", &"\n".repeat(MOST_LINES + 1))[0].0, MOST_LINES + 1);
    let generated = "// This file is @generated\n".repeat(MOST_LINES + 1);
    assert!(length("a/generated/b.rs", &generated).is_empty() && !length("a/b.rs", &generated).is_empty());
    for bad in LEFTOVERS.replace('_', "").split(' ') {
        try_on(&format!("2 README.md: ¶see {bad}x\n0 fuzz/Cargo.lock: {bad}"), leftovers);
    }
    try_on(&format!("0 README.md: https://a.example{}x", LEFTOVERS[..7].replace('_', "")), leftovers);
    check(sources("src/"), length);
    check(tracked(), leftovers);
}

/// No file breaks the rule.
fn check(files: Vec<String>, rule: impl Fn(&str, &str) -> Vec<Finding>) {
    let mut found = Vec::new();
    // What is no text, or was deleted and is still tracked, is passed over.
    for (path, text) in files.iter().filter_map(|path| Some((path, read(path)?))) {
        found.extend(rule(path, &text).iter().map(|(line, said)| format!("{path}:{line}: {said}")));
    }
    assert!(files.len() > 20 && found.is_empty(), "{} files\n{}", files.len(), found.join("\n"));
}

/// Cases `LINE PATH: CODE`: where the rule is first broken, 0 if it is not; ¶ ends a line.
fn try_on(cases: &str, rule: impl Fn(&str, &str) -> Vec<Finding>) {
    for case in cases.lines().map(str::trim).filter(|case| !case.is_empty()) {
        let (place, code) = case.split_once(": ").unwrap();
        let (line, path) = place.split_once(' ').unwrap();
        let found = rule(path, &code.replace('¶', "\n"));
        assert_eq!(found.first().map_or(0, |f| f.0), line.parse().unwrap(), "{case}");
    }
}

/// Rule 1. `names`: what can follow `crate::`, and its layer.
fn arrows(path: &str, code: &str, names: &HashMap<String, String>) -> Vec<Finding> {
    let root = if path.starts_with(PROGRAM) { PROGRAM } else { "src/" };
    let module = path[root.len()..].trim_end_matches(".rs").trim_end_matches("/mod");
    let layer = if root == PROGRAM { "bin" } else { module.split('/').next().unwrap() };
    let height = |layer: &str| LAYERS.rsplit(';').position(|line| line.split(' ').any(|l| l == layer));
    let Some(here) = height(layer) else { return vec![(1, format!("{layer} is no layer"))] };
    let file_depth = if ["lib", "main"].contains(&module) { 0 } else { module.split('/').count() };
    let (t, mut i, mut found) = (tokens(code), 0, Vec::new());
    // Whether each open brace is that of a `mod`.
    let mut braces = Vec::new();
    while i < t.len() {
        let start = i;
        i += 1;
        match (t[start].1, word(&t, i), word(&t, i + 1)) {
            ("{", ..) => braces.push(start > 1 && t[start - 2].1 == "mod"),
            ("}", ..) => drop(braces.pop()),
            ("#", "[", "path") => found.push((t[start].0, "#[path] leads out of a layer".into())),
            ("include", "!", _) if layer == "bin" => found.push((t[start].0, "include! leads out".into())),
            ("crate" | "super" | "self", "::" | "as", _) if start == 0 || t[start - 1].1 != "::" => {
                let depth = file_depth + braces.iter().filter(|is_mod| **is_mod).count();
                i = start;
                for (line, name) in paths(&t, &mut i).iter().filter_map(|path| at_root(path, depth)) {
                    let key = if layer == "bin" { format!("{PROGRAM}{name}") } else { name.into() };
                    let goes_up = |to: &String| to != layer && height(to).is_some_and(|there| there >= here);
                    if names.get(&key).is_none_or(goes_up) {
                        found.push((line, format!("{layer} must not name crate::{name}")));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// The paths of the use tree, or of the path, at `t[*i]`, an alias as one more word. Moves `i` on.
fn paths<'a>(t: &[Token<'a>], i: &mut usize) -> Vec<Vec<Token<'a>>> {
    let mut path = vec![t[*i]];
    *i += 1;
    while matches!(word(t, *i), "::" | "as") && *i + 1 < t.len() {
        *i += 2;
        if t[*i - 1].1 == "{" {
            let mut all = Vec::new();
            while !matches!(word(t, *i), "}" | "") {
                all.extend(paths(t, i).into_iter().map(|rest| [&path[..], &rest].concat()));
                *i += usize::from(word(t, *i) == ",");
            }
            *i += 1;
            return all;
        }
        path.push(t[*i - 1]);
    }
    vec![path]
}

/// What `path` names at the crate's root, if it goes there from `depth` modules below.
fn at_root<'a>(path: &[Token<'a>], depth: usize) -> Option<Token<'a>> {
    let path = if path[0].1 == "self" { &path[1..] } else { path };
    let up = path.iter().take_while(|s| s.1 == "super").count();
    let is_root = path[0].1 == "crate" || (up > 0 && up >= depth);
    is_root.then(|| *path.get(up.max(1)).unwrap_or(&path[0]))
}

/// Layers, what `use` brings to the library's root, and, behind [`PROGRAM`], modules of the program.
fn names(lib: &str, files: &[String]) -> HashMap<String, String> {
    let t = tokens(lib);
    let uses = t.iter().zip(1..).filter(|(t, _)| t.1 == "use");
    let used = uses.flat_map(|(_, mut i)| paths(&t, &mut i)).map(|p| (p[p.len() - 1].1, p[0].1));
    let end = |path: &str| Some(PROGRAM.len() + path.strip_prefix(PROGRAM)?.find(['/', '.'])?);
    let own = files.iter().filter_map(|path| Some((&path[..end(path)?], "bin")));
    let layers = LAYERS.split([';', ' ']).map(|layer| (layer, layer));
    layers.chain(used).chain(own).map(|(name, layer)| (name.into(), layer.into())).collect()
}

/// Rule 2.
fn features(path: &str, code: &str) -> Vec<Finding> {
    let t = tokens(code);
    let gated = |from: usize, to: usize| t[from..to].windows(2).any(|w| w[0].1 == "feature" && w[1].1 == "=");
    let is_wrong = |i: &usize| match (t[*i].1, word(&t, *i + 1)) {
        ("cfg" | "#", "!") => gated(*i, closing(&t, *i + 2)),
        ("#", "[") => {
            let end = closing(&t, *i + 1);
            let mut item = end;
            while matches!(word(&t, item), "#" | "pub" | "(") {
                item = closing(&t, item + usize::from(word(&t, item) == "#"));
            }
            gated(*i, end) && !matches!(word(&t, item), "mod" | "use")
        }
        _ => false,
    };
    let wrong = (0..t.len()).filter(|_| !TABLES.contains(&path)).filter(is_wrong);
    wrong.map(|i| (t[i].0, "a feature, neither on mod nor on use".into())).collect()
}

/// Behind the bracket that closes the one at `open`.
fn closing(t: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0;
    let mut closes = |word: &str| {
        depth += i32::from("([{".contains(word)) - i32::from(")]}".contains(word));
        depth == 0
    };
    (open..t.len()).find(|i| closes(t[*i].1)).map_or(t.len(), |i| i + 1)
}

/// Rule 3.
fn unsafe_code(path: &str, code: &str) -> Vec<Finding> {
    let (t, lines) = (tokens(code), code.lines().map(str::trim_start).collect::<Vec<_>>());
    let above = |line: usize, says: &str| {
        let lines = lines[..line - 1].iter().rev();
        lines.take_while(|l| l.starts_with("//") || l.starts_with("#[")).any(|l| l.starts_with(says))
    };
    let in_room = UNSAFE.iter().any(|room| path.starts_with(room));
    let is_wrong = |i: &usize| {
        let after = i + 1 + usize::from(word(&t, i + 1) == "extern");
        let is_fn = word(&t, after) == "fn";
        // An attribute, the type of a function pointer.
        let needs_none = word(&t, after + usize::from(is_fn)) == "(";
        let ends = |t: &Token<'_>| matches!(t.1, ";" | "{" | "}" | ",");
        let begin = t[..*i].iter().rposition(ends).map_or(0, |end| end + 1);
        let said = |at: usize| above(t[at].0, "// SAFETY:") || (is_fn && above(t[at].0, "/// # Safety"));
        !in_room || !(needs_none || said(*i) || said(begin))
    };
    let wrong = (0..t.len()).filter(|i| t[*i].1 == "unsafe").filter(is_wrong);
    let what = if in_room { "without // SAFETY: directly above" } else { "outside secret, arch and ffi" };
    wrong.map(|i| (t[i].0, format!("unsafe {what}"))).collect()
}

/// Rule 4. What a generator made is as long as it is.
fn length(path: &str, code: &str) -> Vec<Finding> {
    if path.contains("/generated/") && code.starts_with("// This file is @generated") {
        return vec![];
    }
    code.lines().nth(MOST_LINES).map(|_| (MOST_LINES + 1, "one line too many".into())).into_iter().collect()
}

/// Rule 5.
fn leftovers(path: &str, text: &str) -> Vec<Finding> {
    let (words, mut found) = (LEFTOVERS.replace('_', ""), Vec::new());
    for (n, line) in (1..).zip(text.lines()).filter(|_| !path.ends_with("Cargo.lock")) {
        for word in words.split(' ') {
            // Inside a longer path or a URL it is no machine's.
            let inside = |c: char| word.starts_with('/') && (c.is_alphanumeric() || "_.".contains(c));
            if line.match_indices(word).any(|(at, _)| !line[..at].ends_with(inside)) {
                found.push((n, word.into()));
            }
        }
    }
    found
}

fn word<'a>(t: &[Token<'a>], i: usize) -> &'a str {
    t.get(i).map_or("", |t| t.1)
}

/// Words, `::` and single signs. Without comments, strings and chars.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let (mut all, mut rest, mut line) = (Vec::new(), code, 1);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(c) = rest.chars().next() {
        let (len, keep) = match (comment(rest).or_else(|| literal(rest)), c) {
            (Some(len), _) => (len, false),
            _ if is_word(c) => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), true),
            _ => (if rest.starts_with("::") { 2 } else { c.len_utf8() }, !c.is_whitespace()),
        };
        all.extend(keep.then_some((line, &rest[..len])));
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    all
}

/// The length of the comment that `s` begins with. Block comments nest.
fn comment(s: &str) -> Option<usize> {
    if s.starts_with("//") {
        return s.find('\n').or(Some(s.len()));
    }
    let mut at = s.starts_with("/*").then_some(2)?;
    while at < s.len() && !s.as_bytes()[at..].starts_with(b"*/") {
        let nested = s.as_bytes()[at..].starts_with(b"/*");
        at += if nested { comment(&s[at..])? } else { 1 };
    }
    Some(s.len().min(at + 2))
}

/// The length of the string or char that `s` begins with.
fn literal(s: &str) -> Option<usize> {
    let body = s.trim_start_matches(['b', 'c', 'r']);
    let quoted = body.trim_start_matches('#');
    let (prefix, hashes) = (s.len() - body.len(), body.len() - quoted.len());
    let quote = quoted.chars().next().filter(|q| matches!(q, '"' | '\''))?;
    if s[..prefix].contains('r') {
        let (begin, end) = (prefix + hashes + 1, format!("\"{}", &body[..hashes]));
        return Some(s[begin..].find(&end).map_or(s.len(), |at| begin + at + end.len()));
    }
    let is_lifetime = quote == '\'' && !quoted[1..].starts_with('\\') && quoted.chars().nth(2) != Some('\'');
    let (bytes, mut end) = (quoted.as_bytes(), 1);
    while end < bytes.len() && bytes[end] != bytes[0] {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (hashes == 0 && !is_lifetime).then(|| s.len().min(prefix + end + 1))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(ROOT).join(path)).ok()
}

/// Rust files below a directory.
fn sources(directory: &str) -> Vec<String> {
    walk(directory).into_iter().filter(|path| path.ends_with(".rs")).collect()
}

/// What git tracks; without git, all that lies there.
fn tracked() -> Vec<String> {
    let git = Command::new("git").args(["-C", ROOT, "ls-files", "-z"]).output().map_or(vec![], |o| o.stdout);
    let files: Vec<_> = String::from_utf8_lossy(&git).split_terminator('\0').map(Into::into).collect();
    if files.is_empty() { walk("") } else { files }
}

/// Files below a directory, whose path ends with a slash.
fn walk(directory: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join(directory)).into_iter().flatten().flatten() {
        let (path, kind) = (format!("{directory}{}", entry.file_name().display()), entry.file_type());
        if kind.is_ok_and(|kind| !kind.is_dir()) {
            files.push(path);
        } else if !SKIPPED.iter().any(|s| Path::new(&path).ends_with(s)) {
            files.extend(walk(&format!("{path}/")));
        }
    }
    files
}
