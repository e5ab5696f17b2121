//! Whether a `Kms` tells of itself what its KMS would.
use super::Judge;
use crate::{process::Process, weather::WRAPPING};
use std::time::Duration;

impl Judge {
    pub fn health(&self, now: Duration, process: &Process) {
        let health = process.kms.health();
        let wrong = |what: String| self.log.breach(now, format_args!("health of {}: {what}", process.number));
        for (told, client) in health.backends.iter().zip(&process.clients) {
            let state = self.aws.state();
            let Some(seen) = state.seen(process.number, client.region) else {
                if told.calls > 0 {
                    wrong(format!("{told:?} of one that was never called"));
                }
                continue;
            };
            let failed = seen.failed..=seen.failed + seen.given_up;
            if told.calls != seen.calls || !failed.contains(&told.failed) {
                wrong(format!("{told:?}, of {} calls {failed:?} failed", seen.calls));
            }
            let named = told.key_id.as_ref().and_then(|id| state.named(id));
            if named != seen.told.last().map(|(_, named)| *named) {
                wrong(format!("{told:?}, and the last it said was {:?}", seen.told.last()));
            }
            // One that was given up may have failed, or only been slower than another KEK.
            let longest = seen.failing.into_iter().chain(seen.given_up_since).min();
            let is_right = match told.degraded_for {
                None => seen.failing.is_none(),
                Some(time) => {
                    longest.is_some_and(|since| time <= now - since)
                        && seen.failing.is_none_or(|since| time >= now - since)
                }
            };
            if !is_right {
                wrong(format!("{told:?}, and it failed since {:?} to {longest:?}", seen.failing));
            }
        }
        let service = &self.services[process.service];
        if let Some(ends_in) = health.sealing_ends_in {
            let most = service.dek_time + service.seal_for;
            let from = now.saturating_sub(most);
            let was_bad = |region: &usize| self.weather.is_bad(*region, WRAPPING, from, now);
            if ends_in > most || !service.regions.iter().any(was_bad) {
                wrong(format!("sealing ends in {ends_in:?}"));
            }
        }
        let (usage, most) = (process.kms.usage(), service.most_deks);
        if usage.sealing.held > most || usage.opening.held > most {
            wrong(format!("{usage:?}"));
        }
    }
}
