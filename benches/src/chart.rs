//! Throughput over size, as SVG that is readable on light and on dark ground.
use crate::report::{Line, size};
use std::{fmt::Write, fs, io, path::Path};

/// The bytes of the ticks. The first and the last are the ends of the axis.
const SIZES: [usize; 6] = [64, 1 << 10, 1 << 14, 1 << 18, 1 << 22, 1 << 26];
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 330.0;
const TOP: f64 = 64.0;
const LEFT: [f64; 2] = [56.0, 510.0];
const BOTTOM: f64 = TOP + HEIGHT;
/// Of a legend, below the panels.
const COLUMN: f64 = 120.0;
const ROW: f64 = 20.0;
const LEGEND: f64 = BOTTOM + 48.0;
/// On light ground and on dark ground; one that is not named has the last of them.
const COLOURS: [(&str, [&str; 2]); 8] = [
    ("libkms", ["#0b5fd0", "#6cb0ff"]),
    ("BoringSSL", ["#d1690a", "#ff9d4d"]),
    ("OpenSSL", ["#178a4c", "#4fd18b"]),
    ("RustCrypto", ["#b5279a", "#f07fd8"]),
    ("aws-lc-rs", ["#3d3d3d", "#f0f0f0"]),
    ("graviola", ["#c4262e", "#ff7b7b"]),
    ("ring", ["#0a8a94", "#45d0d9"]),
    ("", ["#8a6d00", "#e0c341"]),
];

/// Throughput of one library, or a limit: bytes, and GB/s.
type Points = Vec<(usize, f64)>;

/// One SVG for each path: sealing, with a key that is reused and with fresh ones.
pub fn draw(lines: &[Line], folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut paths: Vec<_> = lines.iter().map(|line| &line.path).collect();
    paths.dedup();
    for path in paths {
        let sealed: Vec<_> = lines.iter().filter(|l| l.path == *path && l.name == "seal").collect();
        if !sealed.is_empty() {
            fs::write(folder.join(format!("seal-{path}.svg")), chart(&sealed))?;
        }
    }
    Ok(())
}

fn chart(lines: &[&Line]) -> String {
    let libraries: Vec<_> = ["libkms"].into_iter().chain(lines[0].peers.keys().map(String::as_str)).collect();
    let limits = [("aes", "limit: the rounds of AES"), ("memory", "limit: reading and writing")];
    let scale = Scale::of(lines);
    let mut svg = head(lines[0]);
    for (key, left) in ["reused", "fresh"].into_iter().zip(LEFT) {
        let of_key: Vec<_> = lines.iter().copied().filter(|l| l.key.as_deref() == Some(key)).collect();
        axes(&mut svg, &scale, left, &format!("seal, key {key}"));
        for (name, _) in limits {
            line(&mut svg, &scale, left, &format!("limit {name}"), &limit(lines, name));
        }
        // libkms last, above the others.
        for name in libraries.iter().rev() {
            let points: Points =
                of_key.iter().filter_map(|l| Some((l.bytes, throughput(l, name)?))).collect();
            line(&mut svg, &scale, left, class(name), &points);
        }
    }
    for (i, name) in libraries.iter().enumerate() {
        entry(&mut svg, (LEFT[0] + COLUMN * i as f64, LEGEND), class(name), name);
    }
    for (i, (name, text)) in limits.into_iter().enumerate() {
        entry(&mut svg, (LEFT[0] + 2.0 * COLUMN * i as f64, LEGEND + ROW), &format!("limit {name}"), text);
    }
    svg + "</svg>\n"
}

/// In the style sheet.
fn class(library: &str) -> &'static str {
    let named = COLOURS.iter().map(|c| c.0).find(|name| *name == library && !name.is_empty());
    named.unwrap_or("other")
}

/// GB/s, where the axes have them.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(lines: &[&Line]) -> Self {
        let times =
            |l: &Line| l.peers.values().chain([&l.libkms]).map(|ns| l.bytes as f64 / ns).collect::<Vec<_>>();
        let all: Vec<_> = lines.iter().flat_map(|l| times(l)).collect();
        let top = limit(lines, "aes").iter().map(|p| p.1).chain(all.iter().copied()).fold(0.0, f64::max);
        Self { least: all.iter().copied().fold(f64::MAX, f64::min) * 0.8, most: top * 1.5 }
    }

    fn x(&self, bytes: usize) -> f64 {
        let at = |bytes: usize| (bytes as f64).ln();
        WIDTH * (at(bytes) - at(SIZES[0])) / (at(SIZES[5]) - at(SIZES[0]))
    }

    fn y(&self, throughput: f64) -> f64 {
        BOTTOM - HEIGHT * (throughput / self.least).ln() / (self.most / self.least).ln()
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let all = (-2..4).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
        all.filter(|tick| (self.least..self.most).contains(tick))
    }
}

