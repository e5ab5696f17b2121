//! Measures libkms beside its peers: once for each path of this processor, in a process of its
//! own, since peers read which instructions they may use when they start.
use libkms::raw::Kernels;
use libkms_benches::{
    chart,
    library::Library,
    machine,
    peers::{self, Libkms},
    report::{self, Line},
    sample::Sampler,
    works,
};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

const USAGE: &str = "\
usage: benches/run [--with-esdk] [--quick] [--json FILE] [--charts FOLDER] [--from FILE]
                   [--path NAME]... [--work NAME]...

Measures libkms beside its peers and prints the ratios of time.

  --quick          a minute: fewer sizes, less time for each work
  --json FILE      a line for each work: medians, in nanoseconds for a call
  --charts FOLDER  draws throughput over size, one SVG for each path
  --from FILE      measures nothing: prints and draws what --json wrote
  --path NAME      only these kernels: aesni, vaes256, vaes512
  --work NAME      only these works: seal, open, setup, batch.setup, xaes.seal, xaes.open, scope.seal,
                   scope.open, batch.seal, kms.seal_batch, cbc.seal, cbc.open, random";

#[derive(Default)]
struct Options {
    quick: bool,
    json: Option<PathBuf>,
    charts: Option<PathBuf>,
    from: Option<PathBuf>,
    paths: Vec<String>,
    works: Vec<String>,
    /// Measure this path here, and print JSON.
    child: Option<String>,
}

fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(options) => options,
        Err(said) => {
            eprintln!("{said}");
            return ExitCode::from(2);
        }
    };
    if let Some(path) = &options.child {
        measure(path, &options);
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            eprintln!("benches: {said}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(arg) = args.next() {
            if arg == "--quick" {
                options.quick = true;
                continue;
            }
            let value = args.next().ok_or(USAGE)?;
            match arg.as_str() {
                "--json" => options.json = Some(value.into()),
                "--charts" => options.charts = Some(value.into()),
                "--from" => options.from = Some(value.into()),
                "--path" => options.paths.push(value),
                "--work" => options.works.push(value),
                "--child" => options.child = Some(value),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }

    fn wants(&self, wanted: &[String], name: &str) -> bool {
        wanted.is_empty() || wanted.iter().any(|w| w == name)
    }
}

fn run(options: &Options) -> Result<(), String> {
    let lines = match &options.from {
        Some(file) => read(file).map_err(|e| format!("{}: {e}", file.display()))?,
        None => measure_all(options)?,
    };
    println!("\nTime of libkms to that of aws-lc-rs (of the best peer):\n\n{}", report::tables(&lines));
    if let Some(file) = &options.json {
        let text: String = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    if let Some(folder) = &options.charts {
        chart::draw(&lines, folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    Ok(())
}

fn read(file: &Path) -> std::io::Result<Vec<Line>> {
    let lines = fs::read_to_string(file)?;
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn measure_all(options: &Options) -> Result<Vec<Line>, String> {
    let versions: Vec<_> =
        peers::versions().iter().map(|(name, version)| format!("{name} {version}")).collect();
    println!("{}; {}", machine::name(), versions.join(", "));
    let kernels = Kernels::all();
    // In portable code, only where there is nothing else.
    let paths = if kernels.len() == 1 { &kernels[..] } else { &kernels[1..] };
    let mut lines = Vec::new();
    for path in paths.iter().rev().map(|k| k.name()).filter(|path| options.wants(&options.paths, path)) {
        match peers::environment(path) {
            Some(value) => println!("\n{path}: peers with OPENSSL_ia32cap={value}"),
            None => println!("\n{path}: peers as they are"),
        }
        lines.extend(child(path)?);
    }
    Ok(lines)
}

/// What a process of its own measures, told as it comes.
fn child(path: &str) -> Result<Vec<Line>, String> {
    let failed = |e: &dyn std::fmt::Display| format!("the process for {path}: {e}");
    let mut command = Command::new(env::current_exe().map_err(|e| failed(&e))?);
    command.args(env::args().skip(1)).args(["--child", path]).stdout(Stdio::piped());
    command.env_remove("OPENSSL_ia32cap").envs(peers::environment(path).map(|v| ("OPENSSL_ia32cap", v)));
    let mut process = command.spawn().map_err(|e| failed(&e))?;
    let mut lines = Vec::new();
    for text in BufReader::new(process.stdout.take().unwrap()).lines() {
        let line: Line = serde_json::from_str(&text.map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
        line.print();
        lines.push(line);
    }
    let status = process.wait().map_err(|e| failed(&e))?;
    if status.success() { Ok(lines) } else { Err(failed(&status)) }
}

fn measure(path: &str, options: &Options) {
    let all = Kernels::all();
    let kernels = *all.iter().find(|k| k.name() == path).expect("one of this processor");
    Libkms(kernels).check();
    peers::of_path(path).iter().for_each(|peer| peer.check());
    peers::check_cbc(kernels);
    let best = all.last().is_some_and(|k| k.name() == path);
    let time = Duration::from_millis(if options.quick { 450 } else { 1500 });
    let (cpu, mut sampler) = (machine::name(), Sampler::default());
    for (work, bytes) in works::all(best, options.quick) {
        if options.wants(&options.works, work.name()) {
            let timings = sampler.measure(&mut work.contestants(kernels, bytes), time);
            let line = Line::new(work, bytes, path, &cpu, &timings);
            println!("{}", serde_json::to_string(&line).unwrap());
        }
    }
}
