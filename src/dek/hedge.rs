//! Several ways to one answer.
use crate::rt::{BoxFuture, Runtime};
use std::{future::poll_fn, task::Poll, time::Duration};

/// A call, and how long it is waited for before the next one is started beside it.
pub(super) type Call<'a, T, E> = (Duration, BoxFuture<'a, Result<T, E>>);

/// The first success. The next call starts when one failed, or when the last one started
/// is slower than it should be; none is given up for that. What each said, in the order
/// they were started, if all failed.
pub(super) async fn hedged<T, E>(rt: &dyn Runtime, calls: Vec<Call<'_, T, E>>) -> Result<T, Vec<E>> {
    let mut to_start = calls.into_iter().enumerate().peekable();
    let (mut running, mut said) = (Vec::new(), Vec::new());
    let mut slow: Option<BoxFuture<'static, ()>> = None;
    poll_fn(move |cx| {
        loop {
            let mut i = 0;
            let before = said.len();
            while i < running.len() {
                let (number, call): &mut (usize, BoxFuture<'_, Result<T, E>>) = &mut running[i];
                match call.as_mut().poll(cx) {
                    Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(answer)),
                    Poll::Ready(Err(e)) => {
                        said.push((*number, e));
                        drop(running.swap_remove(i));
                    }
                    Poll::Pending => i += 1,
                }
            }
            let failed = said.len() > before;
            let mut is_slow = || slow.as_mut().is_some_and(|s| s.as_mut().poll(cx).is_ready());
            if !(running.is_empty() || failed || is_slow()) {
                return Poll::Pending;
            }
            match to_start.next() {
                Some((number, (patience, call))) => {
                    running.push((number, call));
                    slow = to_start.peek().map(|_| rt.sleep(patience));
                }
                None if running.is_empty() => {
                    said.sort_by_key(|(number, _)| *number);
                    return Poll::Ready(Err(said.drain(..).map(|(_, e)| e).collect()));
                }
                None => slow = None,
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{Background, wait};
    use std::{future::pending, time::Instant};

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_secs(3600);

    fn call(patience: Duration, takes: Duration, gives: Result<u8, u8>) -> Call<'static, u8, u8> {
        let call: BoxFuture<'static, _> = Box::pin(async move {
            match takes {
                LONG => pending().await,
                _ => Background.sleep(takes).await,
            }
            gives
        });
        (patience, call)
    }

    fn of(calls: Vec<Call<'_, u8, u8>>) -> Result<u8, Vec<u8>> {
        wait(hedged(&Background, calls))
    }

    #[test]
    fn the_next_one_starts_when_one_is_slow_or_fails() {
        assert_eq!(of(vec![]), Err(vec![]));
        assert_eq!(of(vec![call(LONG, Duration::ZERO, Ok(1)), call(LONG, LONG, Ok(2))]), Ok(1));
        assert_eq!(of(vec![call(SHORT, LONG, Ok(1)), call(LONG, Duration::ZERO, Ok(2))]), Ok(2));
        assert_eq!(of(vec![call(LONG, SHORT, Err(1)), call(LONG, SHORT, Ok(2))]), Ok(2));
        let begun = Instant::now();
        let slow_is_not_dropped = vec![call(SHORT, 4 * SHORT, Ok(1)), call(SHORT, LONG, Ok(2))];
        assert_eq!(of(slow_is_not_dropped), Ok(1));
        assert!(begun.elapsed() >= 4 * SHORT);
    }

    #[test]
    fn what_each_said_is_told_in_their_order() {
        let calls = vec![
            call(SHORT, 4 * SHORT, Err(1)),
            call(SHORT, Duration::ZERO, Err(2)),
            call(LONG, Duration::ZERO, Err(3)),
        ];
        assert_eq!(of(calls), Err(vec![1, 2, 3]));
    }
}