fn throughput(line: &Line, library: &str) -> Option<f64> {
    let ns = if library == "libkms" { &line.libkms } else { line.peers.get(library)? };
    Some(line.bytes as f64 / ns)
}

/// AES takes as long for every byte, and is level; memory has levels.
fn limit(lines: &[&Line], name: &str) -> Points {
    let points = lines.iter().filter_map(|l| Some((l.bytes, l.bytes as f64 / l.limits.get(name)?)));
    let points: Points = points.collect();
    let best = points.iter().map(|p| p.1).fold(0.0, f64::max);
    match name {
        "aes" if best > 0.0 => vec![(SIZES[0], best), (SIZES[5], best)],
        _ => points,
    }
}

fn head(line: &Line) -> String {
    let (width, height) = (LEFT[1] + WIDTH + 24.0, LEGEND + ROW + 16.0);
    let rules = |mode: usize, ink: &str, ground: &str, grid: &str| {
        let colours =
            COLOURS.iter().map(|(name, c)| format!(".{}{{stroke:{1};fill:{1}}}", class(name), c[mode]));
        let rest =
            format!("text{{fill:{ink}}}.ground{{fill:{ground}}}.grid{{stroke:{grid}}}.limit{{stroke:{ink}}}");
        colours.collect::<String>() + &rest
    };
    let (light, dark) = (rules(0, "#24292f", "#fff", "#d8dee4"), rules(1, "#e6edf3", "#0d1117", "#30363d"));
    let (cpu, path) = (&line.cpu, &line.path);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>AES-256-GCM on {cpu}, path {path}: throughput over size</title>
<style>text{{font:12px system-ui,sans-serif}}.big{{font-size:14px;font-weight:600}}.end{{text-anchor:end}}.middle{{text-anchor:middle}}
polyline{{fill:none!important;stroke-width:1.5;stroke-linejoin:round}}.libkms{{stroke-width:3!important}}circle{{stroke:none!important}}
.grid{{stroke-width:1}}.limit{{stroke-dasharray:6 4;fill:none}}.memory{{stroke-dasharray:2 3}}
{light}
@media(prefers-color-scheme:dark){{{dark}}}</style>
<rect class="ground" width="100%" height="100%"/>
<text class="big" x="{0}" y="24">AES-256-GCM on {cpu}, path {path}</text>
"#,
        LEFT[0]
    )
}

fn axes(svg: &mut String, scale: &Scale, left: f64, title: &str) {
    let right = left + WIDTH;
    let _ = writeln!(
        svg,
        r#"<clipPath id="p{left}"><rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}"/></clipPath>"#
    );
    let _ = writeln!(
        svg,
        r#"<text x="{left}" y="{}">{title}: GB/s over the bytes of a message</text>"#,
        TOP - 12.0
    );
    for tick in scale.ticks() {
        let y = scale.y(tick);
        let _ = writeln!(
            svg,
            r#"<path class="grid" d="M{left} {y:.1}H{right}"/><text class="end" x="{}" y="{:.1}">{tick}</text>"#,
            left - 6.0,
            y + 4.0
        );
    }
    for bytes in SIZES {
        let x = left + scale.x(bytes);
        let _ = writeln!(
            svg,
            r#"<path class="grid" d="M{x:.1} {TOP}V{BOTTOM}"/><text class="middle" x="{x:.1}" y="{}">{}</text>"#,
            BOTTOM + 18.0,
            size(bytes)
        );
    }
}

fn line(svg: &mut String, scale: &Scale, left: f64, class: &str, points: &Points) {
    let at: Vec<_> = points.iter().map(|(bytes, t)| (left + scale.x(*bytes), scale.y(*t))).collect();
    let text: Vec<_> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        r#"<g class="{class}" clip-path="url(#p{left})"><polyline class="{class}" points="{}"/>"#,
        text.join(" ")
    );
    if !class.starts_with("limit") {
        at.iter().for_each(|(x, y)| {
            let _ = write!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.5"/>"#);
        });
    }
    svg.push_str("</g>\n");
}

/// Of the legend.
fn entry(svg: &mut String, (x, y): (f64, f64), class: &str, text: &str) {
    let (line, end, begin) = (y - 4.0, x + 24.0, x + 30.0);
    let _ = writeln!(
        svg,
        r#"<polyline class="{class}" points="{x},{line} {end},{line}"/><text x="{begin}" y="{y}">{text}</text>"#
    );
}
