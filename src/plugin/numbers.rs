//! What is counted, and how Prometheus reads it.
use super::{Call, Method, PluginHealth, key_id::hash, of_kms::OfKms, state::Current};
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tonic::Code;

/// Seconds: the API server waits for 3 unless told otherwise.
const BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 3.0, 10.0];
/// As gRPC numbers them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Of every call so far.
#[derive(Default)]
pub(super) struct Numbers([OfMethod; Method::ALL.len()]);

#[derive(Default)]
struct OfMethod {
    by_code: [AtomicU64; CODES.len()],
    by_time: [AtomicU64; BOUNDS.len()],
    nanoseconds: AtomicU64,
}

impl Numbers {
    pub(super) fn add(&self, call: &Call<'_>) {
        let of = &self.0[call.method as usize];
        let more = |number: &AtomicU64, by: u64| {
            number.fetch_add(by, Ordering::Relaxed);
        };
        more(&of.by_code[call.code as usize], 1);
        if let Some(bound) = BOUNDS.iter().position(|bound| call.took.as_secs_f64() <= *bound) {
            more(&of.by_time[bound], 1);
        }
        more(&of.nanoseconds, u64::try_from(call.took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The text format of Prometheus.
    pub(super) fn text(&self, current: &Current, of_kms: &OfKms) -> String {
        let mut out = Text(String::new());
        out.family(
            "libkms_plugin_calls_total",
            "counter",
            "Calls of the API server, by method and gRPC code.",
        );
        for (method, of) in Method::ALL.iter().zip(&self.0) {
            for (code, number) in CODES.iter().zip(&of.by_code) {
                let number = number.load(Ordering::Relaxed);
                if number > 0 || *code == "OK" {
                    let labels = format!("method=\"{}\",code=\"{code}\"", method.name());
                    out.line("libkms_plugin_calls_total", &labels, number);
                }
            }
        }
        out.family("libkms_plugin_call_seconds", "histogram", "How long they took.");
        for (method, of) in Method::ALL.iter().zip(&self.0) {
            of.times(method.name(), &mut out);
        }
        health(current, &mut out);
        of_kms.text(&mut out);
        out.0
    }
}

impl OfMethod {
    fn times(&self, method: &str, out: &mut Text) {
        let (name, mut sum) = ("libkms_plugin_call_seconds", 0);
        for (bound, number) in BOUNDS.iter().zip(&self.by_time) {
            sum += number.load(Ordering::Relaxed);
            out.line(&format!("{name}_bucket"), &format!("method=\"{method}\",le=\"{bound}\""), sum);
        }
        // Beyond the last bound: whatever was counted while this is written, it is no fewer.
        let all = self.by_code.iter().map(|n| n.load(Ordering::Relaxed)).sum::<u64>().max(sum);
        out.line(&format!("{name}_bucket"), &format!("method=\"{method}\",le=\"+Inf\""), all);
        let seconds = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        out.line(&format!("{name}_sum"), &format!("method=\"{method}\""), seconds);
        out.line(&format!("{name}_count"), &format!("method=\"{method}\""), all);
    }
}

fn health(current: &Current, out: &mut Text) {
    out.family("libkms_plugin_healthy", "gauge", "1 if the KEKs wrapped when they were asked last.");
    out.line("libkms_plugin_healthy", "", u8::from(current.health == PluginHealth::Healthy));
    let help = "The key id that Status tells, hashed as in the API server's own metrics.";
    out.family("libkms_plugin_key_id_info", "gauge", help);
    if let Some(key_id) = &current.key_id {
        out.line("libkms_plugin_key_id_info", &format!("key_id_hash=\"{}\"", hash(key_id)), 1);
    }
    let help = "Seconds since the KEKs wrapped a DEK.";
    out.family("libkms_plugin_last_wrap_age_seconds", "gauge", help);
    if let Some(at) = current.wrapped {
        out.line("libkms_plugin_last_wrap_age_seconds", "", at.elapsed().as_secs_f64());
    }
}

pub(super) struct Text(String);

impl Text {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }
}

/// As Prometheus and Go call it.
pub(super) fn name(code: Code) -> &'static str {
    CODES[code as usize]
}
