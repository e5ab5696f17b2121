//! The plugins' processes.
use std::process::{Child, Command};

/// In whole ticks of 10 ms: what Linux tells every program, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Ends when it is dropped.
pub struct Process(Child);

impl Process {
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let child = Command::new(program).args(arguments).spawn();
        Self(child.unwrap_or_else(|e| panic!("{program}: {e}")))
    }

    /// Of all its threads so far, in the program and in the kernel.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("a process");
        let fields: Vec<_> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
        let ticks = |field: usize| fields[field].parse::<f64>().expect("ticks");
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// To its end.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
